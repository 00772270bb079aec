"""Once-for-All spaces: stages of two to four inverted residuals, each with kernel and expansion.

Reference: Cai et al., *Once-for-All: Train One Network and Specialize it for Efficient Deployment*,
ICLR 2020, https://arxiv.org/abs/1908.09791. The blocks of `ofa_mbv3` are those of Howard et al.,
*Searching for MobileNetV3*, ICCV 2019; of `proxyless`, those of Cai et al., *ProxylessNAS*, ICLR
2019; of `mobilenetv2`, those of Sandler et al., CVPR 2018, whose own network is in the space.

Deviations: the input need not be 224x224 (resolutions round up). Its size is a gene only by the
option `resolutions`, and relative to the deployment's. The reduced architecture has the widths of
MOTE's, with every block of every stage; MOTE widens those of cheap networks, ours are the same for
all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from motemo.drawing import Drawing
from motemo.errors import SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces import once_for_all_genotype as code
from motemo.spaces.once_for_all_families import FAMILIES, Family
from motemo.spaces.stem_stride import check_stem_stride

if TYPE_CHECKING:
    from torch import nn

STEM_STRIDES = (1, 2)


@dataclass(frozen=True)
class OnceForAll(Space):
    """One of the spaces.

    Attributes:
        name: `ofa_mbv3`, `proxyless` or `mobilenetv2`.
        width: All published widths are multiplied by it and made multiples of 8.
        stem_stride: By how much the first convolution divides the resolution: 2 as published, or 1
            for small images.
        reduced_width: As `width`, for the reduced architecture.
        resolutions: If given, the height of the input is a gene too, with these choices. The
            largest stands for the input as it comes; for another one the network first shrinks
            its input in proportion. Multiples of 32, so that small images keep them apart.
        genes: The resolution (`r`), if it is one; then, stage by stage, the number of blocks
            (`d_1`), and kernel (`ks_1_1`) and expansion (`e_1_1`) of each block that there can be.
            What has one choice is no gene.

    Raises:
        SettingsError: There is no such space, width, stride or resolution.
    """

    name: str = "ofa_mbv3"
    width: float = 1.0
    stem_stride: int = 2
    reduced_width: float = 1.0
    resolutions: tuple[int, ...] = ()
    genes: tuple[Gene, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.name not in FAMILIES:
            raise SettingsError(f"`name` must be one of {', '.join(FAMILIES)}; got {self.name!r}.")
        for option in ("width", "reduced_width"):
            if not getattr(self, option) > 0:
                raise SettingsError(f"`{option}` must be above 0; got {getattr(self, option)}.")
        check_stem_stride(self.stem_stride, STEM_STRIDES)
        object.__setattr__(self, "resolutions", tuple(self.resolutions))
        if any(type(height) is not int or height < 1 or height % 32 for height in self.resolutions):
            raise SettingsError(
                f"`resolutions` must be multiples of 32, such as (128, 160, 192, 224), or none; "
                f"got {self.resolutions!r}."
            )
        choices = code.decisions(self._family).items()
        genes = tuple(Gene(name, some) for name, some in choices if len(some) > 1)
        object.__setattr__(self, "genes", genes)

    @property
    def _family(self) -> Family:
        return replace(FAMILIES[self.name], resolutions=self.resolutions)

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published JSON: kernels `ks`, expansions `e` and depths `d`."""
        return code.write(self._family, values)

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene; the first choice for what is written as unused."""
        chosen = code.read(self._family, genotype)
        return {gene.name: chosen[gene.name] for gene in self.genes}

    def canonical(self, genotype: str) -> str:
        """Return the genotype with kernel and expansion of absent blocks written as unused."""
        return code.write(self._family, code.used(self._family, code.read(self._family, genotype)))

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network."""
        from motemo.spaces.once_for_all_network import full_network, shrinking

        self._require_distinct_resolutions(input_shape)
        network = full_network(
            self._family,
            code.blocks(self._family, genotype),
            width=self.width,
            stem_stride=self.stem_stride,
            in_channels=input_shape[0],
            classes=classes,
        )
        return shrinking(network, input_shape, code.share_of_resolution(self._family, genotype))

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same blocks with few channels and few strides."""
        from motemo.spaces.once_for_all_network import reduced, shrinking

        self._require_distinct_resolutions(input_shape)
        network = reduced(
            self._family,
            code.blocks(self._family, genotype),
            width=self.reduced_width,
            in_channels=input_shape[0],
            classes=classes,
        )
        return shrinking(network, input_shape, code.share_of_resolution(self._family, genotype))

    def _require_distinct_resolutions(self, input_shape: Shape) -> None:
        from motemo.spaces.once_for_all_network import shrunk

        largest = max(self.resolutions, default=1)
        sizes = {shrunk(input_shape, height / largest) for height in self.resolutions}
        if len(sizes) < len(self.resolutions):
            raise SettingsError(
                f"Images of {input_shape[1]}x{input_shape[2]} are too small for the resolutions "
                f"{', '.join(map(str, self.resolutions))}: some of them come to the same size. "
                "Give fewer resolutions, or larger images (--input-shape, --image-size)."
            )

    def identity(self) -> dict[str, Json]:
        """Name, widths, stride and resolutions."""
        return {
            "name": self.name,
            "width": self.width,
            "stem_stride": self.stem_stride,
            "reduced_width": self.reduced_width,
            "resolutions": [*self.resolutions],
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the network, a row for each stage."""
        from motemo.spaces.once_for_all_drawing import draw_network

        chain = draw_network(
            self._family,
            code.blocks(self._family, genotype),
            width=self.width,
            stem_stride=self.stem_stride,
            resolution=code.read(self._family, genotype).get(code.RESOLUTION),
        )
        return Drawing((chain,))

    def scaled(self, *, width: float, depth: float) -> OnceForAll:
        """Return the space with other widths; its depths are genes.

        Raises:
            SettingsError: The depth is not 1.
        """
        if depth != 1:
            raise SettingsError(f"The depths of {self.name!r} are genes; got depth={depth}.")
        return replace(self, width=width * self.width, reduced_width=width * self.reduced_width)


def proxyless(
    *,
    width: float = 1.0,
    stem_stride: int = 2,
    reduced_width: float = 1.0,
    resolutions: tuple[int, ...] = (),
) -> OnceForAll:
    """Return the ProxylessNAS space of Once-for-All."""
    return OnceForAll("proxyless", width, stem_stride, reduced_width, resolutions)


def mobilenetv2(
    *,
    width: float = 1.0,
    stem_stride: int = 2,
    reduced_width: float = 1.0,
    resolutions: tuple[int, ...] = (),
) -> OnceForAll:
    """Return the space around MobileNetV2: its widths and 3x3 filters, other depths, expansions."""
    return OnceForAll("mobilenetv2", width, stem_stride, reduced_width, resolutions)
