"""What is correlated: objectives, columns of the table, and mean ranks of others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from motemo.errors import SettingsError
from motemo.objective import Objective
from motemo.objectives.positions import Floats, accuracy_sign, combine
from motemo.objectives.reference import described, digest
from motemo.objectives.training import TraceEstimate
from motemo.space import Json

COLUMN = "column:"
_RANK = re.compile(r"rank\((.*)\)")
_LABELLED = re.compile(r"([A-Za-z_][\w-]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Scored:
    """An objective that scores every cell.

    Attributes:
        label: What the results call it.
        objective: The objective.
    """

    label: str
    objective: Objective

    @property
    def sign(self) -> int:
        """What turns the objective's value into an estimate of accuracy; see `accuracy_sign`."""
        return accuracy_sign(self.objective)

    @cached_property
    def described(self) -> dict[str, Json]:
        """The objective's class and every option that changes a value."""
        return described(self.objective)

    @cached_property
    def identity(self) -> str:
        """Short name of `described`: two estimates have it in common if their scores are."""
        return digest(self.described)

    @cached_property
    def training(self) -> str | None:
        """Short name of the training that it is read from, if it is."""
        if not isinstance(self.objective, TraceEstimate):
            return None
        return digest(self.objective.training_identity())


@dataclass(frozen=True)
class Column:
    """A column of the table, higher taken for more accurate.

    Attributes:
        label: What the results call it.
        column: The column.
    """

    label: str
    column: str


@dataclass(frozen=True)
class MeanRank:
    """The mean of the ranks that other estimates give the cells of the sample; needs no labels.

    Attributes:
        label: What the results call it.
        members: Labels of the others.
    """

    label: str
    members: tuple[str, ...]


Estimate: TypeAlias = Scored | Column | MeanRank


def split_label(text: str) -> tuple[str, str]:
    """Read `NAME` or `LABEL=NAME`; return the label, by default the name itself, and the name.

    Raises:
        SettingsError: There is no name.
    """
    text = text.strip()
    found = _LABELLED.fullmatch(text)
    label, name = (found[1], found[2].strip()) if found else (text, text)
    if not name:
        raise SettingsError(
            f"Malformed estimate {text!r}. Write NAME, LABEL=NAME, column:NAME or rank(A,B)."
        )
    return label, name


def is_derived(name: str) -> bool:
    """Return whether a name stands for a column or a mean rank, not for an objective."""
    return name.startswith(COLUMN) or _RANK.fullmatch(name) is not None


def derived(label: str, name: str) -> Estimate:
    """Return the estimate that `column:NAME` or `rank(A,B)` stands for.

    Raises:
        SettingsError: It is neither, or incomplete.
    """
    if name.startswith(COLUMN) and name != COLUMN:
        return Column(label, name.removeprefix(COLUMN))
    found = _RANK.fullmatch(name)
    members = tuple(member.strip() for member in found[1].split(",")) if found else ()
    if len(set(members)) < 2 or len(set(members)) < len(members) or not all(members):
        raise SettingsError(
            f"Malformed estimate {name!r}. Write column:NAME for a column of the table, or "
            "rank(A,B) for the mean rank of two or more other estimates, each once."
        )
    return MeanRank(label, members)


def as_estimates(
    given: Mapping[str, Objective | str] | Sequence[Objective | str],
) -> list[Estimate]:
    """Return the estimates that objectives and texts stand for.

    Args:
        given: Objectives, `column:NAME` or `rank(A,B)`: by label, or in a sequence, where a text
            may carry its label (`LABEL=rank(A,B)`) and an objective has its name.

    Raises:
        SettingsError: A text is malformed.
    """
    items = list(given.items()) if isinstance(given, Mapping) else [(None, x) for x in given]
    estimates: list[Estimate] = []
    for label, one in items:
        if isinstance(one, Objective):
            estimates.append(Scored(label or one.name, one))
        else:
            own, name = split_label(one)
            estimates.append(derived(label or own, name))
    return estimates


def check_estimates(estimates: Sequence[Estimate]) -> None:
    """Raise unless labels are unique and the members of mean ranks are there.

    Raises:
        SettingsError: They are not.
    """
    labels = [estimate.label for estimate in estimates]
    for label in labels:
        if labels.count(label) > 1:
            raise SettingsError(
                f"The estimate {label!r} is given more than once. Give each a label of its own, "
                f"as in 'other={label}'."
            )
    plain = [e.label for e in estimates if not isinstance(e, MeanRank)]
    for estimate in estimates:
        for member in estimate.members if isinstance(estimate, MeanRank) else ():
            if member not in plain:
                raise SettingsError(
                    f"The estimate {estimate.label!r} ranks {member!r}, which is not given, or is "
                    f"a mean rank itself. Give it as an estimate, too. Given: {', '.join(plain)}."
                )


def mean_rank(members: Sequence[Floats]) -> Floats:
    """Return the mean of the ranks of `(n,)` estimates, higher is better; NaN where one is NaN."""
    from scipy.stats import rankdata

    values = np.stack(members)
    known = np.isfinite(values).all(axis=0)
    ranks = np.full(values.shape[1], np.nan)
    ranks[known] = combine(rankdata(values[:, known], axis=1)) if known.any() else np.nan
    return ranks
