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
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations, product
from typing import TYPE_CHECKING, TypeAlias

from motemo.errors import GenotypeError
from motemo.space import Choice, Gene, Json, Shape, Space

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Edges `(source, target)` in the order in which a genotype lists them."""
PUBLISHED_TOPOLOGIES = 6466

_GENES = tuple(Gene(f"edge_{source}_{target}", OPERATIONS) for source, target in EDGES)
_OPERATION = re.compile(r"(\w+)~(\d)")
_EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"

Operations: TypeAlias = tuple[str, ...]
"""One operation per edge, in the order of `EDGES`."""


@dataclass(frozen=True)
class NasBench201(Space):
    """The NAS-Bench-201 cell space, with the published macro skeleton around the cell.

    Attributes:
        channels: Channels of the first stage (C); the second and third have 2C and 4C.
        cells: Cells per stage (N).
        genes: Six edges, in the order of `EDGES`.
    """

    name: str = "nasbench201"
    channels: int = 16
    cells: int = 5
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

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
        reached = {0}
        for (source, target), operation in zip(EDGES, read_operations(genotype), strict=True):
            if operation != "none" and source in reached:
                reached.add(target)
        return None if 3 in reached else "the cell has no path from its input to its output"

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
        """Return the published reduced architecture: two cells of 32 channels."""
        from motemo.spaces.nasbench201_network import reduced_network

        return reduced_network(edges_of(genotype), in_channels=input_shape[0], classes=classes)

    def identity(self) -> dict[str, Json]:
        """Name and macro skeleton."""
        return {"name": self.name, "channels": self.channels, "cells": self.cells}


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


# The computed function of a cell. A node holds a formal sum: how often each term occurs in it. A
# term is an atom after k average poolings; an atom is the cell's input (-1) or the output of one
# convolution, numbered in the order of the edges. ReLU, convolution and normalisation keep two
# different sums apart, so equal sums are the only way to compute the same function.
_Term: TypeAlias = tuple[int, int]
_Sum: TypeAlias = "Counter[_Term]"
_INPUT = -1


@dataclass(frozen=True)
class _Convolution:
    operation: str
    argument: _Sum

    __hash__ = None  # type: ignore[assignment]


Function: TypeAlias = tuple[object, ...]


def computed_function(operations: Operations) -> Function:
    """Return a value that is equal for two cells exactly if they compute the same function.

    "The same" means: for some one-to-one assignment of the weights of one cell's live
    convolutions to those of the other, equal outputs for every input and all weights. An
    operation that sees only zeros counts as dead (after training, a batch normalisation there
    might add a constant; a search never builds it).
    """
    convolutions: list[_Convolution] = []
    nodes: list[_Sum] = [Counter({(0, _INPUT): 1}), Counter(), Counter(), Counter()]
    for (source, target), operation in zip(EDGES, operations, strict=True):
        value = nodes[source]
        if operation == "skip_connect":
            nodes[target].update(value)
        elif operation == "avg_pool_3x3":
            nodes[target].update({(k + 1, atom): n for (k, atom), n in value.items()})
        elif operation != "none" and value:
            convolutions.append(_Convolution(operation, value))
            nodes[target][(0, len(convolutions) - 1)] += 1
    output = nodes[3]
    live = _live(convolutions, output)
    orders = _consistent_orders(convolutions, live)
    return min(_serialise(convolutions, output, order) for order in orders)


def _live(convolutions: list[_Convolution], output: _Sum) -> set[int]:
    live: set[int] = set()
    waiting = [atom for _, atom in output if atom != _INPUT]
    while waiting:
        atom = waiting.pop()
        if atom not in live:
            live.add(atom)
            waiting += [a for _, a in convolutions[atom].argument if a != _INPUT]
    return live


def _consistent_orders(convolutions: list[_Convolution], live: set[int]) -> Iterator[list[int]]:
    """Yield every order of the live convolutions that a relabelling cannot tell from another.

    Convolutions are sorted by what they compute when weights are not told apart; only those that
    this leaves equal are permuted.
    """
    shape: dict[int, str] = {}
    for index in sorted(live):  # arguments come before their users
        convolution = convolutions[index]
        terms = sorted(
            (k, "" if atom == _INPUT else shape[atom], n)
            for (k, atom), n in convolution.argument.items()
        )
        shape[index] = f"{convolution.operation}{terms}"
    groups: dict[str, list[int]] = {}
    for index in live:
        groups.setdefault(shape[index], []).append(index)
    ordered = [groups[s] for s in sorted(groups, key=lambda s: (len(s), s))]
    for parts in product(*(permutations(group) for group in ordered)):
        yield [index for part in parts for index in part]


def _serialise(convolutions: list[_Convolution], output: _Sum, order: list[int]) -> Function:
    label = {index: position for position, index in enumerate(order)} | {_INPUT: _INPUT}

    def terms(value: _Sum) -> Function:
        return tuple(sorted((k, label[atom], n) for (k, atom), n in value.items()))

    body = tuple((convolutions[i].operation, terms(convolutions[i].argument)) for i in order)
    return (*body, terms(output))


def _price(operations: Operations) -> tuple[object, ...]:
    """Sort key that puts the cheapest way to write a function first."""
    counts = Counter(operations)
    dear_first = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect")
    return (*(counts[operation] for operation in dear_first), operations)


@cache
def canonical_cells() -> dict[Operations, str]:
    """Return the canonical genotype of every cell in the space."""
    cheapest: dict[Function, Operations] = {}
    functions: dict[Operations, Function] = {}
    for operations in sorted(product(OPERATIONS, repeat=len(EDGES)), key=_price):
        functions[operations] = computed_function(operations)
        cheapest.setdefault(functions[operations], operations)
    return {ops: write_operations(cheapest[function]) for ops, function in functions.items()}
