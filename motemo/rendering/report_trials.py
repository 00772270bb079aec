"""What became of every trial of a study, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.space import Space


class Outcome(StrEnum):
    """What became of a trial."""

    EVALUATED = "evaluated"
    STOPPED = "stopped early"
    SKIPPED = "skipped"
    INFEASIBLE = "infeasible"
    DUPLICATE = "duplicate"
    INVALID = "invalid"
    FAILED = "failed"
    ABANDONED = "abandoned"
    PRUNED = "pruned"
    UNFINISHED = "not finished"


MEANING = {
    Outcome.EVALUATED: "every objective has a value",
    Outcome.STOPPED: "the training could not enter the front, and was stopped",
    Outcome.SKIPPED: "an objective declined it, as a table does that lacks it; it cost nothing",
    Outcome.INFEASIBLE: "beyond a constraint, by what was known before the dear objectives",
    Outcome.DUPLICATE: "computes the same as an earlier one; was not evaluated again",
    Outcome.INVALID: "no network can be built of it, such as a cell without a path",
    Outcome.FAILED: "an evaluation gave no value",
    Outcome.ABANDONED: "its worker did not finish it; another trial took its place",
    Outcome.PRUNED: "pruned from outside",
    Outcome.UNFINISHED: "under way or waiting when this page was made",
}


@dataclass(frozen=True)
class Fate:
    """What became of one trial.

    Attributes:
        trial: Its number.
        outcome: What became of it.
        reason: Why, empty if it was evaluated.
        genotype: What it asked for, empty while that is unknown.
    """

    trial: int
    outcome: Outcome
    reason: str
    genotype: str


@dataclass(frozen=True)
class Timing:
    """When a study was worked on.

    Attributes:
        start: When the first trial began, local time.
        end: When the last one ended.
        busy_seconds: How long at least one trial was under way.
    """

    start: datetime
    end: datetime
    busy_seconds: float


def fate_of(trial: FrozenTrial, space: Space) -> Fate:
    """Return what became of a trial, from what is stored with it."""
    genotype = trial.user_attrs.get(records.GENOTYPE)
    if genotype is None:
        architecture = records.trial_architecture(space, trial)
        genotype = "" if architecture is None else architecture.genotype
    reason = str(trial.user_attrs.get(records.REASON, ""))
    outcome = _outcome(trial, reason)
    return Fate(trial.number, outcome, reason.removeprefix(f"{outcome}: "), str(genotype))


def _outcome(trial: FrozenTrial, reason: str) -> Outcome:
    attributes = trial.user_attrs
    if trial.state is TrialState.COMPLETE:
        return Outcome.EVALUATED
    if not trial.state.is_finished():
        return Outcome.UNFINISHED
    if trial.state is TrialState.FAIL:
        return Outcome.ABANDONED if records.ABANDONED in attributes else Outcome.FAILED
    if records.DUPLICATE_OF in attributes:
        return Outcome.DUPLICATE
    if records.was_stopped(attributes):
        return Outcome.STOPPED
    if records.was_skipped(attributes):
        return Outcome.SKIPPED
    word = reason.partition(":")[0]
    return Outcome(word) if word in (Outcome.INFEASIBLE, Outcome.INVALID) else Outcome.PRUNED


def timing_of(trials: Sequence[FrozenTrial]) -> Timing | None:
    """Return when the finished trials of a study were worked on; None if there are none."""
    spans = sorted(
        (trial.datetime_start, trial.datetime_complete)
        for trial in trials
        if trial.datetime_start is not None and trial.datetime_complete is not None
    )
    if not spans:
        return None
    busy, reached = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, (end - max(start, reached)).total_seconds())
        reached = max(reached, end)
    return Timing(spans[0][0], reached, busy)
