"""FBNet: 22 layers in a chain, nine kinds of block, in the form of its hardware benchmarks.

Reference: Wu et al., *FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural
Architecture Search*, CVPR 2019, https://arxiv.org/abs/1812.03443; for 32x32 images as in Li et
al., *HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark*, ICLR 2021,
https://arxiv.org/abs/2103.10584.

Layers are in seven stages of 1, 4, 4, 4, 4, 4 and 1. A "skip" that has to change the shape, in the
first layer of the second and later stages, is a 1x1 convolution with ReLU. Any other skip is
nothing at all, so it makes no difference where among the later layers of its stage it stands.

Deviations: the input need not be 32x32 (resolutions round up). The reduced architecture has the
widths of MOTE's, for seven stages, with all 22 layers; MOTE widens those of cheap networks, ours
are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from motemo.drawing import Drawing
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space

if TYPE_CHECKING:
    from torch import nn

SKIP = "skip"
BLOCKS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", SKIP)
"""Kinds of block: `k5_e1_g2` has 5x5 filters, does not widen, and has two groups."""
STAGES = (1, 4, 4, 4, 4, 4, 1)
"""Layers per stage."""
LAYOUTS = ("cifar", "imagenet")

_GENES = tuple(Gene(f"layer_{number}", BLOCKS) for number in range(1, sum(STAGES) + 1))


@dataclass(frozen=True)
class FBNet(Space):
    """The FBNet space.

    Attributes:
        layout: `cifar` divides the resolution by 8, `imagenet` by 32, with a wider last layer.
        width: All published widths are multiplied by it and made multiples of 8.
        reduced_width: The same for the reduced architecture.
        genes: Twenty-two blocks, from the input to the output.

    Raises:
        SettingsError: There is no such layout or width.
    """

    name: str = "fbnet"
    layout: str = "cifar"
    width: float = 1.0
    reduced_width: float = 1.0
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise SettingsError(
                f"`layout` must be one of {', '.join(LAYOUTS)}; got {self.layout!r}."
            )
        for option in ("width", "reduced_width"):
            if not getattr(self, option) > 0:
                raise SettingsError(f"`{option}` must be above 0; got {getattr(self, option)}.")

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the names of the blocks, joined by `|`."""
        return "|".join(str(values[gene.name]) for gene in _GENES)

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the kind of every block."""
        kinds = (kind for stage in by_stage(genotype) for kind in stage)
        return {gene.name: kind for gene, kind in zip(_GENES, kinds, strict=True)}

    def canonical(self, genotype: str) -> str:
        """Return the genotype with the skips of each stage moved to its end.

        A stage's first block stays where it is.
        """
        return "|".join(
            kind
            for first, *later in by_stage(genotype)
            for kind in (first, *sorted(later, key=lambda kind: kind == SKIP))
        )

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network."""
        from motemo.spaces.fbnet_network import full_network

        return full_network(
            by_stage(genotype),
            layout=self.layout,
            width=self.width,
            in_channels=input_shape[0],
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same blocks with few channels and few strides."""
        from motemo.spaces.fbnet_network import reduced

        return reduced(
            by_stage(genotype),
            width=self.reduced_width,
            in_channels=input_shape[0],
            classes=classes,
        )

    def identity(self) -> dict[str, Json]:
        """Name, layout and widths."""
        return {
            "name": self.name,
            "layout": self.layout,
            "width": self.width,
            "reduced_width": self.reduced_width,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the network, a row for each stage."""
        from motemo.spaces.fbnet_drawing import draw_network

        return Drawing((draw_network(by_stage(genotype), layout=self.layout, width=self.width),))

    def scaled(self, *, width: float, depth: float) -> FBNet:
        """Return the space with other widths; its blocks cannot be repeated.

        Raises:
            SettingsError: The depth is not 1.
        """
        if depth != 1:
            raise SettingsError(f"Every block of {self.name!r} is a gene; got depth={depth}.")
        return replace(self, width=width * self.width, reduced_width=width * self.reduced_width)


def by_stage(genotype: str) -> list[list[str]]:
    """Return the kinds of block of each stage.

    Raises:
        GenotypeError: The genotype is malformed.
    """
    kinds = genotype.split("|")
    if len(kinds) != sum(STAGES) or any(kind not in BLOCKS for kind in kinds):
        raise GenotypeError(
            f"Malformed FBNet genotype {genotype!r}. The form is {sum(STAGES)} names joined by "
            f"'|', each one of {', '.join(BLOCKS)}."
        )
    ends = [sum(STAGES[: n + 1]) for n in range(len(STAGES))]
    return [kinds[end - length : end] for length, end in zip(STAGES, ends, strict=True)]
