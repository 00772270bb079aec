"""How far a search is: what became of its trials, and the reports of it while it runs."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.front import Front
from motemo.space import Space

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        wanted: Evaluations asked for.
        trials: Trials by state and reason: `completed`, `duplicate`, `infeasible`, `invalid`,
            `skipped`, `stopped`, `failed`, `abandoned`, `running`.
        front: The front so far.
        seconds: Seconds since this call began.
        paid_before: Evaluations that were paid for when this call began.
        stopped_early: Why the search ended before it had all evaluations, or None.
    """

    wanted: int
    trials: Counter[str]
    front: Front
    seconds: float
    paid_before: int
    stopped_early: str | None = None

    @property
    def completed(self) -> int:
        """Completed evaluations so far."""
        return self.trials["completed"]

    @property
    def paid(self) -> int:
        """Evaluations so far that count: completed ones, and trainings that were stopped early."""
        return _paid(self.trials)

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to go, None before this call has evaluated anything."""
        done = self.paid - self.paid_before
        if done <= 0:
            return None
        return max(0, self.wanted - self.paid) * self.seconds / done


class Reporter:
    """Hands out the progress of a study from the moment it is made."""

    def __init__(
        self, study: optuna.Study, space: Space, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._study, self._space, self._on_progress = study, space, on_progress
        self._start = time.perf_counter()
        self._paid_before = paid(study.get_trials(deepcopy=False))

    def report(self, wanted: int, stopped_early: str | None = None) -> None:
        """Report the progress; where nobody listens, log why a search ended early."""
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    wanted=wanted,
                    trials=tally(self._study.get_trials(deepcopy=False)),
                    front=records.read_front(self._study, space=self._space),
                    seconds=time.perf_counter() - self._start,
                    paid_before=self._paid_before,
                    stopped_early=stopped_early,
                )
            )
        elif stopped_early is not None:
            _logger.warning("The search ended early: %s.", stopped_early)


def tally(trials: Sequence[FrozenTrial]) -> Counter[str]:
    """Count trials by what became of them, in the words of `Progress.trials`."""
    return Counter(outcome(trial) for trial in trials)


def paid(trials: Sequence[FrozenTrial]) -> int:
    """Count the evaluations: completed ones, and trainings that were stopped early."""
    return _paid(tally(trials))


def _paid(counts: Counter[str]) -> int:
    return counts["completed"] + counts["stopped"]


def outcome(trial: FrozenTrial) -> str:
    """Return what became of a trial, in the words of `Progress.trials`."""
    if trial.state is TrialState.PRUNED:
        if records.GENOTYPE not in trial.user_attrs:
            return "invalid"
        if records.was_stopped(trial.user_attrs):
            return "stopped"
        if records.was_skipped(trial.user_attrs):
            return "skipped"
        return "duplicate" if records.DUPLICATE_OF in trial.user_attrs else "infeasible"
    if records.was_abandoned(trial):
        return "abandoned"
    return {TrialState.COMPLETE: "completed", TrialState.FAIL: "failed"}.get(trial.state, "running")
