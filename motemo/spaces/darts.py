"""DARTS and NAS-Bench-301: a normal and a reduction cell of four nodes, eight operations each.

References: Liu, Simonyan and Yang, *DARTS: Differentiable Architecture Search*, ICLR 2019,
https://arxiv.org/abs/1806.09055; Zela et al., *Surrogate NAS Benchmarks* (NAS-Bench-301), ICLR
2022, https://arxiv.org/abs/2008.09777; for the sets of operations also Chen et al., *P-DARTS*,
ICCV 2019, and Pham et al., *ENAS*, ICML 2018.

A genotype is the published pair of cells as compact JSON,
`{"normal":[["sep_conv_3x3",0],["skip_connect",1],...],"reduce":[...]}`: operation and source
node, two per node. The form of the published code, `Genotype(normal=[('sep_conv_3x3', 0), ...],
normal_concat=..., reduce=..., reduce_concat=...)`, is read too; the nodes that it concatenates
must be the four nodes of a cell.

Deviations: no auxiliary head and no dropped paths, which are parts of a training; the input size
need not be even (resolutions round up).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

from motemo.drawing import Drawing
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.darts_cell import NODES, Cell, canonical_cell, is_dead
from motemo.spaces.darts_drawing import draw_cells

if TYPE_CHECKING:
    from motemo.spaces.darts_network import DartsNetwork, ReducedNetwork

KINDS = ("normal", "reduce")
"""The two cells, as genotypes name them."""
_WITHOUT_NONE = (
    *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
)
OPERATION_SETS: Mapping[str, tuple[str, ...]] = {
    "darts": ("none", *_WITHOUT_NONE),
    "nasbench301": _WITHOUT_NONE,
    "enas": _WITHOUT_NONE[:5],
}
"""Operations by the name of their set. P-DARTS has those of `darts`; ENAS's cell has other nodes,
only its operations are here."""
STEMS = ("cifar", "imagenet")
LEAST_CELLS = 3
"""Fewer cells would not have a normal one and a reduction."""

_FORM = (
    'The form is {"normal":[[operation,source],...],"reduce":[...]} with eight pairs each, two '
    "for each of the nodes 2 to 5, from two different earlier nodes"
)


@dataclass(frozen=True)
class Darts(Space):
    """The DARTS space, by default with the published network for CIFAR-10.

    Attributes:
        name: `darts` or, for the network of NAS-Bench-301, `nasbench301`.
        operations: Name of the set of operations, one of `OPERATION_SETS`.
        channels: Channels of a node in the first cells; twice as many after each reduction.
        cells: Cells; those after one and two thirds are reductions.
        stem: `cifar`, or `imagenet`, which divides the resolution by 8.
        reduced_channels: Channels of the reduced architecture.
        genes: Of each cell, by node: the two nodes that it reads (the first one reads 0 and 1),
            the operation on the lower one, and on the higher one.

    Raises:
        SettingsError: An option has no such value.
    """

    estimate = "mote"
    name: str = "darts"
    operations: str = "darts"
    channels: int = 36
    cells: int = 20
    stem: str = "cifar"
    reduced_channels: int = 32
    genes: tuple[Gene, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, allowed in (("operations", (*OPERATION_SETS,)), ("stem", STEMS)):
            if getattr(self, name) not in allowed:
                raise SettingsError(
                    f"`{name}` must be one of {', '.join(allowed)}; got {getattr(self, name)!r}."
                )
        for name, least in (("channels", 2), ("cells", LEAST_CELLS), ("reduced_channels", 2)):
            if getattr(self, name) < least:
                raise SettingsError(
                    f"`{name}` must be at least {least}; got {getattr(self, name)}."
                )
        object.__setattr__(self, "genes", _genes(OPERATION_SETS[self.operations]))

    @classmethod
    def nasbench301(
        cls,
        *,
        operations: str = "nasbench301",
        channels: int = 32,
        cells: int = 8,
        stem: str = "cifar",
        reduced_channels: int = 32,
    ) -> Darts:
        """Return the space and the network of NAS-Bench-301: no `none`, 8 cells, 32 channels."""
        return cls("nasbench301", operations, channels, cells, stem, reduced_channels)

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return both cells as compact JSON; of a node's two edges, the lower source first."""
        cells = {}
        for kind in KINDS:
            edges: list[tuple[str, int]] = []
            for node in NODES:
                pair = str(values.get(_sources(kind, node), "0-1"))
                operations = (str(values[name]) for name in _operations(kind, node))
                edges += zip(operations, map(int, pair.split("-")), strict=True)
            cells[kind] = tuple(edges)
        return _written(cells)

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return sources and operations of every node."""
        cells = self._cells(genotype)
        return {
            gene: value
            for kind in KINDS
            for gene, value in _values(kind, cells[kind])
            if gene != _sources(kind, NODES[0])
        }

    def canonical(self, genotype: str) -> str:
        """Return the cells that stand for all that compute the same function.

        Nodes are put in one order, edges from nodes that hold a copy of an input are moved, sums
        of average poolings are merged with poolings of sums, and dead operations become `none`.
        """
        operations = OPERATION_SETS[self.operations]
        cells = self._cells(genotype)
        return _written(
            {
                kind: canonical_cell(cells[kind], operations, reduction=kind == "reduce")
                for kind in KINDS
            }
        )

    def invalid_reason(self, genotype: str) -> str | None:
        """A cell whose four nodes are all zero passes nothing on."""
        for kind, cell in self._cells(genotype).items():
            if is_dead(cell):
                return f"the cell {kind!r} passes nothing of its inputs on"
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> DartsNetwork:
        """Return the published network: stem, cells, global pooling, classifier."""
        from motemo.spaces.darts_network import full_network

        cells = self._cells(genotype)
        return full_network(
            cells["normal"],
            cells["reduce"],
            in_channels=input_shape[0],
            channels=self.channels,
            cells=self.cells,
            stem=self.stem,
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> ReducedNetwork:
        """Return MOTE's reduced architecture: the normal cell, 4x4 pooling, the other cell."""
        from motemo.spaces.darts_network import reduced_network

        cells = self._cells(genotype)
        return reduced_network(
            cells["normal"],
            cells["reduce"],
            in_channels=input_shape[0],
            channels=self.reduced_channels,
            classes=classes,
        )

    def identity(self) -> dict[str, Json]:
        """Name, operations, skeleton and reduced architecture."""
        return {
            "name": self.name,
            "operations": self.operations,
            "channels": self.channels,
            "cells": self.cells,
            "stem": self.stem,
            "reduced_channels": self.reduced_channels,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return both cells, and the network that they make."""
        cells = self._cells(genotype)
        return draw_cells(
            cells["normal"],
            cells["reduce"],
            cells=self.cells,
            channels=self.channels,
            stem=self.stem,
        )

    def scaled(self, *, width: float, depth: float) -> Darts:
        """Return the space with other channels and numbers of cells, at least three.

        The reduced architecture has one cell of each kind at any depth.
        """
        return replace(
            self,
            channels=max(2, round(width * self.channels)),
            cells=max(LEAST_CELLS, round(depth * self.cells)),
            reduced_channels=max(2, round(width * self.reduced_channels)),
        )

    def _cells(self, genotype: str) -> dict[str, Cell]:
        return _read(genotype, OPERATION_SETS[self.operations])


def _sources(kind: str, node: int) -> str:
    return f"{kind}_{node}_sources"


def _operations(kind: str, node: int) -> tuple[str, str]:
    """Return the names of the genes of the operations on the lower and on the higher source."""
    return f"{kind}_{node}_lower", f"{kind}_{node}_higher"


def _genes(operations: tuple[str, ...]) -> tuple[Gene, ...]:
    genes = []
    for kind in KINDS:
        for node in NODES:
            pairs = tuple(f"{a}-{b}" for a, b in combinations(range(node), 2))
            if len(pairs) > 1:
                genes.append(Gene(_sources(kind, node), pairs))
            genes += [Gene(name, operations) for name in _operations(kind, node)]
    return tuple(genes)


def _values(kind: str, cell: Cell) -> list[tuple[str, Choice]]:
    values: list[tuple[str, Choice]] = []
    for node, lower, higher in zip(NODES, cell[::2], cell[1::2], strict=True):
        values.append((_sources(kind, node), f"{lower[1]}-{higher[1]}"))
        values += zip(_operations(kind, node), (lower[0], higher[0]), strict=True)
    return values


def _written(cells: Mapping[str, Cell]) -> str:
    return json.dumps({kind: cells[kind] for kind in KINDS}, separators=(",", ":"))


@lru_cache(maxsize=4096)
def _read(genotype: str, operations: tuple[str, ...]) -> dict[str, Cell]:
    """Return both cells; of a node's two edges, the lower source first.

    Raises:
        GenotypeError: The genotype is malformed or has an operation that is not of the set.
    """
    written = _parsed(genotype)
    if written is None or sorted(written) != sorted(KINDS):
        raise GenotypeError(f"Malformed DARTS genotype {genotype!r}. {_FORM}.")
    return {kind: _cell(written[kind], genotype, operations) for kind in KINDS}


def _cell(written: object, genotype: str, operations: tuple[str, ...]) -> Cell:
    edges: list[tuple[str, int]] = []
    for edge in written if isinstance(written, list) else ():
        match edge:
            case [str(operation), int(source)] if not isinstance(source, bool):
                edges.append((operation, source))
            case _:
                raise GenotypeError(f"Malformed edge {edge!r} in {genotype!r}. {_FORM}.")
    unknown = [operation for operation, _ in edges if operation not in operations]
    if unknown:
        raise GenotypeError(
            f"Unknown operation {unknown[0]!r} in the DARTS genotype {genotype!r}. "
            f"Operations: {', '.join(operations)}."
        )
    pairs = [sorted(edges[n : n + 2], key=lambda edge: edge[1]) for n in range(0, len(edges), 2)]
    right = len(edges) == 2 * len(NODES) and all(
        0 <= lower < higher < node
        for node, ((_, lower), (_, higher)) in zip(NODES, pairs, strict=True)
    )
    if not right:
        raise GenotypeError(f"Wrong nodes in the DARTS genotype {genotype!r}. {_FORM}.")
    return tuple(edge for pair in pairs for edge in pair)


def _parsed(genotype: str) -> dict[str, Any] | None:
    """Return the cells of either form as plain lists, or None."""
    try:
        if genotype.startswith("Genotype("):
            return _parsed_call(ast.parse(genotype, mode="eval").body)
        loaded = json.loads(genotype)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _parsed_call(call: ast.expr) -> dict[str, Any] | None:
    """Return the cells of `Genotype(normal=[...], normal_concat=..., ...)`, which is not run."""
    if not isinstance(call, ast.Call) or call.args:
        return None
    cells: dict[str, Any] = {}
    for keyword in call.keywords:
        name = keyword.arg or ""
        if not name.endswith("_concat"):
            cells[name] = [list(edge) for edge in ast.literal_eval(keyword.value)]
        elif not _is_of_all_nodes(keyword.value):
            return None
    return cells


def _is_of_all_nodes(concatenated: ast.expr) -> bool:
    if isinstance(concatenated, ast.Call):
        return range(*map(ast.literal_eval, concatenated.args)) == NODES
    return sorted(ast.literal_eval(concatenated)) == [*NODES]
