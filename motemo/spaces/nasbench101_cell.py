"""Cells of NAS-Bench-101: pruning, channels, isomorphism, and the published hash.

Reference: Ying et al., *NAS-Bench-101: Towards Reproducible Neural Architecture Search*, ICML
2019, https://arxiv.org/abs/1902.09635.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import TypeAlias

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
OPERATIONS = (CONV3, CONV1, POOL)
"""Operations of the vertices between input and output, in the published order."""
_KERNELS = {CONV3: 3, CONV1: 1}
_SHAPES = ((128, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512))
"""Channels of the published cells' inputs and outputs; the cells of equal ones count alike."""

Edge: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class CellGraph:
    """A cell as a graph; vertex 0 is its input, the last one its output.

    Attributes:
        operations: Of the vertices between, in their order.
        edges: `(source, target)`, source before target.
    """

    operations: tuple[str, ...]
    edges: frozenset[Edge]

    @property
    def output(self) -> int:
        """Number of the last vertex."""
        return len(self.operations) + 1

    def sources(self, target: int) -> list[int]:
        """Return the vertices with an edge to `target`."""
        return [source for source in range(target) if (source, target) in self.edges]


def pruned(cell: CellGraph) -> CellGraph | None:
    """Return the cell without vertices that lie on no path from input to output, or None.

    None means that no path is there.
    """
    forward, backward = {0}, {cell.output}
    for source, target in sorted(cell.edges):
        if source in forward:
            forward.add(target)
    for source, target in sorted(cell.edges, key=lambda edge: edge[1], reverse=True):
        if target in backward:
            backward.add(source)
    kept = sorted(forward & backward)
    if 0 not in kept or cell.output not in kept:
        return None
    place = {vertex: number for number, vertex in enumerate(kept)}
    return CellGraph(
        tuple(cell.operations[vertex - 1] for vertex in kept[1:-1]),
        frozenset((place[a], place[b]) for a, b in cell.edges if a in place and b in place),
    )


def vertex_channels(cell: CellGraph, in_channels: int, out_channels: int) -> list[int]:
    """Return the channels of every vertex of a pruned cell, as published.

    The output concatenates the vertices that lead to it (its edge from the input adds to that),
    so they share its channels; the first ones have one more where it does not come out even. Any
    other vertex has as many as the widest that it leads to.
    """
    channels = [in_channels] + [0] * len(cell.operations) + [out_channels]
    between = range(1, cell.output)
    last = [vertex for vertex in between if (vertex, cell.output) in cell.edges]
    for number, vertex in enumerate(last):
        channels[vertex] = out_channels // len(last) + (number < out_channels % len(last))
    for vertex in reversed(between):
        if vertex not in last:
            channels[vertex] = max(channels[b] for a, b in cell.edges if a == vertex)
    return channels


@lru_cache(maxsize=4096)
def canonical_graph(cell: CellGraph) -> CellGraph:
    """Return the pruned cell that stands for all that are isomorphic to it.

    The order of the vertices decides who has a channel more where they do not come out even. Of
    all orders, it is the one with the fewest parameters in the published network, and of these
    the first one.
    """
    return min(_orders(cell), key=lambda c: (_parameters(c), sorted(c.edges), c.operations))


def _orders(cell: CellGraph) -> Iterator[CellGraph]:
    """Yield the cell with its vertices in every order that its edges allow."""
    between = range(1, cell.output)
    for order in permutations(between):
        place = {0: 0, cell.output: cell.output} | dict(zip(between, order, strict=True))
        edges = frozenset((place[a], place[b]) for a, b in cell.edges)
        if all(a < b for a, b in edges):
            operations = dict(zip(order, cell.operations, strict=True))
            yield CellGraph(tuple(operations[vertex] for vertex in between), edges)


def _parameters(cell: CellGraph) -> int:
    """Return the parameters of six of the nine published cells, one per shape and place."""
    return sum(cell_parameters(cell, *shape) for shape in _SHAPES)


def cell_parameters(cell: CellGraph, in_channels: int, out_channels: int) -> int:
    """Return the number of parameters of one pruned cell."""
    channels = vertex_channels(cell, in_channels, out_channels)
    projected = (target for source, target in cell.edges if source == 0)
    convolutions = [(in_channels, channels[target], 1) for target in projected]
    for vertex, operation in enumerate(cell.operations, start=1):
        if operation != POOL:
            convolutions.append((channels[vertex], channels[vertex], _KERNELS[operation]))
    return sum(width * (kernel**2 * read + 2) for read, width, kernel in convolutions)


def published_hash(cell: CellGraph) -> str:
    """Return the hash by which the benchmark names a cell; equal for isomorphic pruned cells."""
    labels = [-1, *(OPERATIONS.index(operation) for operation in cell.operations), -2]
    vertices = range(len(labels))
    sources = [[a for a, b in cell.edges if b == vertex] for vertex in vertices]
    targets = [[b for a, b in cell.edges if a == vertex] for vertex in vertices]
    names = [_md5(str((len(targets[v]), len(sources[v]), labels[v]))) for v in vertices]
    for _ in vertices:
        names = [
            _md5(
                "".join(sorted(names[a] for a in sources[v]))
                + "|"
                + "".join(sorted(names[b] for b in targets[v]))
                + "|"
                + names[v]
            )
            for v in vertices
        ]
    return _md5(str(sorted(names)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
