"""Cells of four nodes and six edges, as in NAS-Bench-201: when do two compute the same?

Used by every space whose cell has this form. References: Dong and Yang, *NAS-Bench-201*, ICLR
2020 (the cell); `docs/nasbench201.md` (what is merged and what is kept apart).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import TypeAlias

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Edges `(source, target)` in the order in which a genotype lists them."""

Operations: TypeAlias = tuple[str, ...]
"""One operation per edge, in the order of `EDGES`."""


def is_connected(operations: Operations) -> bool:
    """Return whether a path of edges leads from the cell's input to its output."""
    reached = {0}
    for (source, target), operation in zip(EDGES, operations, strict=True):
        if operation != "none" and source in reached:
            reached.add(target)
    return 3 in reached


# The computed function of a cell. A node holds a formal sum: how often each term occurs in it. A
# term is an atom after k average poolings; an atom is the cell's input (-1) or the output of one
# convolution, numbered in the order of the edges; a skip connection with weights of its own is
# one too. ReLU, convolution and normalisation keep two different sums apart, so equal sums are the
# only way to compute the same function.
_Term: TypeAlias = tuple[int, int]
_Sum: TypeAlias = "Counter[_Term]"
_INPUT = -1


@dataclass(frozen=True)
class _Convolution:
    operation: str
    argument: _Sum

    __hash__ = None  # type: ignore[assignment]


Function: TypeAlias = tuple[object, ...]


def computed_function(operations: Operations, *, changes_shape: bool = False) -> Function:
    """Return a value that is equal for two cells exactly if they compute the same function.

    "The same" means: for some one-to-one assignment of the weights of one cell's live
    convolutions to those of the other, equal outputs for every input and all weights. An
    operation that sees only zeros counts as dead (after training, a batch normalisation there
    might add a constant; a search never builds it).

    Args:
        operations: The cell.
        changes_shape: Whether the cell changes width or resolution, so that a skip connection
            from the input is an operation with weights of its own.
    """
    convolutions: list[_Convolution] = []
    nodes: list[_Sum] = [Counter({(0, _INPUT): 1}), Counter(), Counter(), Counter()]
    for (source, target), operation in zip(EDGES, operations, strict=True):
        value = nodes[source]
        if operation == "skip_connect" and not (changes_shape and source == 0):
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


def cheapest_cells(
    choices: Sequence[str], function: Callable[[Operations], object]
) -> dict[Operations, Operations]:
    """Return, for every cell of these operations, the cheapest cell with an equal function.

    Args:
        choices: The operations that an edge may have.
        function: Gives a value that is equal for two cells exactly if they are the same.
    """
    cheapest: dict[object, Operations] = {}
    functions: dict[Operations, object] = {}
    for operations in sorted(product(choices, repeat=len(EDGES)), key=_price):
        functions[operations] = function(operations)
        cheapest.setdefault(functions[operations], operations)
    return {operations: cheapest[value] for operations, value in functions.items()}
