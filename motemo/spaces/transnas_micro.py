"""TransNAS-Bench-101, micro: one cell of six edges, four operations an edge, 4,096 cells.

Reference: Duan et al., *TransNAS-Bench-101: Improving Transferability and Generalizability of
Cross-Task Neural Architecture Search*, CVPR 2021, https://arxiv.org/abs/2105.11871.

The cell is that of NAS-Bench-201 without average pooling; the macro skeleton is another one: ten
cells in five modules, and the first cell of each module changes the shape. There, a skip
connection from the input is a pair of 1x1 convolutions. Two cells therefore count as the same
only if they compute the same in both places.

Deviations: the published input is 256x256; ours has any size and resolutions round up. The
published stem and modules divide the resolution by 32: at 32x32 the last module sees one pixel.
`stem_stride` makes the stem keep more of small images. The second cell of the reduced architecture
is one that changes the shape, with stride 1 and equal widths, because without it cells that differ
in the full network could have one reduced network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from motemo.drawing import Drawing
from motemo.errors import GenotypeError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.cell_drawing import edge_cell, network_around
from motemo.spaces.cell_function import (
    EDGES,
    Operations,
    cheapest_cells,
    computed_function,
    is_connected,
)
from motemo.spaces.stem_stride import check_stem_stride

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
"""Operations in the order of their digits, under the names that NAS-Bench-201 has for them."""
STEM_STRIDES = (1, 2, 4)

_GENES = tuple(Gene(f"edge_{source}_{target}", OPERATIONS) for source, target in EDGES)
_FORM = re.compile(r"64-41414-([0-3])_([0-3]{2})_([0-3]{3})")


@dataclass(frozen=True)
class TransNasMicro(Space):
    """The micro space of TransNAS-Bench-101, with the network of its classification tasks.

    Attributes:
        stem_stride: By how much the stem divides the resolution: 4 as published, 2 or 1.
        genes: Six edges, in the order of NAS-Bench-201.

    Raises:
        SettingsError: The stem has no such stride.
    """

    estimate = "mote"
    name: str = "transnas_micro"
    stem_stride: int = 4
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        check_stem_stride(self.stem_stride, STEM_STRIDES)

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published string, such as `64-41414-3_02_013`."""
        return write_operations(tuple(str(values[gene.name]) for gene in _GENES))

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the operation of every edge."""
        operations = read_operations(genotype)
        return {gene.name: operation for gene, operation in zip(_GENES, operations, strict=True)}

    def canonical(self, genotype: str) -> str:
        """Return the cheapest cell whose network computes the same function.

        All cells without a path from input to output share one canonical form, the empty cell.
        """
        return _canonical_cells()[read_operations(genotype)]

    def invalid_reason(self, genotype: str) -> str | None:
        """Cells without a path from input to output are invalid (169 of the 4,096)."""
        connected = is_connected(read_operations(genotype))
        return None if connected else "the cell has no path from its input to its output"

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network: stem, five modules of two cells, classifier."""
        from motemo.spaces.transnas_micro_network import full_network

        return full_network(
            _edges(genotype),
            in_channels=input_shape[0],
            classes=classes,
            stem_stride=self.stem_stride,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return MOTE's reduced architecture of two cells, the second one with projections."""
        from motemo.spaces.nasbench201_network import REDUCED_CHANNELS, Entry, reduced_network

        return reduced_network(
            _edges(genotype),
            in_channels=input_shape[0],
            classes=classes,
            second=Entry(REDUCED_CHANNELS, stride=1),
        )

    def identity(self) -> dict[str, Json]:
        """Name and stride of the stem."""
        return {"name": self.name, "stem_stride": self.stem_stride}

    def drawing(self, genotype: str) -> Drawing:
        """Return the cell, and the network around it."""
        from motemo.spaces.transnas_micro_network import BASE_CHANNELS, CELLS_PER_MODULE, MODULES

        network, channels = [f"convs, /{self.stem_stride}"], BASE_CHANNELS
        for widening, stride in MODULES:
            channels *= widening
            network += ["/2"] if stride > 1 else []
            network.append(f"{CELLS_PER_MODULE} cells, {channels} ch")
        cell = edge_cell(_edges(genotype))
        return Drawing((cell, network_around(*network, "classifier")))


def write_operations(operations: Operations) -> str:
    """Return the published string of six operations."""
    digits = "".join(str(OPERATIONS.index(operation)) for operation in operations)
    return f"64-41414-{digits[0]}_{digits[1:3]}_{digits[3:]}"


@cache
def read_operations(genotype: str) -> Operations:
    """Return the six operations of a published string.

    Raises:
        GenotypeError: The string is malformed.
    """
    found = _FORM.fullmatch(genotype)
    if found is None:
        raise GenotypeError(
            f"Malformed TransNAS micro genotype {genotype!r}. The form is '64-41414-a_bc_def' "
            "with digits from 0 to 3 (none, skip, 1x1 and 3x3 convolution), for example "
            "'64-41414-3_02_013'."
        )
    return tuple(OPERATIONS[int(digit)] for digit in "".join(found.groups()))


def _edges(genotype: str) -> list[tuple[int, int, str]]:
    operations = read_operations(genotype)
    return [(source, target, op) for (source, target), op in zip(EDGES, operations, strict=True)]


@cache
def _canonical_cells() -> dict[Operations, str]:
    """Return the canonical genotype of every cell in the space.

    Where the shape changes, more cells differ: the partition there is finer than, and so implies,
    that of the cells that keep it.
    """
    cells = cheapest_cells(OPERATIONS, partial(computed_function, changes_shape=True))
    return {operations: write_operations(cheapest) for operations, cheapest in cells.items()}
