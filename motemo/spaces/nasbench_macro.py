"""NAS-Bench-Macro: eight blocks in a chain, three kinds of block, 6,561 networks.

Reference: Su et al., *Prioritized Architecture Sampling with Monto-Carlo Tree Search*, CVPR 2021,
https://arxiv.org/abs/2103.11922.

Blocks are in stages of two, three and three. The first block of a stage halves the resolution
and doubles the width, also where it is an "identity": there it is a strided 1x1 convolution. Any
other identity is nothing at all, so it makes no difference where among the later blocks of its
stage it stands; 3,969 networks are left.

Deviations: the input size need not be 32x32 (resolutions round up). The reduced architecture is
ours: the same eight blocks with narrower layers; MOTE was not published for this space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from motemo.drawing import Drawing
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space

if TYPE_CHECKING:
    from torch import nn

BLOCKS = ("identity", "mb3_k3", "mb6_k5")
"""Kinds of block in the order of their digits; `mb3_k3` expands threefold, with a 3x3 kernel."""
STAGES = (2, 3, 3)
"""Blocks per stage."""

_GENES = tuple(Gene(f"block_{number}", BLOCKS) for number in range(sum(STAGES)))
_FORM = re.compile(r"[012]{8}")


@dataclass(frozen=True)
class NasBenchMacro(Space):
    """The NAS-Bench-Macro space.

    Attributes:
        channels: Channels of the stem (C); the stages have 2C, 4C and 8C, the layer before the
            classifier 40C.
        reduced_channels: Channels of the stem of the reduced architecture.
        genes: Eight blocks, from the input to the output.

    Raises:
        SettingsError: There is not at least one channel.
    """

    name: str = "nasbench_macro"
    channels: int = 32
    reduced_channels: int = 12
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("channels", "reduced_channels"):
            if getattr(self, name) < 1:
                raise SettingsError(f"`{name}` must be at least 1; got {getattr(self, name)}.")

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published string, a digit per block such as `12002110`."""
        return "".join(str(BLOCKS.index(str(values[gene.name]))) for gene in _GENES)

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the kind of every block."""
        return {gene.name: kind for gene, kind in zip(_GENES, _kinds(genotype), strict=True)}

    def canonical(self, genotype: str) -> str:
        """Return the genotype with the identities of each stage moved to its end.

        A stage's first block stays where it is.
        """
        return "".join(
            stage[0] + stage[1:].replace("0", "").ljust(len(stage) - 1, "0")
            for stage in by_stage(genotype)
        )

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network: stem, eight blocks, 1x1 convolution, classifier."""
        from motemo.spaces.nasbench_macro_network import full_network

        return full_network(
            _kinds_by_stage(genotype),
            in_channels=input_shape[0],
            channels=self.channels,
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same network with fewer channels."""
        from motemo.spaces.nasbench_macro_network import reduced_network

        return reduced_network(
            _kinds_by_stage(genotype),
            in_channels=input_shape[0],
            channels=self.reduced_channels,
            classes=classes,
        )

    def identity(self) -> dict[str, Json]:
        """Name and widths."""
        return {
            "name": self.name,
            "channels": self.channels,
            "reduced_channels": self.reduced_channels,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the network, a row for each stage."""
        from motemo.spaces.nasbench_macro_drawing import draw_network

        return Drawing((draw_network(_kinds_by_stage(genotype), channels=self.channels),))

    def scaled(self, *, width: float, depth: float) -> NasBenchMacro:
        """Return the space with other widths; its blocks cannot be repeated.

        Raises:
            SettingsError: The depth is not 1.
        """
        if depth != 1:
            raise SettingsError(f"Every block of {self.name!r} is a gene; got depth={depth}.")
        return replace(
            self,
            channels=max(1, round(width * self.channels)),
            reduced_channels=max(1, round(width * self.reduced_channels)),
        )


def by_stage(genotype: str) -> list[str]:
    """Return the digits of each stage.

    Raises:
        GenotypeError: The genotype is malformed.
    """
    if _FORM.fullmatch(genotype) is None:
        raise GenotypeError(
            f"Malformed NAS-Bench-Macro genotype {genotype!r}. The form is eight digits from 0 to "
            "2 (identity, mb3_k3, mb6_k5), for example '12002110'."
        )
    ends = [sum(STAGES[: n + 1]) for n in range(len(STAGES))]
    return [genotype[end - length : end] for length, end in zip(STAGES, ends, strict=True)]


def _kinds_by_stage(genotype: str) -> list[list[str]]:
    return [[BLOCKS[int(digit)] for digit in stage] for stage in by_stage(genotype)]


def _kinds(genotype: str) -> list[str]:
    return [kind for stage in _kinds_by_stage(genotype) for kind in stage]
