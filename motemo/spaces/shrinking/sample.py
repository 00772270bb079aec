"""Architectures of a space among which every choice of every gene occurs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np

from motemo.errors import SettingsError
from motemo.seeds import derive_seed
from motemo.space import Architecture, Choice, Gene, Space

LEAST = 16
_DECKS = 50
_TRIES = 8
"""So many architectures are tried for a choice that chance did not bring."""
_MOST_ASKED = 1000
"""So many neighbours are looked at, in all, for choices that are still not there."""


def covering_sample(space: Space) -> list[Architecture]:
    """Return valid architectures in canonical form, no key twice; the same ones at every call.

    Choices are dealt from shuffled decks, one deck per gene, so that each comes equally often.
    Those that do not come where there is anything to decide on are looked for: among the
    neighbours of what there is, then under the conditions of their gene.

    Raises:
        SettingsError: The space has no valid architecture, as far as can be seen.
    """
    sample = _Sample(space, np.random.default_rng(derive_seed("covering sample", space.name)))
    count = max(LEAST, *(len(gene.choices) for gene in space.genes))
    for _ in range(_DECKS):
        for hand in sample.deal(count):
            if len(sample.found) < count:
                sample.add(hand)
        if len(sample.found) == count:
            break
    if not sample.found:
        raise SettingsError(
            f"No valid architecture among {_DECKS * count} random ones of the space "
            f"{space.name!r}. Say with `invalid_reason` only what cannot work."
        )
    sample.look_around()
    sample.force()
    return list(sample.found.values())


def near(space: Space, sample: list[Architecture], count: int) -> list[Architecture]:
    """Return up to so many valid architectures, each of which differs in one gene from a sample."""
    rng = np.random.default_rng(derive_seed("near a sample", space.name))
    genes = [space.genes[place] for place in rng.permutation(len(space.genes)).tolist()]
    pairs = zip(sample * len(genes), cycle(genes), strict=False)
    found = {one.genotype: one for one in sample}
    for other in (other for one, gene in pairs for other in _fibre(space, one, gene)):
        if other.invalid_reason is None:
            found.setdefault(other.key, other.canonical)
        if len(found) == len(sample) + count:
            break
    return list(found.values())[len(sample) :]


def _fibre(space: Space, one: Architecture, gene: Gene) -> Iterator[Architecture]:
    """Yield what differs from an architecture in the value of one active gene."""
    values = space.read(one.genotype)
    if gene.name in space.active(values):
        for choice in gene.choices:
            if choice != values[gene.name]:
                yield space.architecture(space.write({**values, gene.name: choice}))


class _Sample:
    """Valid architectures, and which choices do not occur in them yet."""

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        self.space = space
        self.rng = rng
        self.found: dict[str, Architecture] = {}
        self.missing = {(gene.name, choice) for gene in space.genes for choice in gene.choices}

    def deal(self, count: int) -> list[dict[str, Choice]]:
        """Return so many values of all genes, each choice of a gene equally often."""
        hands: list[dict[str, Choice]] = [{} for _ in range(count)]
        for gene in self.space.genes:
            deck = [gene.choices[i % len(gene.choices)] for i in range(count)]
            for hand, place in zip(hands, self.rng.permutation(count), strict=True):
                hand[gene.name] = deck[int(place)]
        return hands

    def add(self, values: dict[str, Choice]) -> bool:
        """Take an architecture in if it is valid; return whether it is."""
        architecture = self.space.architecture(self.space.write(values))
        if architecture.invalid_reason is not None:
            return False
        self.missing -= self._decided(values)
        canonical = architecture.canonical
        self.found.setdefault(canonical.genotype, canonical)
        return True

    def look_around(self) -> None:
        """Add neighbours with what is missing, and neighbours of these."""
        asked = 0
        waiting = list(self.found.values())
        while waiting and self.missing and asked < _MOST_ASKED:
            for other in self.space.neighbours(waiting.pop(0)):
                asked += 1
                values = self.space.read(other.genotype)
                if self.missing & self._decided(values) and self.add(values):
                    waiting.append(other)

    def force(self) -> None:
        """Add architectures with what is missing, under the conditions of its gene."""
        genes = {gene.name: gene for gene in self.space.genes}
        for name, choice in self._in_order():
            for hand in self.deal(_TRIES):
                if (name, choice) not in self.missing:
                    break
                values = {**hand, **self._needed(genes, name), name: choice}
                if (name, choice) in self._decided(values):
                    self.add(values)

    def _needed(self, genes: dict[str, Gene], name: str) -> dict[str, Choice]:
        """Return values with which a gene is active, chosen at random where several are."""
        values: dict[str, Choice] = {}
        for other, wanted in genes[name].conditions.items():
            choice = wanted[int(self.rng.integers(len(wanted)))]
            values |= {**self._needed(genes, other), other: choice}
        return values

    def _decided(self, values: dict[str, Choice]) -> set[tuple[str, Choice]]:
        return {(name, values[name]) for name in self.space.active(values)}

    def _in_order(self) -> list[tuple[str, Choice]]:
        return [
            (gene.name, choice)
            for gene in self.space.genes
            for choice in gene.choices
            if (gene.name, choice) in self.missing
        ]
