"""Spaces that ask for one decision after the other: the next question may depend on the answers."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from motemo.errors import GenotypeError
from motemo.seeds import seeded_torch
from motemo.space import Architecture, Choice, Gene, Json, Shape, Space
from motemo.spaces.shrinking.rule import Shrinking
from motemo.spaces.shrinking.sample import covering_sample

if TYPE_CHECKING:
    from torch import nn

Builder: TypeAlias = "Callable[[Any, Shape, int], nn.Module]"
"""From the decisions, the shape of one image (C, H, W) and the number of classes to a network that
maps images `(N, C, H, W)` to logits `(N, classes)`."""
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

    Attributes:
        build_network: Builds the full network.
        build_reduced_network: Builds the network that MOTE trains; None makes it from the full
            one by the general rule.
        version: Tells a space from one with the same genes and other builders.
    """

    build_network: Builder
    build_reduced_network: Builder | None
    version: str

    @abstractmethod
    def _run(
        self, builder: Builder, genotype: str, *, input_shape: Shape, classes: int
    ) -> nn.Module:
        """Run one of the builders with what a genotype decides."""

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

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Run `build_network`."""
        return self._run(self.build_network, genotype, input_shape=input_shape, classes=classes)

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Run `build_reduced_network`; if there is none, reduce the full network by a rule.

        The rule is one for images that are classified: other networks are left as they are.
        """
        build = self.build_reduced_network
        if build is not None:
            return self._run(build, genotype, input_shape=input_shape, classes=classes)
        if _classifies_images(self, input_shape, classes):
            return Shrinking().build(self, genotype, input_shape=input_shape, classes=classes)
        return self.build(genotype, input_shape=input_shape, classes=classes)

    def identity(self) -> dict[str, Json]:
        """Name, genes, version, and how networks are reduced."""
        own = self.build_reduced_network is not None
        return {
            "name": self.name,
            "genes": [_gene_identity(gene) for gene in self.genes],
            "version": self.version,
            "reduced": "own" if own else Shrinking().identity(),
        }


@lru_cache(maxsize=16)
def _classifies_images(space: Space, input_shape: Shape, classes: int) -> bool:
    """Return whether there are networks that map images (N, C, H, W) to logits (N, classes)."""
    return len(input_shape) == 3 and any(
        _gives_logits(architecture, input_shape, classes) for architecture in covering_sample(space)
    )


def _gives_logits(architecture: Architecture, input_shape: Shape, classes: int) -> bool:
    import torch

    images = torch.zeros(2, *input_shape)
    try:
        network = architecture.build(input_shape=input_shape, classes=classes).eval()
        with seeded_torch(0), torch.no_grad():
            return tuple(network(images).shape) == (len(images), classes)
    except Exception:  # noqa: BLE001  (a user's own network may raise anything)
        return False


def _gene_identity(gene: Gene) -> dict[str, Json]:
    """Return everything about a gene as JSON."""
    identity = {"name": gene.name, "choices": gene.choices}
    conditions = {"active_if": gene.conditions} if gene.conditions else {}
    plain: dict[str, Json] = json.loads(json.dumps(identity | conditions))
    return plain


def _json(values: Mapping[str, Choice]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _parsed(genotype: str) -> dict[str, Any]:
    try:
        given = json.loads(genotype, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise GenotypeError(f"Malformed genotype {genotype!r}: {error}.") from error
    if not isinstance(given, dict):
        raise GenotypeError(
            f"Malformed genotype {genotype!r}: it must be a JSON object with the genes."
        )
    return given


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, in which no name may stand twice."""
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name in given:
            raise ValueError(f"the name {name!r} stands in it twice")
        given[name] = value
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
