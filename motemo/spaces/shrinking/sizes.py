"""Sizes of tensor axes as sums of products of unknown widths.

While a network is followed, every width that a layer chooses becomes an `Atom`. Axes that must
agree, as those of two terms of a sum, are made equal by binding atoms to one another. What cannot
be expressed is frozen: its atoms keep their sizes. In the end, giving every free atom a new size
gives every axis one, and all axes still agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeAlias

Atom: TypeAlias = int
"""Number of a width."""


@dataclass(frozen=True)
class Term:
    """A product: a whole number times widths.

    Attributes:
        factor: The number.
        atoms: The widths.
    """

    factor: int
    atoms: tuple[Atom, ...] = ()


Axis: TypeAlias = tuple[Term, ...]
"""The size of an axis: a sum of terms, in the order in which they lie along the axis."""

_MOST_CUTS = 4
_LEAST_WIDTH = 4
"""Of the factors of a reshaped axis, the last of at least this size is taken for a width."""


ONE: Axis = (Term(1),)


def constant(size: int) -> Axis:
    """Return an axis whose size never changes."""
    return (Term(size),)


@dataclass
class Sizes:
    """All widths of one network and what binds them.

    Attributes:
        original: The size of each atom in the network as it was built.
    """

    original: list[int] = field(default_factory=list)
    _bound: dict[Atom, Axis] = field(default_factory=dict)

    def new(self, size: int) -> Axis:
        """Return the axis of a new width."""
        self.original.append(size)
        return (Term(1, (len(self.original) - 1,)),)

    def resolve(self, axis: Axis) -> Axis:
        """Return an axis with every bound atom replaced by what it is bound to."""
        found: list[Term] = []
        for term in axis:
            product = constant(term.factor)
            for atom in term.atoms:
                bound = self._bound.get(atom)
                inner = self.resolve(bound) if bound else (Term(1, (atom,)),)
                product = _times(product, inner)
            found += product
        return tuple(found)

    def size(self, axis: Axis, widths: Mapping[Atom, int] | None = None) -> int:
        """Return the size of an axis; with `widths`, new sizes of free atoms, the new one."""
        widths = widths or {}
        return sum(
            term.factor * math.prod(widths.get(a, self.original[a]) for a in term.atoms)
            for term in self.resolve(axis)
        )

    def free(self, axis: Axis) -> set[Atom]:
        """Return the atoms that an axis depends on."""
        return {atom for term in self.resolve(axis) for atom in term.atoms}

    def freeze(self, *axes: Axis) -> None:
        """Keep the sizes of axes for good."""
        for axis in axes:
            for atom in self.free(axis):
                self._bound[atom] = constant(self.original[atom])

    def unify(self, one: Axis, other: Axis) -> None:
        """Make two axes of equal size agree."""
        one, other = self.resolve(one), self.resolve(other)
        if one == other:
            return
        for lone, axis in ((one, other), (other, one)):
            atom = _lone(lone)
            if atom is not None and atom not in self.free(axis):
                self._bound[atom] = axis
                return
        one, other = self._cut_alike(one, other)
        if self._term_sizes(one) != self._term_sizes(other):
            self.freeze(one, other)
            return
        for a, b in zip(one, other, strict=True):
            self._unify_terms(a, b)

    def _term_sizes(self, axis: Axis) -> list[int]:
        return [self.size((term,)) for term in axis]

    def _cut_alike(self, one: Axis, other: Axis) -> tuple[Axis, Axis]:
        """Cut two sums until their terms end at the same places, if a few cuts are enough."""
        for _ in range(_MOST_CUTS):
            if self._term_sizes(one) == self._term_sizes(other):
                break
            for axis in (one, other):
                for edge in accumulate(self._term_sizes(axis)):
                    self._cut(one, edge)
                    self._cut(other, edge)
            one, other = self.resolve(one), self.resolve(other)
        return one, other

    def _unify_terms(self, one: Term, other: Term) -> None:
        one_axis, other_axis = self.resolve((one,)), self.resolve((other,))
        if one_axis == other_axis:
            return
        if len(one_axis) == len(other_axis) == 1:
            (a,), (b,) = one_axis, other_axis
            small, large = sorted((a, b), key=lambda term: term.factor)
            divides = small.factor and large.factor % small.factor == 0
            if divides and len(small.atoms) == 1 and small.atoms[0] not in large.atoms:
                self._bound[small.atoms[0]] = (Term(large.factor // small.factor, large.atoms),)
                return
        self.freeze(one_axis, other_axis)

    def split(self, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
        """Cut an axis into parts of these sizes, which add up to its own."""
        alike = len(set(sizes)) == 1
        atom = _lone(self.resolve(axis))
        if alike and atom is not None:
            part = self.new(sizes[0])
            self._bound[atom] = part * len(sizes)
            return [part] * len(sizes)
        edges = [sum(sizes[:count]) for count in range(1, len(sizes))]
        for edge in edges:
            self._cut(axis, edge)
        return self._parts(axis, sizes)

    def _cut(self, axis: Axis, edge: int) -> None:
        """Bind atoms so that a term ends at an edge."""
        start = 0
        for term in self.resolve(axis):
            size = self.size((term,))
            if start < edge < start + size and term.atoms:
                atom = _lone((term,))
                if atom is None:
                    self.freeze((term,))
                else:
                    parts = (*self.new(edge - start), *self.new(start + size - edge))
                    self._bound[atom] = parts
            start += size

    def _parts(self, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
        """Deal out the terms of an axis to parts; a frozen term may be cut anywhere."""
        waiting = list(self.resolve(axis))
        parts: list[Axis] = []
        for size in sizes:
            part: list[Term] = []
            while size > 0:
                term = waiting.pop(0)
                has = self.size((term,))
                if has > size:
                    waiting.insert(0, Term(has - size))
                    term = Term(size)
                part.append(term)
                size -= self.size((term,))
            parts.append(tuple(part) or constant(0))
        return parts

    def factor(
        self, axis: Axis, factors: Sequence[int], *, places: Iterable[int] | None = None
    ) -> list[Axis]:
        """Write an axis as a product of these sizes; one of them, of `places`, becomes a width."""
        axis = self.resolve(axis)
        if not self.free(axis):
            return [constant(size) for size in factors]
        allowed = range(len(factors)) if places is None else places
        places = sorted(allowed, key=lambda i: _preference(factors, i))
        for place in places:
            rest = math.prod(factors[:place]) * math.prod(factors[place + 1 :])
            if all(term.factor % rest == 0 for term in axis):
                return self._at(place, factors, _divided(axis, rest))
        for place in places:
            rest = math.prod(factors[:place]) * math.prod(factors[place + 1 :])
            if self._make_divisible(axis, rest):
                return self._at(place, factors, _divided(self.resolve(axis), rest))
        self.freeze(axis)
        return [constant(size) for size in factors]

    def _at(self, place: int, factors: Sequence[int], width: Axis) -> list[Axis]:
        return [width if i == place else constant(size) for i, size in enumerate(factors)]

    def _make_divisible(self, axis: Axis, by: int) -> bool:
        """Bind single widths to multiples, so that every term has a factor."""
        for term in axis:
            for now in self.resolve((term,)):
                need = by // math.gcd(by, now.factor)
                if need == 1:
                    continue
                size = self.original[now.atoms[0]] if now.atoms else 1
                if size % need:
                    return False
                (part,) = self.new(size // need)
                self._bound[now.atoms[0]] = (Term(need, part.atoms),)
        return True

    def product(self, axes: Sequence[Axis]) -> Axis:
        """Return the axis that others are flattened into."""
        found = constant(1)
        for axis in axes:
            found = _times(found, self.resolve(axis))
        return found


def _times(one: Axis, other: Axis) -> Axis:
    return tuple(
        Term(a.factor * b.factor, tuple(sorted((*a.atoms, *b.atoms)))) for a in one for b in other
    )


def _lone(axis: Axis) -> Atom | None:
    """Return the atom that an axis is, if it is one and nothing else."""
    if len(axis) == 1 and axis[0].factor == 1 and len(axis[0].atoms) == 1:
        return axis[0].atoms[0]
    return None


def _divided(axis: Axis, by: int) -> Axis:
    return tuple(Term(term.factor // by, term.atoms) for term in axis)


def _preference(factors: Sequence[int], place: int) -> tuple[bool, int]:
    return factors[place] < _LEAST_WIDTH, -place
