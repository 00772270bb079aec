"""Which decisions a builder asks for, found out by running it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene
from motemo.spaces.decision_space import Answer, Decided
from motemo.spaces.dry_run import Asked, DryRun
from motemo.spaces.suggestions import other_choices

_QUIET_DRAWS = 128
"""So many random runs in a row must bring nothing new before the search for genes ends."""
_MOST_TRIED = 32
"""Of a gene with more choices, about so many are tried one by one."""
_MOST_KNOWN = 200_000
"""Questions that are remembered; then the tree is begun anew."""
_START = ""


@dataclass(eq=False)
class _Question:
    """What is asked at one point, and what follows each answer."""

    gene: Gene
    following: dict[Choice, _Known] = field(default_factory=dict)


@dataclass(frozen=True)
class _End:
    """Nothing more is asked; the answers may be refused."""

    reason: str | None


_Known: TypeAlias = _Question | _End


@dataclass(eq=False)
class Questions:
    """The tree of questions of a builder, as far as it is known.

    Attributes:
        run: Runs the builder with answers.
        genes: Everything that it has asked for, by name, as it was found.
    """

    run: DryRun
    genes: dict[str, Gene] = field(default_factory=dict, init=False)
    _order: list[str] = field(default_factory=list, init=False)
    _discovered: bool = field(default=False, init=False)
    _tree: dict[Choice, _Known] = field(default_factory=dict, init=False)
    _questions: int = field(default=0, init=False)
    _ends: int = field(default=0, init=False)
    _open: int = field(default=1, init=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: the tree grows anew there."""
        return {**vars(self), "_tree": {}, "_questions": 0, "_ends": 0, "_open": 1}

    @property
    def size(self) -> int:
        """How often the questions can end; as long as not all are known, an upper bound."""
        if self.is_known:
            return self._ends
        return math.prod(len(gene.choices) for gene in self.genes.values())

    @property
    def is_known(self) -> bool:
        """Whether nothing is left to be found out."""
        return not self._open

    @property
    def in_order(self) -> tuple[Gene, ...]:
        """The genes, each after the one that it was asked for after when it was found."""
        return tuple(self.genes[name] for name in self._order)

    @property
    def _example(self) -> str:
        shape, classes = self.run.input_shape, self.run.classes
        return (
            f"It was given the input shape {shape} and {classes} classes; where it needs others, "
            "set them, as in BuilderSpace(example_shape=(1, 28, 28), example_classes=2)."
        )

    def discover(self) -> None:
        """Find the genes: by each choice of each gene where it first appears, then at random.

        Raises:
            GenotypeError: See `decide`.
            SettingsError: The builder raises something besides refusals, or refuses everything.
        """
        first = self._ask({}, _by({}))
        drawn = [first, self._ask({}, _by({})), *self._try_each(first, [*self.genes])]
        rng = np.random.default_rng(0)
        quiet = 0
        while quiet < _QUIET_DRAWS and not self.is_known:
            known = len(self.genes)
            drawn.append(self.decide(lambda gene: gene.choices[rng.integers(len(gene.choices))]))
            new = [*self.genes][known:]
            drawn += self._try_each(drawn[-1], new)
            quiet = 0 if new else quiet + 1
        if all(decided.reason is not None for decided in drawn):
            raise SettingsError(
                f"The builder refuses all of {len(drawn)} architectures, the last one because: "
                f"{str(drawn[-1].reason).rstrip('.')}. {self._example}"
            )
        self._discovered = True

    def decide(self, answer: Answer) -> Decided:
        """Ask for what the builder asks for.

        Raises:
            GenotypeError: It asks for what is no gene, for one name with different choices, not
                for the same every time, or for something that was not discovered.
        """
        values: dict[str, Choice] = {}
        known = self._tree.get(_START)
        while isinstance(known, _Question):
            values[known.gene.name] = _choice(known.gene, answer)
            known = known.following.get(values[known.gene.name])
        return self._ask(values, answer) if known is None else Decided(values, known.reason)

    def _try_each(self, decided: Decided, names: Sequence[str]) -> list[Decided]:
        """Change one gene after the other, and those that appear by it."""
        found = []
        waiting = [(name, decided.values) for name in names]
        while waiting:
            name, values = waiting.pop(0)
            for choice in _spread(self.genes[name].choices):
                known = len(self.genes)
                found.append(self.decide(_by({**values, name: choice})))
                waiting += [(new, found[-1].values) for new in [*self.genes][known:]]
        return found

    def _ask(self, values: Mapping[str, Choice], answer: Answer) -> Decided:
        """Run the builder with what is decided already, and with answers to what is not."""
        chosen = dict(values)

        def choose(gene: Gene) -> Choice:
            self._admit(gene)
            if gene.name not in chosen:
                chosen[gene.name] = _choice(gene, answer)
            return chosen[gene.name]

        asked = self.run(choose)
        if asked.error is not None and not self._discovered:
            raise SettingsError(
                f"The builder cannot be run with {chosen}: {type(asked.error).__name__}: "
                f"{str(asked.error).rstrip('.')}. If it cannot build these, let it raise "
                f"ValueError with the reason. {self._example}"
            ) from asked.error
        self._place([gene.name for gene in asked.genes])
        self._remember(asked, chosen)
        return Decided({gene.name: chosen[gene.name] for gene in asked.genes}, asked.reason)

    def _admit(self, gene: Gene) -> None:
        if self._discovered and gene.name not in self.genes:
            raise GenotypeError(
                f"The builder asks for {gene.name!r}, which it did not do in any of the runs that "
                "the genes were found by, because it takes a rare combination of decisions. Let "
                "it ask for it always, before anything else."
            )
        known = self.genes.setdefault(gene.name, gene)
        if known.choices != gene.choices:
            raise other_choices(known, gene)

    def _place(self, names: Sequence[str]) -> None:
        """Put new genes behind the one that was asked for before them."""
        for before, name in zip(["", *names], names, strict=False):
            if name not in self._order:
                self._order.insert(self._order.index(before) + 1 if before else 0, name)

    def _remember(self, asked: Asked, chosen: Mapping[str, Choice]) -> None:
        if self._questions > _MOST_KNOWN:
            self._tree, self._questions, self._ends, self._open = {}, 0, 0, 1
        following: dict[Choice, _Known] = self._tree
        after: Choice = _START
        for gene in asked.genes:
            known = following.get(after)
            if known is None:
                known = following[after] = _Question(gene)
                self._questions += 1
                self._open += len(gene.choices) - 1
            if not isinstance(known, _Question) or known.gene != gene:
                raise _unsteady(chosen)
            following, after = known.following, chosen[gene.name]
        if after not in following:
            following[after] = _End(asked.reason)
            self._ends += 1
            self._open -= 1
        elif isinstance(following[after], _Question):
            raise _unsteady(chosen)


def _by(values: Mapping[str, Choice]) -> Answer:
    """Answer with these values, and with the first choice of all others."""
    return lambda gene: values.get(gene.name, gene.choices[0])


def _choice(gene: Gene, answer: Answer) -> Choice:
    """Return the answer as it stands among the choices."""
    given = answer(gene)
    if given not in gene.choices:
        raise GenotypeError(
            f"The gene {gene.name!r} cannot be {given!r}. "
            f"Choices: {', '.join(map(repr, gene.choices))}."
        )
    return gene.choices[gene.choices.index(given)]


def _spread(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices, or some from the first to the last if there are many."""
    places = np.linspace(0, len(choices) - 1, min(len(choices), _MOST_TRIED))
    return [choices[round(place)] for place in places.tolist()]


def _unsteady(chosen: Mapping[str, Choice]) -> GenotypeError:
    return GenotypeError(
        f"The builder does not ask for the same every time, given {dict(chosen)}. What it asks for "
        "may depend on earlier decisions only, not on chance or on what ran before."
    )
