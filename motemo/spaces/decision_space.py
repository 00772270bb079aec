"""Spaces that ask for one decision after the other: the next question may depend on the answers."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from motemo.errors import GenotypeError
from motemo.space import Choice, Gene, Space

Answer: TypeAlias = Callable[[Gene], Choice]
"""Decides on a gene."""


class Decided(NamedTuple):
    """What was decided.

    Attributes:
        values: The value of each gene that was asked for, in this order.
        reason: Why it cannot be searched, or None if it can.
    """

    values: dict[str, Choice]
    reason: str | None


class DecisionSpace(Space):
    """A space whose genes are asked for one after the other.

    A genotype is compact JSON, `{"depth":2,"width":16}`, of the genes that are active, in the order
    in which they are asked for. Every genotype stands for a function of its own: no two are taken
    for duplicates. What is said of a gene that is not active makes no difference.
    """

    @abstractmethod
    def decide(self, answer: Answer) -> Decided:
        """Ask for the active genes, one after the other."""

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the values of the active genes as compact JSON."""
        return _json(self.decide(lambda gene: values[gene.name]).values)

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene; the first choice of those that are not active.

        Raises:
            GenotypeError: It is not JSON, lacks an active gene, has one that is not active, or a
                value is not among the choices.
        """
        decided = self.decided(genotype).values
        return {gene.name: decided.get(gene.name, gene.choices[0]) for gene in self.genes}

    def decided(self, genotype: str) -> Decided:
        """Return what a genotype decides on, the active genes alone.

        Raises:
            GenotypeError: See `read`.
        """
        given = _parsed(genotype)
        decided = self.decide(lambda gene: _checked(gene, given, genotype))
        for name in given:
            if name not in decided.values:
                raise GenotypeError(
                    f"Malformed genotype {genotype!r}: there is no {name!r} to decide on. With "
                    f"these values, the genes are {', '.join(decided.values) or 'none'}."
                )
        return decided

    def active(self, values: Mapping[str, Choice]) -> tuple[str, ...]:
        """Return the names of the genes that are asked for."""
        return tuple(self.decide(lambda gene: values[gene.name]).values)

    def canonical(self, genotype: str) -> str:
        """Return the genotype with its genes in order."""
        return _json(self.decided(genotype).values)

    def invalid_reason(self, genotype: str) -> str | None:
        """Return what was said against it, or None."""
        return self.decided(genotype).reason


def _json(values: Mapping[str, Choice]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _parsed(genotype: str) -> dict[str, Any]:
    try:
        given = json.loads(genotype)
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"Malformed genotype {genotype!r}: {error}.") from error
    if not isinstance(given, dict):
        raise GenotypeError(
            f"Malformed genotype {genotype!r}: it must be a JSON object with the genes."
        )
    return given


def _checked(gene: Gene, given: Mapping[str, Any], genotype: str) -> Choice:
    """Return the value of a gene in a genotype.

    Raises:
        GenotypeError: There is none, or it is not among the choices.
    """
    choices = ", ".join(map(repr, gene.choices))
    if gene.name not in given:
        raise GenotypeError(
            f"Malformed genotype {genotype!r}: it lacks the gene {gene.name!r}. Choices: {choices}."
        )
    value = given[gene.name]
    for choice in gene.choices:
        if type(value) is type(choice) and value == choice:
            return choice
    raise GenotypeError(f"The gene {gene.name!r} cannot be {value!r}. Choices: {choices}.")
