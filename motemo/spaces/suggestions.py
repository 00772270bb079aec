"""What a builder asks for its decisions: the part of an Optuna trial that needs no study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NoReturn

import numpy as np

from motemo.errors import GenotypeError
from motemo.space import Choice, Gene

MOST_CHOICES = 256


class Suggestions:
    """Suggests values as an Optuna trial does, from what somebody else has decided.

    Ranges must be bounded and in steps: a gene has a list of choices. Notes on the trial are
    taken and thrown away. There is nothing else of a trial, such as its number: a network depends
    on what is decided alone.

    Args:
        answer: Decides on a gene.
    """

    def __init__(self, answer: Callable[[Gene], Choice]) -> None:
        self._answer = answer
        self._genes: dict[str, Gene] = {}
        self._params: dict[str, Choice] = {}

    def __getattr__(self, name: str) -> NoReturn:
        """Say what there is."""
        raise AttributeError(
            f"a builder's trial has no {name!r}, only suggest_categorical, suggest_int, "
            "suggest_float, params and set_user_attr",
            name=name,
            obj=self,
        )

    @property
    def genes(self) -> tuple[Gene, ...]:
        """What was asked for so far, in order."""
        return tuple(self._genes.values())

    @property
    def params(self) -> dict[str, Choice]:
        """What was suggested so far, in order."""
        return dict(self._params)

    def set_user_attr(self, key: str, value: object) -> None:
        """Take a note, and throw it away: a builder runs for more than the trials of a study."""

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Return one of some values."""
        plain = [c.item() if isinstance(c, np.generic) else c for c in choices]
        for choice in plain:
            if not isinstance(choice, Choice):
                raise GenotypeError(
                    f"The gene {name!r} has the choice {choice!r}. Choices must be text, numbers "
                    "or truth values: give names, and look up in the builder what they stand for."
                )
        return self._suggest(name, plain)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return one of the integers low, low + step, ..., at most high.

        `log` has no effect: all of them are choices.
        """
        _check_range(name, low, high, step)
        _check_count(name, (high - low) // step + 1)
        return int(self._suggest(name, range(low, high + 1, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return one of the numbers low, low + step, ..., at most high.

        Raises:
            GenotypeError: There is no step.
        """
        if step is None:
            raise GenotypeError(
                f"The gene {name!r} has no end of choices: suggest_float({name!r}, {low}, {high}) "
                "needs a step, as in step=0.1. Or list the values with suggest_categorical."
            )
        _check_range(name, low, high, step)
        first, width = Decimal(str(low)), Decimal(str(step))  # 0.1, 0.2, 0.3, not 0.30000000000004
        count = int((Decimal(str(high)) - first) / width) + 1
        _check_count(name, count)
        return float(self._suggest(name, [float(first + i * width) for i in range(count)]))

    def _suggest(self, name: str, choices: Sequence[Choice]) -> Choice:
        gene = Gene(name, tuple(choices))
        known = self._genes.setdefault(name, gene)
        if known.choices != gene.choices:
            raise other_choices(known, gene)
        if name not in self._params:
            self._params[name] = self._answer(gene)
        return self._params[name]


def other_choices(known: Gene, gene: Gene) -> GenotypeError:
    """Return what is wrong with asking for one gene with two lists of choices."""
    return GenotypeError(
        f"The builder asks for {gene.name!r} once with the choices {list(known.choices)}, once "
        f"with {list(gene.choices)}. A gene has the same choices everywhere: give each of the two "
        "a name of its own, as in "
        f"'{gene.name}_of_{len(known.choices)}' and '{gene.name}_of_{len(gene.choices)}'."
    )


def _check_range(name: str, low: float, high: float, step: float) -> None:
    if not (low <= high and step > 0):
        raise GenotypeError(
            f"The gene {name!r} has no choices: low must be at most high and the step positive; "
            f"got low={low}, high={high}, step={step}."
        )


def _check_count(name: str, count: int) -> None:
    if count > MOST_CHOICES:
        raise GenotypeError(
            f"The gene {name!r} has {count:,} choices; at most {MOST_CHOICES} can be searched. "
            "Give a larger step."
        )
