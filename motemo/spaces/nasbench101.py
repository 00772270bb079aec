"""NAS-Bench-101: a cell of at most seven vertices and nine edges, three operations.

Reference: Ying et al., *NAS-Bench-101: Towards Reproducible Neural Architecture Search*, ICML
2019, https://arxiv.org/abs/1902.09635.

A genotype is the published matrix and operations as compact JSON,
`{"matrix":[[0,1,...],...],"ops":["input","conv3x3-bn-relu",...,"output"]}`. Written are seven
vertices; the published form with fewer is read too.

Vertices that lie on no path from input to output are pruned, as published: nothing is built of
them, and their edges do not count. The key is the pruned cell up to isomorphism, 423,624 in all.
It does not merge two poolings that read the same vertices, which compute the same.

Deviation: the input size need not be even (resolutions round up).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

from motemo.drawing import Drawing, Edge, Graph
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.cell_drawing import network_around, operation_node, plain_node
from motemo.spaces.nasbench101_cell import OPERATIONS, CellGraph, canonical_graph, pruned

if TYPE_CHECKING:
    from torch import nn

VERTICES = 7
MOST_EDGES = 9
STACKS = 3

_BETWEEN = VERTICES - 2
_EDGES = tuple(combinations(range(VERTICES), 2))
_EDGE_GENES = tuple(Gene(f"edge_{source}_{target}", (0, 1)) for source, target in _EDGES)
_OPERATION_GENES = tuple(Gene(f"operation_{n}", OPERATIONS) for n in range(1, VERTICES - 1))
_EMPTY = CellGraph((OPERATIONS[0],) * _BETWEEN, frozenset())
_FORM = (
    'The form is {"matrix":[[0,1,...],...],"ops":["input",...,"output"]}, with a matrix of 2x2 to '
    f"7x7 zeros and ones, all ones above the diagonal, and operations {', '.join(OPERATIONS)}"
)


@dataclass(frozen=True)
class NasBench101(Space):
    """The NAS-Bench-101 cell space, with the published skeleton around the cell.

    Attributes:
        channels: Channels of the stem and the first stack; twice as many in each later one.
        cells: Cells in each of the three stacks.
        reduced_channels: Channels of the reduced architecture.
        genes: The 21 edges, row by row of the matrix, and the operations of five vertices.

    Raises:
        SettingsError: There is not at least one channel or cell.
    """

    estimate = "mote"
    name: str = "nasbench101"
    channels: int = 128
    cells: int = 3
    reduced_channels: int = 32
    genes: tuple[Gene, ...] = field(
        default=(*_EDGE_GENES, *_OPERATION_GENES), init=False, repr=False
    )

    def __post_init__(self) -> None:
        least = {"channels": _BETWEEN, "cells": 1, "reduced_channels": _BETWEEN}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise SettingsError(
                    f"`{name}` must be at least {bound}; got {getattr(self, name)}."
                )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return matrix and operations of seven vertices as compact JSON."""
        edges = (e for e, gene in zip(_EDGES, _EDGE_GENES, strict=True) if values[gene.name])
        operations = (str(values[gene.name]) for gene in _OPERATION_GENES)
        return _written(CellGraph(tuple(operations), frozenset(edges)))

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return every edge, 0 or 1, and every operation.

        What a smaller matrix lacks are vertices without edges.
        """
        cell = _padded(_read(genotype))
        values: dict[str, Choice] = {
            gene.name: int(edge in cell.edges)
            for gene, edge in zip(_EDGE_GENES, _EDGES, strict=True)
        }
        for gene, operation in zip(_OPERATION_GENES, cell.operations, strict=True):
            values[gene.name] = operation
        return values

    def canonical(self, genotype: str) -> str:
        """Return the pruned cell in the order of vertices that stands for all isomorphic ones.

        It is the cheapest in the published network; with other `channels` and `cells`, another
        order may have a few parameters less. Vertices without edges fill it up to seven. All cells
        without a path from input to output share one canonical form, without any edge.
        """
        cell = pruned(_read(genotype))
        return _written(_EMPTY if cell is None else _padded(canonical_graph(cell)))

    def invalid_reason(self, genotype: str) -> str | None:
        """Cells without a path from input to output, or with more than nine edges, are invalid."""
        cell = pruned(_read(genotype))
        if cell is None:
            return "the cell has no path from its input to its output"
        if len(cell.edges) > MOST_EDGES:
            return f"the cell has {len(cell.edges)} edges after pruning; at most {MOST_EDGES}"
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network: stem, three stacks of cells, classifier.

        Raises:
            GenotypeError: The cell has no path from its input to its output.
        """
        from motemo.spaces.nasbench101_network import full_network

        return full_network(
            _connected(genotype),
            in_channels=input_shape[0],
            channels=self.channels,
            cells=self.cells,
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return MOTE's reduced architecture of two cells.

        Raises:
            GenotypeError: The cell has no path from its input to its output.
        """
        from motemo.spaces.nasbench101_network import reduced_network

        return reduced_network(
            _connected(genotype),
            in_channels=input_shape[0],
            channels=self.reduced_channels,
            classes=classes,
        )

    def identity(self) -> dict[str, Json]:
        """Name, skeleton and reduced architecture."""
        return {
            "name": self.name,
            "channels": self.channels,
            "cells": self.cells,
            "reduced_channels": self.reduced_channels,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the pruned cell, of which nothing is left if it is invalid, and the network."""
        cell = pruned(_read(genotype)) or CellGraph((), frozenset())
        between = (operation_node(name) for name in cell.operations)
        edges = (Edge(source, target) for source, target in sorted(cell.edges))
        graph = Graph("cell", (plain_node("input"), *between, plain_node("output")), (*edges,))
        network = ["conv 3×3"]
        for stack in range(STACKS):
            network += ["/2"] if stack else []
            network.append(f"{self.cells} cells, {self.channels * 2**stack} ch")
        return Drawing((graph, network_around(*network, "classifier")))

    def scaled(self, *, width: float, depth: float) -> NasBench101:
        """Return the space with other channels, and other numbers of cells in a stack.

        The reduced architecture has two cells at any depth.
        """
        return replace(
            self,
            channels=max(_BETWEEN, round(width * self.channels)),
            cells=max(1, round(depth * self.cells)),
            reduced_channels=max(_BETWEEN, round(width * self.reduced_channels)),
        )


def cell_graph(genotype: str) -> CellGraph | None:
    """Return the pruned cell of a genotype, or None if no path leads from input to output.

    Raises:
        GenotypeError: The genotype is malformed.
    """
    return pruned(_read(genotype))


def _connected(genotype: str) -> CellGraph:
    cell = pruned(_read(genotype))
    if cell is None:
        raise GenotypeError(
            f"The cell {genotype!r} has no path from its input to its output: there is nothing to "
            "build. Give it one."
        )
    return cell


def _written(cell: CellGraph) -> str:
    vertices = range(cell.output + 1)
    matrix = [[int((source, target) in cell.edges) for target in vertices] for source in vertices]
    written = {"matrix": matrix, "ops": ["input", *cell.operations, "output"]}
    return json.dumps(written, separators=(",", ":"))


def _padded(cell: CellGraph) -> CellGraph:
    """Return the cell with seven vertices: others without edges stand before the output."""
    missing = _BETWEEN - len(cell.operations)
    place = {cell.output: VERTICES - 1}
    edges = frozenset((source, place.get(target, target)) for source, target in cell.edges)
    return CellGraph((*cell.operations, *_EMPTY.operations[:missing]), edges)


@lru_cache(maxsize=4096)
def _read(genotype: str) -> CellGraph:
    """Return the cell as written.

    Raises:
        GenotypeError: The genotype is malformed.
    """
    try:
        loaded = json.loads(genotype)
    except (ValueError, RecursionError):
        loaded = None
    cell = _parsed(loaded)
    if cell is None:
        raise GenotypeError(f"Malformed NAS-Bench-101 genotype {genotype!r}. {_FORM}.")
    return cell


def _parsed(loaded: object) -> CellGraph | None:
    match loaded:
        case {"matrix": list() as matrix, "ops": ["input", *operations, "output"], **others}:
            right = not others and len(operations) <= _BETWEEN
            if right and set(map(str, operations)) <= set(OPERATIONS):
                edges = _edges(matrix, len(operations) + 2)
                return None if edges is None else CellGraph(tuple(operations), edges)
    return None


def _edges(matrix: list[Any], vertices: int) -> frozenset[tuple[int, int]] | None:
    """Return the edges of a matrix, or None if it is not one of zeros and ones above the diagonal.

    Args:
        matrix: What was written.
        vertices: How many rows and columns it should have.
    """
    rows = [row for row in matrix if isinstance(row, list) and len(row) == vertices]
    if not len(rows) == len(matrix) == vertices:
        return None
    cells = {(a, b): value for a, row in enumerate(rows) for b, value in enumerate(row)}
    if any(type(value) is not int or value not in (0, 1) for value in cells.values()):
        return None
    edges = frozenset(place for place, value in cells.items() if value)
    return edges if all(a < b for a, b in edges) else None
