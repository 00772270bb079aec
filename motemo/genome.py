"""Genomes: architectures, and settings of any kind, as rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from motemo.space import Architecture, Choice, Space

Row: TypeAlias = NDArray[np.float64]
"""One genome `(g,)`, a number per gene."""
Identity: TypeAlias = Callable[[Row], Hashable | None]
"""Says what a genome stands for: equal for duplicates, None for one that cannot be searched."""

_LOOKED_AT = 1024
_LOOKED_AT_EACH = 8


@dataclass(frozen=True, eq=False)
class Bounds:
    """What the genes of a genome may be.

    Attributes:
        low: `(g,)` least values; 0 for unordered genes.
        high: `(g,)` greatest values; for unordered genes the number of choices less 1.
        unordered: `(g,)` which genes are the index of a choice. The others are real numbers.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    unordered: NDArray[np.bool_]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Return `(count, g)` genomes, uniform over the bounds."""
        shape = (count, len(self.low))
        indices = rng.integers(0, self._choices, size=shape)
        return np.where(self.unordered, indices, rng.uniform(self.low, self.high, size=shape))

    def draw_many(self, rng: np.random.Generator, limit: int) -> NDArray[np.float64]:
        """Return all genomes in random order, or `limit` independent draws if there are more."""
        size = math.prod(self._choices.tolist())
        if not self.unordered.all() or size > limit:
            return self.draw(rng, limit)
        indices = np.unravel_index(rng.permutation(size), self._choices)
        return np.stack(indices, axis=1).astype(np.float64)

    @property
    def _choices(self) -> NDArray[np.int64]:
        """Return `(g,)` the number of choices, 1 for numbers."""
        return np.where(self.unordered, self.high, 0).astype(np.int64) + 1


@dataclass(frozen=True, eq=False)
class Proposals:
    """The genomes that may be proposed.

    Attributes:
        bounds: What the genes may be.
        identity: What a genome stands for.
        taken: Identities that are not wanted any more.
    """

    bounds: Bounds
    identity: Identity
    taken: Collection[Hashable] = ()

    def new(self, rows: Iterable[Row], others: Iterable[Row] = ()) -> Iterator[int]:
        """Yield the places of the rows that may be proposed together.

        These are valid, not taken, and no duplicates of one of the others or of an earlier row.
        """
        seen = {None, *map(self.identity, others)}
        for place, row in enumerate(rows):
            name = self.identity(row)
            if name not in seen and name not in self.taken:
                yield place
            seen.add(name)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Return `(count, g)` genomes drawn at random that may be proposed together.

        Fewer if those that are looked at hold no more: all there are, where these are not many;
        else about a thousand.
        """
        rows = self.bounds.draw_many(rng, max(_LOOKED_AT, _LOOKED_AT_EACH * count))
        return rows[list(islice(self.new(rows), count))]


@dataclass(frozen=True, eq=False)
class ArchitectureKeys:
    """The keys of a space's architectures by the values of their genes, each computed once.

    Attributes:
        space: The space.
    """

    space: Space
    _known: dict[Hashable, str | None] = field(default_factory=dict, init=False, repr=False)
    _chosen: Callable[[Mapping[str, Choice]], Hashable] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        chosen = itemgetter(*(gene.name for gene in self.space.genes))
        object.__setattr__(self, "_chosen", chosen)

    def __call__(self, values: Mapping[str, Choice]) -> str | None:
        """Return the key of the architecture with these values, or None if it is invalid."""
        chosen = self._chosen(values)
        if chosen not in self._known:
            architecture = self.space.architecture(self.space.write(values))
            self._known[chosen] = None if architecture.invalid_reason else architecture.key
        return self._known[chosen]


@dataclass(frozen=True, eq=False)
class SpaceGenomes:
    """The architectures of a space as genomes: per gene the index of its value in the choices.

    Attributes:
        space: The space.
        keys: The key of each architecture.
    """

    space: Space
    keys: ArchitectureKeys = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", ArchitectureKeys(self.space))

    @property
    def proposals(self) -> Proposals:
        """The valid architectures, compared by key."""
        high = np.array([len(gene.choices) - 1.0 for gene in self.space.genes])
        bounds = Bounds(np.zeros_like(high), high, np.ones(len(high), dtype=np.bool_))
        return Proposals(bounds, self.key)

    def values(self, row: Row) -> dict[str, Choice]:
        """Return the value of every gene."""
        indices = np.rint(row).astype(int).tolist()
        return {g.name: g.choices[i] for g, i in zip(self.space.genes, indices, strict=True)}

    def architecture(self, row: Row) -> Architecture:
        """Return the architecture that a genome writes."""
        return self.space.architecture(self.space.write(self.values(row)))

    def key(self, row: Row) -> str | None:
        """Return the key of the architecture, or None if it is invalid."""
        return self.keys(self.values(row))
