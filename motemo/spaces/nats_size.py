"""NATS-Bench, size space: the widths of five layers around one cell, 32,768 networks.

Reference: Dong, Liu, Musial and Gabrys, *NATS-Bench: Benchmarking NAS Algorithms for Architecture
Topology and Size*, TPAMI 2021, https://arxiv.org/abs/2009.00437.

Every network has the same cell of NAS-Bench-201, one that did best there; a genotype is the five
widths, such as `8:16:24:32:40`. The first is that of the stem and the first cell; the others are
those of a residual reduction, a cell, a reduction and a cell. All genotypes differ and are valid.

Deviations: the input size need not be even (resolutions round up). The reduced architecture is
ours, the same network with three eighths of the channels; MOTE was not published for this space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from motemo.drawing import Block, Chain, Drawing, Operation, Stage
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space

if TYPE_CHECKING:
    from torch import nn

WIDTHS = tuple(range(8, 65, 8))
LAYERS = 5

_BOXES = 4
"""How much wider the boxes of a picture are than those of other spaces."""
_LAYERS = ("stem, cell", "reduction, /2", "cell", "reduction, /2", "cell")
_GENES = tuple(Gene(f"width_{number}", WIDTHS) for number in range(1, LAYERS + 1))
_FORM = re.compile(r"[1-9]\d?(:[1-9]\d?){4}", re.ASCII)


@dataclass(frozen=True)
class NatsSize(Space):
    """The size space of NATS-Bench.

    Attributes:
        width: By how much all channels are multiplied.
        reduced_width: The same, for the reduced architecture.
        genes: Five widths, from the input to the output.

    Raises:
        SettingsError: A multiplier gives two widths the same number of channels.
    """

    estimate = "mote"
    name: str = "nats_size"
    width: float = 1.0
    reduced_width: float = 0.375
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("width", "reduced_width"):
            if not getattr(self, name) * WIDTHS[0] >= 1:
                raise SettingsError(
                    f"`{name}` must be at least {1 / WIDTHS[0]}, so that every width has channels "
                    f"of its own; got {getattr(self, name)}."
                )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published string, such as `8:16:24:32:40`."""
        return ":".join(str(values[gene.name]) for gene in _GENES)

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the width of every layer."""
        return {gene.name: width for gene, width in zip(_GENES, _widths(genotype), strict=True)}

    def canonical(self, genotype: str) -> str:
        """Return the genotype: all compute different functions."""
        _widths(genotype)
        return genotype

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network: stem, cell, two reductions with a cell each, classifier."""
        from motemo.spaces.nats_size_network import full_network

        return full_network(
            [round(self.width * width) for width in _widths(genotype)],
            in_channels=input_shape[0],
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same network with fewer channels."""
        from motemo.spaces.nats_size_network import reduced_network

        return reduced_network(
            [round(self.reduced_width * width) for width in _widths(genotype)],
            in_channels=input_shape[0],
            classes=classes,
        )

    def identity(self) -> dict[str, Json]:
        """Name and multipliers."""
        return {"name": self.name, "width": self.width, "reduced_width": self.reduced_width}

    def drawing(self, genotype: str) -> Drawing:
        """Return the layers, as wide as their channels are many."""
        stages = []
        for name, width in zip(_LAYERS, _widths(genotype), strict=True):
            channels = Operation(f"{round(self.width * width)} channels", "conv_3")
            stages.append(Stage((Block(channels, _BOXES * width / max(WIDTHS)),), name))
        return Drawing((Chain("network", (*stages,), "Width of a box: channels."),))

    def scaled(self, *, width: float, depth: float) -> NatsSize:
        """Return the space with other widths; its layers cannot be repeated.

        Raises:
            SettingsError: The depth is not 1, or the width too small.
        """
        if depth != 1:
            raise SettingsError(f"Every layer of {self.name!r} is a gene; got depth={depth}.")
        return replace(self, width=width * self.width, reduced_width=width * self.reduced_width)


def _widths(genotype: str) -> list[int]:
    """Return the five widths.

    Raises:
        GenotypeError: The genotype is malformed.
    """
    widths = [int(n) for n in genotype.split(":")] if _FORM.fullmatch(genotype) else []
    if not widths or not set(widths) <= set(WIDTHS):
        raise GenotypeError(
            f"Malformed NATS-Bench size genotype {genotype!r}. The form is five widths out of "
            f"{', '.join(map(str, WIDTHS))}, for example '8:16:24:32:40'."
        )
    return widths
