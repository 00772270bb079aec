"""Cells of DARTS: four nodes of two operations each; when do two compute the same?

Reference: Liu, Simonyan and Yang, *DARTS: Differentiable Architecture Search*, ICLR 2019 (the
cell).

A cell has two inputs (0 and 1) and the nodes 2 to 5, each the sum of two operations on two
different earlier ones. Its output is the concatenation of the four nodes. What reads it begins
with a 1x1 convolution or a linear layer, so the order of the nodes is no part of the function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import TypeAlias

NODES = range(2, 6)
"""The nodes that hold sums; 0 and 1 are the inputs."""
NONE, SKIP, AVERAGE, MAXIMUM = "none", "skip_connect", "avg_pool_3x3", "max_pool_3x3"

Edge: TypeAlias = tuple[str, int]
"""Operation, and the node that it reads."""
Cell: TypeAlias = tuple[Edge, ...]
"""Two edges per node, in the order of the nodes; of a node's two, the lower source first."""

# A node holds a formal sum: how often each term occurs in it. A term is an atom after k average
# poolings (pooling is linear); an atom is an input or what an operation that is not linear, or has
# weights, makes of a sum. In a reduction cell, whatever reads an input has stride 2 and makes an
# atom too: its skip connection has weights.
_Term: TypeAlias = tuple[int, int]
_Sum: TypeAlias = tuple[tuple[_Term, int], ...]


@dataclass(frozen=True)
class _Atom:
    operation: str
    argument: _Sum


@dataclass(frozen=True)
class _Function:
    """What a cell computes: the sums in its nodes, over atoms with numbers."""

    reduction: bool
    atoms: tuple[_Atom, ...]
    sums: tuple[_Sum, ...]


_INPUTS: tuple[_Sum, _Sum] = ((((0, 0), 1),), (((0, 1), 1),))
_INPUT_ATOMS = (_Atom("input", ()), _Atom("input", ()))


@lru_cache(maxsize=4096)
def canonical_cell(cell: Cell, operations: tuple[str, ...], *, reduction: bool) -> Cell:
    """Return the cell that stands for all that compute the same function.

    "The same" means: for some one-to-one assignment of the weights of one cell's live operations
    to those of the other, the same nodes, in some order. An operation that sees only zeros is
    dead. Of all cells with the function, it is the one with the fewest poolings, and of these
    the first in the order of their edges; dead operations become `none`.

    Args:
        cell: The cell.
        operations: The operations that a cell of the space may have.
        reduction: Whether operations on the inputs have stride 2.
    """
    function = _function(cell, reduction=reduction)
    return min(_cells_with(function, operations), key=lambda c: (_poolings(c), c))


def is_dead(cell: Cell) -> bool:
    """Return whether all nodes hold zeros, whatever the inputs are."""
    return not any(_function(cell, reduction=False).sums)


def _poolings(cell: Cell) -> int:
    return sum(operation in (AVERAGE, MAXIMUM) for operation, _ in cell)


def _makes_atom(operation: str, source: int, *, reduction: bool) -> bool:
    return operation not in (SKIP, AVERAGE) or (reduction and source not in NODES)


def _linear(operation: str, value: _Sum) -> _Sum:
    if operation == SKIP:
        return value
    return tuple(((poolings + 1, atom), n) for (poolings, atom), n in value)


def _add(one: _Sum, other: _Sum) -> _Sum:
    total: Counter[_Term] = Counter()
    for term, n in (*one, *other):
        total[term] += n
    return tuple(sorted(total.items()))


def _function(cell: Cell, *, reduction: bool) -> _Function:
    atoms = list(_INPUT_ATOMS)
    sums = list(_INPUTS)
    for first, second in zip(cell[::2], cell[1::2], strict=True):
        terms: list[_Sum] = []
        for operation, source in (first, second):
            value = sums[source]
            if operation == NONE or not value:
                terms.append(())
            elif not _makes_atom(operation, source, reduction=reduction):
                terms.append(_linear(operation, value))
            else:
                terms.append((((0, _place(_Atom(operation, value), atoms)), 1),))
        sums.append(_add(*terms))
    return _Function(reduction, tuple(atoms), tuple(sums[2:]))


def _place(atom: _Atom, atoms: list[_Atom]) -> int:
    """Return the number of an atom; poolings of one sum are one atom, weights are never shared."""
    if atom.operation in (AVERAGE, MAXIMUM) and atom in atoms:
        return atoms.index(atom)
    atoms.append(atom)
    return len(atoms) - 1


@dataclass(frozen=True)
class _Partial:
    """The beginning of a cell: its first nodes.

    Attributes:
        edges: Two per node.
        sums: What the inputs and these nodes hold.
        left: What the other nodes are to hold, in any order.
        made: Numbers of the atoms that these nodes make.
    """

    edges: Cell
    sums: tuple[_Sum, ...]
    left: tuple[_Sum, ...]
    made: frozenset[int] = frozenset()


def _cells_with(
    function: _Function, operations: tuple[str, ...], begun: _Partial | None = None
) -> Iterator[Cell]:
    """Yield the cells that have the function; of those that differ in what `none` reads, one."""
    begun = begun or _Partial((), _INPUTS, function.sums)
    if not begun.left:
        yield begun.edges
    for target in dict.fromkeys(begun.left):
        rest = list(begun.left)
        rest.remove(target)
        for first, second in combinations(range(len(begun.sums)), 2):
            one_way, other_way = (
                _edges_into(target, source, function, operations, begun)
                for source in (first, second)
            )
            for (one, a, made_a), (other, b, made_b) in product(one_way, other_way):
                if _add(a, b) != target or made_a & made_b or _none_is_moved(one, other):
                    continue
                node = _Partial(
                    (*begun.edges, one, other),
                    (*begun.sums, target),
                    tuple(rest),
                    begun.made | made_a | made_b,
                )
                yield from _cells_with(function, operations, node)


def _edges_into(
    target: _Sum, source: int, function: _Function, operations: tuple[str, ...], begun: _Partial
) -> list[tuple[Edge, _Sum, frozenset[int]]]:
    """Return edges out of a node that add a part of the target, the part, the atoms made."""
    value = begun.sums[source]
    terms = dict(target)
    found: list[tuple[Edge, _Sum, frozenset[int]]] = []
    for operation in operations:
        edge = (operation, source)
        if operation == NONE:
            found.append((edge, (), frozenset()))
        elif value and not _makes_atom(operation, source, reduction=function.reduction):
            part = _linear(operation, value)
            if all(terms.get(term, 0) >= n for term, n in part):
                found.append((edge, part, frozenset()))
        elif value:
            atom = _Atom(operation, value)
            for number, other in enumerate(function.atoms):
                if other == atom and (0, number) in terms and number not in begun.made:
                    made = frozenset() if operation in (AVERAGE, MAXIMUM) else frozenset({number})
                    found.append((edge, (((0, number), 1),), made))
    return found


def _none_is_moved(one: Edge, other: Edge) -> bool:
    """Return whether a `none` reads another node than the first that it could read."""
    if one[0] == NONE:
        return one[1] != 0 if other[0] != NONE else (one[1], other[1]) != (0, 1)
    return other[0] == NONE and other[1] != (1 if one[1] == 0 else 0)
