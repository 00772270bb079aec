"""Counting the combinations of genes some of which depend on others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from motemo.space import Choice, Gene

_MOST_STATES = 10_000
_State: TypeAlias = frozenset[tuple[str, Choice]]


class Count(NamedTuple):
    """How many there are, or at most.

    Attributes:
        number: So many.
        is_bound: Whether there may be fewer.
    """

    number: int
    is_bound: bool


@lru_cache(maxsize=16)
def count_combinations(genes: tuple[Gene, ...]) -> Count:
    """Return how many combinations of values there are of the genes that are active.

    Genes are gone through one by one, and combinations are counted together that agree on what
    later genes depend on. If there are too many kinds of them, the product of the numbers of
    choices is an upper bound.
    """
    ordered = _near_their_conditions(genes)
    last_needed = {name: place for place, gene in enumerate(ordered) for name in gene.active_if}
    counts: Counter[_State] = Counter({frozenset(): 1})
    for place, gene in enumerate(ordered):
        following: Counter[_State] = Counter()
        for state, count in counts.items():
            active = gene.is_active(dict(state))
            decided: list[_State] = (
                [state | {(gene.name, choice)} for choice in gene.choices] if active else [state]
            )
            for new in decided:
                kept = frozenset(pair for pair in new if last_needed.get(pair[0], 0) > place)
                following[kept] += count
        counts = following
        if len(counts) > _MOST_STATES:
            return Count(math.prod(len(gene.choices) for gene in genes), is_bound=True)
    return Count(counts.total(), is_bound=False)


def _near_their_conditions(genes: Sequence[Gene]) -> list[Gene]:
    """Return the genes, each after those it depends on and as soon after them as can be."""
    depending: dict[str, list[Gene]] = defaultdict(list)
    for gene in reversed(genes):
        for name in gene.active_if:
            depending[name].append(gene)
    ordered: dict[str, Gene] = {}
    waiting = [*reversed(genes)]
    while waiting:
        gene = waiting.pop()
        if gene.name not in ordered and ordered.keys() >= gene.active_if.keys():
            ordered[gene.name] = gene
            waiting += depending[gene.name]
    return [*ordered.values()]
