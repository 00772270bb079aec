"""Architectures of a space among which every choice of every gene occurs."""

from __future__ import annotations

import numpy as np

from motemo.errors import SettingsError
from motemo.seeds import derive_seed
from motemo.space import Architecture, Choice, Space

LEAST = 16
_DECKS = 50


def covering_sample(space: Space) -> list[Architecture]:
    """Return valid architectures in canonical form, no key twice; the same ones at every call.

    Choices are dealt from shuffled decks, one deck per gene, so that each comes equally often.

    Raises:
        SettingsError: The space has no valid architecture, as far as can be seen.
    """
    rng = np.random.default_rng(derive_seed("covering sample", space.name))
    count = max(LEAST, *(len(gene.choices) for gene in space.genes))
    found: dict[str, Architecture] = {}
    for _ in range(_DECKS):
        for architecture in _deal(space, count, rng):
            if architecture.invalid_reason is None:
                canonical = architecture.canonical
                found.setdefault(canonical.genotype, canonical)
            if len(found) == count:
                return list(found.values())
    if not found:
        raise SettingsError(
            f"No valid architecture among {_DECKS * count} random ones of the space "
            f"{space.name!r}. Say with `invalid_reason` only what cannot work."
        )
    return list(found.values())


def _deal(space: Space, count: int, rng: np.random.Generator) -> list[Architecture]:
    hands: list[dict[str, Choice]] = [{} for _ in range(count)]
    for gene in space.genes:
        deck = [gene.choices[i % len(gene.choices)] for i in range(count)]
        for hand, place in zip(hands, rng.permutation(count), strict=True):
            hand[gene.name] = deck[int(place)]
    return [space.architecture(space.write(hand)) for hand in hands]
