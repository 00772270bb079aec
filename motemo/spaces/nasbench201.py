"""NAS-Bench-201: one cell of four nodes and six edges, five operations an edge, 15,625 cells.

Reference: Dong and Yang, *NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search*, ICLR 2020, https://arxiv.org/abs/2001.00326.

Three partitions of the 15,625 written cells are kept apart:

* the *written genotype*: what published parameters and FLOPs count;
* the *computed function*, which `canonical` stands for: operations that see only zeros or that
  never reach the output are dead and removed, relabelled graphs are merged, sums of average
  poolings are merged with poolings of sums (pooling is linear), and two convolutions with weights
  of their own are told apart from one convolution used twice;
* the *published topology*, by `topology`: it keeps some dead branches and merges parallel
  convolutions. Never cache values on it.

Deviation: the input size need not be even; the residual reductions round up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from motemo.drawing import Drawing
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.cell_drawing import edge_cell, network_around
from motemo.spaces.cell_function import EDGES as EDGES
from motemo.spaces.cell_function import Operations as Operations
from motemo.spaces.cell_function import cheapest_cells, computed_function, is_connected

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
PUBLISHED_TOPOLOGIES = 6466
STAGES = 3
"""Stages of cells, each twice as wide as the one before."""

_GENES = tuple(Gene(f"edge_{source}_{target}", OPERATIONS) for source, target in EDGES)
_OPERATION = re.compile(r"(\w+)~(\d)")
_EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"


@dataclass(frozen=True)
class NasBench201(Space):
    """The NAS-Bench-201 cell space, with the published macro skeleton around the cell.

    Attributes:
        channels: Channels of the first stage (C); the second and third have 2C and 4C.
        cells: Cells per stage (N).
        reduced_channels: Channels of the reduced architecture.
        reduced_cells: Its cells before the pooling, and after it.
        reduced_residual: Whether its cells have a skip connection around them.
        reduced_activation: Whether a ReLU follows each of its cells, as in the published scores.
        genes: Six edges, in the order of `EDGES`.
    """

    estimate = "mote"
    name: str = "nasbench201"
    channels: int = 16
    cells: int = 5
    reduced_channels: int = 32
    reduced_cells: int = 1
    reduced_residual: bool = False
    reduced_activation: bool = False
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        for option in ("channels", "cells", "reduced_channels", "reduced_cells"):
            if getattr(self, option) < 1:
                raise SettingsError(
                    f"`{option}` must be at least 1; got {getattr(self, option)!r}."
                )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published string, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
        return write_operations(tuple(str(values[gene.name]) for gene in _GENES))

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the operation of every edge."""
        operations = read_operations(genotype)
        return {gene.name: operation for gene, operation in zip(_GENES, operations, strict=True)}

    def canonical(self, genotype: str) -> str:
        """Return the cheapest cell that computes the same function.

        All cells without a path from input to output share one canonical form, the empty cell.
        """
        return canonical_cells()[read_operations(genotype)]

    def invalid_reason(self, genotype: str) -> str | None:
        """Cells without a path from input to output are invalid (341 of the 15,625)."""
        connected = is_connected(read_operations(genotype))
        return None if connected else "the cell has no path from its input to its output"

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network: stem, three stages, residual reductions, classifier."""
        from motemo.spaces.nasbench201_network import full_network

        return full_network(
            edges_of(genotype),
            in_channels=input_shape[0],
            channels=self.channels,
            cells=self.cells,
            classes=classes,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the reduced architecture: two cells of 32 channels."""
        from motemo.spaces.nasbench201_network import reduced_network

        return reduced_network(
            edges_of(genotype),
            in_channels=input_shape[0],
            channels=self.reduced_channels,
            cells=self.reduced_cells,
            classes=classes,
            residual=self.reduced_residual,
            activation=self.reduced_activation,
        )

    def identity(self) -> dict[str, Json]:
        """Name, macro skeleton and reduced architecture."""
        return {
            "name": self.name,
            "channels": self.channels,
            "cells": self.cells,
            "reduced_channels": self.reduced_channels,
            "reduced_cells": self.reduced_cells,
            "reduced_residual": self.reduced_residual,
            "reduced_activation": self.reduced_activation,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the cell, and the network around it."""
        network = ["conv 3×3"]
        for stage in range(STAGES):
            network += ["/2"] if stage else []
            network.append(f"{self.cells} cells, {self.channels * 2**stage} ch")
        cell = edge_cell(edges_of(genotype))
        return Drawing((cell, network_around(*network, "classifier")))

    def as_published(self) -> NasBench201:
        """Return the space with a ReLU after each cell of the reduced architecture.

        The authors' code has none there. The training losses that they published show one: see
        `scripts/check_published_traces.py`.
        """
        return replace(self, reduced_activation=True)

    def scaled(self, *, width: float, depth: float) -> NasBench201:
        """Return the space with other channels and numbers of cells."""
        return replace(
            self,
            channels=max(1, round(width * self.channels)),
            cells=max(1, round(depth * self.cells)),
            reduced_channels=max(1, round(width * self.reduced_channels)),
            reduced_cells=max(1, round(depth * self.reduced_cells)),
        )


def write_operations(operations: Operations) -> str:
    """Return the published string of six operations."""
    parts = [f"{op}~{source}" for (source, _), op in zip(EDGES, operations, strict=True)]
    nodes = (parts[0:1], parts[1:3], parts[3:6])
    return "+".join(f"|{'|'.join(node)}|" for node in nodes)


@cache
def read_operations(genotype: str) -> Operations:
    """Return the six operations of a published string.

    Raises:
        GenotypeError: The string is malformed or names an unknown operation.
    """
    found = _OPERATION.findall(genotype)
    operations = tuple(operation for operation, _ in found)
    unknown = sorted(set(operations) - set(OPERATIONS))
    if unknown:
        raise GenotypeError(
            f"Unknown operation {unknown[0]!r} in the NAS-Bench-201 genotype {genotype!r}. "
            f"Operations: {', '.join(OPERATIONS)}."
        )
    if len(operations) != len(EDGES) or write_operations(operations) != genotype:
        raise GenotypeError(
            f"Malformed NAS-Bench-201 genotype {genotype!r}. The form is "
            f"'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|', for example '{_EXAMPLE}'."
        )
    return operations


def edges_of(genotype: str) -> list[tuple[int, int, str]]:
    """Return source, target and operation of every edge."""
    operations = read_operations(genotype)
    return [(source, target, op) for (source, target), op in zip(EDGES, operations, strict=True)]


def topology(genotype: str) -> str:
    """Return the published topology string; 6,466 of them partition the space.

    The rule of the benchmark's own `to_unique_str` with zeros considered: an edge of operation
    `none`, or out of a node that is written as one single zero, is a zero; skip connections
    vanish; summands are sorted.
    """
    nodes = ["0"]
    operations = iter(read_operations(genotype))
    for target in (1, 2, 3):
        summands = []
        for source in range(target):
            operation = next(operations)
            if operation == "none" or nodes[source] == "#":
                summands.append("#")
            elif operation == "skip_connect":
                summands.append(nodes[source])
            else:
                summands.append(f"({nodes[source]})@{operation}")
        nodes.append("+".join(sorted(summands)))
    return nodes[-1]


@cache
def canonical_cells() -> dict[Operations, str]:
    """Return the canonical genotype of every cell in the space."""
    cells = cheapest_cells(OPERATIONS, computed_function)
    return {operations: write_operations(cheapest) for operations, cheapest in cells.items()}
