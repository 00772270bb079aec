"""Counting the combinations of genes some of which depend on others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from motemo.space import Choice, Gene

_MOST_STATES = 10_000
_State: TypeAlias = frozenset[tuple[str, Choice]]


@lru_cache(maxsize=16)
def count_combinations(genes: tuple[Gene, ...]) -> int:
    """Return how many combinations of values there are of the genes that are active.

    Genes are gone through one by one, and combinations are counted together that agree on what
    later genes depend on. If there are too many kinds of them, the product of the numbers of
    choices is returned, which is an upper bound.
    """
    ordered = _near_their_conditions(genes)
    counts: Counter[_State] = Counter({frozenset(): 1})
    for place, gene in enumerate(ordered):
        needed = {name for later in ordered[place + 1 :] for name in later.active_if}
        following: Counter[_State] = Counter()
        for state, count in counts.items():
            active = gene.is_active(dict(state))
            decided: list[_State] = (
                [state | {(gene.name, choice)} for choice in gene.choices] if active else [state]
            )
            for new in decided:
                following[frozenset(pair for pair in new if pair[0] in needed)] += count
        counts = following
        if len(counts) > _MOST_STATES:
            return math.prod(len(gene.choices) for gene in genes)
    return counts.total()


def _near_their_conditions(genes: Sequence[Gene]) -> list[Gene]:
    """Return the genes, each after those it depends on and as soon after them as can be."""
    ordered: list[Gene] = []
    placed: set[str] = set()

    def place(gene: Gene) -> None:
        ordered.append(gene)
        placed.add(gene.name)
        for other in genes:
            if gene.name in other.active_if and placed.issuperset(other.active_if):
                place(other)

    for gene in genes:
        if gene.name not in placed:
            place(gene)
    return ordered
