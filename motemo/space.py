"""Search spaces and the architectures in them.

A `Space` says which decisions there are (`Gene`), how they are written (the genotype, in the
field's published form), and how a genotype becomes a network. An `Architecture` is one point of a
space. Two identities are kept apart: the *written genotype*, which `build` follows to the letter,
and the *computed function*, which `key` stands for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from motemo.drawing import Drawing, Setting, Settings
from motemo.errors import GenotypeError, InvalidArchitectureError, SettingsError
from motemo.seeds import seeded_torch

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from torch import nn

Choice: TypeAlias = str | int | float | bool
Shape: TypeAlias = tuple[int, int, int]
"""Shape of one image: channels, height, width."""
Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True)
class Gene:
    """One decision of a search space: a name and the values that it may take.

    Attributes:
        name: The name.
        choices: The values.
        active_if: When there is anything to decide: which values other genes must have, all of
            them, one value or several each, as in `{"depth": (2, 3), "block": "mbconv"}`. A gene
            that is not active itself has no value. Empty: always.
    """

    name: str
    choices: tuple[Choice, ...]
    active_if: Mapping[str, Choice | Sequence[Choice]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))  # a list is as good
        if not isinstance(self.name, str):
            raise GenotypeError(f"The name of a gene must be text; got {self.name!r}.")
        odd = any(isinstance(c, float) and not math.isfinite(c) for c in self.choices)
        if not self.choices or len(set(self.choices)) != len(self.choices) or odd:
            raise GenotypeError(
                f"Gene {self.name!r} needs at least one choice, no choice twice and no number "
                f"that is not finite; got {self.choices!r}."
            )

    @property
    def conditions(self) -> dict[str, tuple[Choice, ...]]:
        """`active_if` with a tuple of values for each other gene."""
        return {
            name: (wanted,) if isinstance(wanted, Choice) else tuple(wanted)
            for name, wanted in self.active_if.items()
        }

    def is_active(self, values: Mapping[str, Choice]) -> bool:
        """Return whether there is anything to decide, by the values of other active genes."""
        return all(
            name in values and values[name] in wanted for name, wanted in self.conditions.items()
        )


class Space(ABC):
    """A set of architectures.

    Implementations are frozen dataclasses. Of the methods that are not abstract, `scaled` and
    `drawing` may be overridden; the others follow from the abstract ones.

    Attributes:
        name: Registered name of the space.
        genes: The decisions, in a fixed order.
        estimate: Registered name of the estimate of accuracy that `motemo search` takes if it is
            told nothing else: `mote` where cells are searched. SynFlow is the one to begin with
            on an unknown space: of all that were tried, its worst rank correlation is the best
            (docs/estimates.md).
        example_shape: Shape of an image that its networks take.
        example_classes: A number of classes that they can have.
    """

    name: str
    genes: tuple[Gene, ...]
    estimate: str = "synflow"
    example_shape: Shape = (3, 32, 32)
    example_classes: int = 10

    @abstractmethod
    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the genotype in its published form for one value per gene."""

    @abstractmethod
    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene; the inverse of `write`.

        Raises:
            GenotypeError: The genotype is malformed.
        """

    @abstractmethod
    def canonical(self, genotype: str) -> str:
        """Return the one genotype that stands for all that compute the same function.

        It is in the space, costs no more than any of the others, and is its own canonical form.
        """

    @abstractmethod
    def invalid_reason(self, genotype: str) -> str | None:
        """Say why a well-formed genotype cannot be searched, or None if it can."""

    @abstractmethod
    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the full network, exactly as written.

        It maps images `(N, C, H, W)` to logits `(N, classes)`, with `input_shape = (C, H, W)`.
        """

    @abstractmethod
    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the reduced architecture (RA) that the MOTE estimate trains.

        Same input and output as `build`. Distinct keys must give distinct networks.
        """

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return every option that changes what a genotype means."""

    def as_published(self) -> Space:
        """Return this space with the reduced architecture of the published MOTE scores.

        By default the space itself: it has no other one.
        """
        return self

    def scaled(self, *, width: float, depth: float) -> Space:
        """Return this space with wider or narrower, deeper or shallower networks.

        Both the full network and the reduced architecture have `width` times the channels and
        `depth` times the repeated layers, rounded, at least one. Genotypes mean the same.

        Raises:
            SettingsError: The space cannot be scaled.
        """
        raise SettingsError(
            f"The space {self.name!r} has no width and depth to scale; got width={width}, "
            f"depth={depth}. Leave both at 1."
        )

    def drawing(self, genotype: str) -> Drawing:
        """Return what a picture of a genotype shows, as written: by default, its active genes."""
        values = self.read(genotype)
        active = self.active(values)
        rows = (
            Setting(gene.name, str(values[gene.name]), tuple(map(str, gene.choices)))
            for gene in self.genes
            if gene.name in active
        )
        return Drawing((Settings(self.name, tuple(rows)),))

    def architecture(self, genotype: str) -> Architecture:
        """Return the architecture with this genotype, as written.

        Raises:
            GenotypeError: The genotype is malformed.
        """
        return Architecture(self, genotype)

    def suggest(self, trial: optuna.trial.BaseTrial) -> Architecture:
        """Let an Optuna trial choose an architecture, one categorical parameter per gene."""
        values: dict[str, Any] = {
            gene.name: trial.suggest_categorical(gene.name, gene.choices) for gene in self.genes
        }
        return self.architecture(self.write(values))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Return an architecture drawn uniformly over the genes; it may be invalid."""
        values = {g.name: g.choices[int(rng.integers(len(g.choices)))] for g in self.genes}
        return self.architecture(self.write(values))

    def active(self, values: Mapping[str, Choice]) -> tuple[str, ...]:
        """Return the names of the genes that there is anything to decide on, by their conditions.

        The values of the others, in a mapping of one value per gene, make no difference.
        """
        decided: dict[str, Choice] = {}
        for gene in self.genes:
            if gene.is_active(decided):
                decided[gene.name] = values[gene.name]
        return tuple(decided)

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """Yield every architecture that differs in the value of exactly one active gene.

        Genes that become active by it have their first choice.
        """
        values = self.read(architecture.genotype)
        active = self.active(values)
        for gene in (gene for gene in self.genes if gene.name in active):
            for choice in gene.choices:
                if choice != values[gene.name]:
                    yield self.architecture(self.write({**values, gene.name: choice}))

    @property
    def size(self) -> int:
        """Number of written genotypes, or an upper bound if `size_is_bound`."""
        return math.prod(len(gene.choices) for gene in self.genes)

    @property
    def size_is_bound(self) -> bool:
        """Whether there may be fewer genotypes than `size` says."""
        return False


@dataclass(frozen=True)
class Architecture:
    """One point of a search space.

    Attributes:
        space: The space it belongs to.
        genotype: The genotype as written, in the published form of the space.

    Raises:
        GenotypeError: The genotype is malformed.
    """

    space: Space
    genotype: str

    def __post_init__(self) -> None:
        self.space.read(self.genotype)

    @property
    def key(self) -> str:
        """Name of the computed function: equal for two architectures that compute the same."""
        return self.space.canonical(self.genotype)

    @property
    def canonical(self) -> Architecture:
        """The architecture that stands for all with this key; what a search evaluates."""
        return Architecture(self.space, self.key)

    @property
    def invalid_reason(self) -> str | None:
        """Why this architecture cannot be searched, or None if it can."""
        return self.space.invalid_reason(self.genotype)

    def require_valid(self) -> Architecture:
        """Return self.

        Raises:
            InvalidArchitectureError: The network computes nothing.
        """
        reason = self.invalid_reason
        if reason is not None:
            raise InvalidArchitectureError(
                f"Invalid architecture {self.genotype!r}: {reason}. Give one that computes "
                "something of its input."
            )
        return self

    def build(
        self, *, input_shape: Shape = (3, 32, 32), classes: int = 10, seed: int = 0
    ) -> nn.Module:
        """Return the full network as written, its weights a function of `seed` alone."""
        with seeded_torch(seed):
            return self.space.build(self.genotype, input_shape=input_shape, classes=classes)

    def build_reduced(
        self, *, input_shape: Shape = (3, 32, 32), classes: int = 10, seed: int = 0
    ) -> nn.Module:
        """Return the reduced architecture, its weights a function of `seed` alone."""
        with seeded_torch(seed):
            return self.space.build_reduced(self.genotype, input_shape=input_shape, classes=classes)
