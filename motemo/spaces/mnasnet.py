"""MnasNet's space as in Accel-NASBench: seven stages of equal blocks, EfficientNet-B0 among them.

Reference: Ahmad et al., *Accel-NASBench: Sustainable Benchmarking for Accelerator-Aware NAS*, DAC
2024, https://arxiv.org/abs/2404.08005; the space is from Tan et al., *MnasNet: Platform-Aware
Neural Architecture Search for Mobile*, CVPR 2019, the widths and activations from Tan and Le,
*EfficientNet*, ICML 2019.

Deviations: the input need not be 224x224 (resolutions round up). The reduced architecture has the
widths of MOTE's, for seven stages, with every block of every stage; MOTE widens those of cheap
networks, ours are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from motemo.drawing import Drawing
from motemo.errors import SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.gene_lists import read_choice, read_lists, write_lists
from motemo.spaces.stem_stride import check_stem_stride

if TYPE_CHECKING:
    from torch import nn

STAGES = 7
STEM_STRIDES = (1, 2)

_CHOICES = {"e": (1, 4, 6), "k": (3, 5), "l": (1, 2, 3), "se": (0, 1)}
_DEEPEST = 6
"""The one stage, from 1, that can have a fourth block."""
_FORM = (
    "The form is JSON with seven expansions 'e', kernels 'k', layers 'l' and squeeze-excites 'se', "
    'for example \'{"e":[1,6,6,6,6,6,6],"k":[3,3,5,3,5,5,3],"l":[1,2,2,3,3,4,1],'
    '"se":[1,1,1,1,1,1,1]}\'.'
)


def _choices(kind: str, stage: int) -> tuple[int, ...]:
    return (1, 2, 3, 4) if kind == "l" and stage == _DEEPEST else _CHOICES[kind]


_GENES = tuple(
    Gene(f"{kind}_{stage}", _choices(kind, stage))
    for stage in range(1, STAGES + 1)
    for kind in _CHOICES
)


class Stage(NamedTuple):
    """The decisions on one stage."""

    expansion: int
    kernel: int
    layers: int
    squeezes: bool


@dataclass(frozen=True)
class MnasNet(Space):
    """The space of Accel-NASBench.

    Attributes:
        width: All published widths are multiplied by it and made multiples of 8.
        depth: The blocks of each stage are multiplied by it and rounded; at least 1, so that
            different numbers stay different.
        stem_stride: By how much the first convolution divides the resolution: 2 as published, or 1
            for small images.
        reduced_width: As `width`, for the reduced architecture.
        genes: Stage by stage: expansion (`e_1`), kernel (`k_1`), blocks (`l_1`) and whether there
            is squeeze-and-excitation (`se_1`).

    Raises:
        SettingsError: There is no such width, depth or stride.
    """

    name: str = "mnasnet"
    width: float = 1.0
    depth: float = 1.0
    stem_stride: int = 2
    reduced_width: float = 1.0
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        for option in ("width", "reduced_width"):
            if not getattr(self, option) > 0:
                raise SettingsError(f"`{option}` must be above 0; got {getattr(self, option)}.")
        if not self.depth >= 1:
            raise SettingsError(
                f"`depth` must be at least 1, or different numbers of blocks would be one; "
                f"got {self.depth}."
            )
        check_stem_stride(self.stem_stride, STEM_STRIDES)

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published JSON, a list of seven numbers for each kind of decision."""
        return write_lists(
            {
                kind: [int(values[f"{kind}_{stage}"]) for stage in range(1, STAGES + 1)]
                for kind in _CHOICES
            }
        )

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene."""
        lists = read_lists(genotype, dict.fromkeys(_CHOICES, STAGES), form=_FORM)
        values: dict[str, Choice] = {}
        for gene in _GENES:
            kind, _, stage = gene.name.partition("_")
            value = lists[kind][int(stage) - 1]
            values[gene.name] = read_choice(
                gene.name, value, gene.choices, genotype=genotype, form=_FORM
            )
        return values

    def canonical(self, genotype: str) -> str:
        """Return the genotype in compact JSON; every decision makes a difference."""
        return self.write(self.read(genotype))

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network."""
        from motemo.spaces.mnasnet_network import full_network

        return full_network(
            self._stages(genotype),
            width=self.width,
            stem_stride=self.stem_stride,
            in_channels=input_shape[0],
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same blocks with few channels and few strides."""
        from motemo.spaces.mnasnet_network import reduced

        return reduced(
            self._stages(genotype),
            width=self.reduced_width,
            in_channels=input_shape[0],
            classes=classes,
        )

    def identity(self) -> dict[str, Json]:
        """Name, widths, depth and stride."""
        return {
            "name": self.name,
            "width": self.width,
            "depth": self.depth,
            "stem_stride": self.stem_stride,
            "reduced_width": self.reduced_width,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the network, a row for each stage."""
        from motemo.spaces.mnasnet_drawing import draw_network

        chain = draw_network(self._stages(genotype), width=self.width, stem_stride=self.stem_stride)
        return Drawing((chain,))

    def scaled(self, *, width: float, depth: float) -> MnasNet:
        """Return the space with other widths, and with deeper stages.

        Raises:
            SettingsError: The depth would be less than 1.
        """
        return replace(
            self,
            width=width * self.width,
            depth=depth * self.depth,
            reduced_width=width * self.reduced_width,
        )

    def _stages(self, genotype: str) -> list[Stage]:
        lists = read_lists(genotype, dict.fromkeys(_CHOICES, STAGES), form=_FORM)
        return [
            Stage(expansion, kernel, round(self.depth * layers), bool(squeezes))
            for expansion, kernel, layers, squeezes in zip(*lists.values(), strict=True)
        ]
