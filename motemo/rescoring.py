"""Re-scoring: the best of a search once more, by a dearer objective."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from optuna.storages import BaseStorage

from motemo.challengers import FIRST_SHARE, Challengers
from motemo.constraint import Constraint
from motemo.errors import SettingsError
from motemo.evaluation import undisturbed
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement, Objective, Outcome
from motemo.pareto import ranked
from motemo.rescored_study import RescoredStudy, rescored_settings
from motemo.space import Json
from motemo.storage import exclusive, explained, open_storage

DEFAULT_DOUBT = 0.25
LEAST_TO_PREDICT = 5
_PREDICTED = "predicted"
_logger = logging.getLogger(__name__)

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with how many have been re-scored, and how many there will be at most."""
Found: TypeAlias = dict[int, Measurement]
"""Dearer measurements, by position in a sequence of members."""


def rescore(
    front: Front,
    objective: Objective,
    k: int,
    *,
    trials: Collection[int] | None = None,
    replaces: str | None = None,
    keep_others: bool = False,
    doubt: float = DEFAULT_DOUBT,
    storage: str | BaseStorage | None = None,
    study_name: str = "rescored",
    on_progress: OnProgress = lambda _done, _wanted: None,
) -> Front:
    """Evaluate k architectures by a dearer objective, and redraw the front with it.

    There are two ways. By default the k best are re-scored, and only these can be on the new
    front: whatever is on it has been evaluated. They are taken by non-dominated layers, the last
    layer thinned by crowding distance; with one objective they are simply the k best. MOTE-NAS's
    top-k is this with k > 1; its evaluation-free form hands over the best as it is, k = 1.

    With `keep_others`, the k go to architectures behind the front that may join it (see
    `motemo.challengers`), and the dearer value of all others is predicted from theirs. On the new
    front are the re-scored ones that no other re-scored one beats; of the others, the members of
    the old front, and those that none beats in prediction. Predictions come with a 95 % interval,
    and `is_predicted` tells them. That keeps more of the true front: docs/benchmark.md has figures.

    Args:
        front: The result of a search.
        objective: The dearer objective.
        k: How many architectures to evaluate at most; there may be fewer.
        trials: Evaluate these instead of the best, by their trials; k of them at most.
        replaces: The objective of the front in whose place it comes; by default the first one of
            the same direction. Constraints on that one no longer apply.
        keep_others: See above. Needs two objectives or more, and k of at least 5. Narrow such a
            front before it is re-scored: `within` compares predictions like values.
        doubt: With `keep_others`: by how much a predicted value must be better to count, in
            standard deviations of what the prediction leaves unexplained. With more doubt, more
            stays on the front.
        storage: Optuna storage or its URL, where every value is stored at once, in a study of its
            own that `motemo.read_front` reads. What it holds is not evaluated again.
        study_name: Name of that study.
        on_progress: Called at the start and after every step.

    Returns:
        The new front. Trial numbers are those of the search. What fails is logged and left out.

    Raises:
        SettingsError: k is out of range, nothing can be replaced, or the study was made with other
            settings.
        StorageError: The storage cannot be opened, or the study is of something else.
    """
    replaced = _replaced(front, objective, replaces)
    _check(front, k, keep_others, doubt)
    pool = _eligible(front) if trials is None else _members(front, trials, keep_others)
    opened = open_storage(storage) if isinstance(storage, str) else storage
    with exclusive(storage), explained():
        task = _Task(front, objective, replaced, pool, k, doubt, on_progress)
        on_progress(0, min(k, len(task.pool)))
        study = task.kept_in(opened, study_name)
        return task.with_challengers(study) if keep_others else task.best(study)


def best_trials(front: Front, k: int) -> list[int]:
    """Return the trials that `rescore` takes by default: the k best, by layers of the front.

    Raises:
        SettingsError: k is out of range, or the front is empty.
    """
    _check(front, k, keep_others=False, doubt=0.0)
    pool = _eligible(front)
    return [pool[row].trial for row in _best(front, pool)[:k]]


def _best(front: Front, pool: Sequence[Member]) -> list[int]:
    """Return positions in a pool of members, the best first."""
    values = np.array([[m.measurements[axis.name].value for axis in front.axes] for m in pool])
    rows: list[int] = ranked(values, [axis.direction for axis in front.axes]).tolist()
    return rows


def _eligible(front: Front) -> tuple[Member, ...]:
    """Return all that may be re-scored: what keeps the constraints, or the least violating."""
    if not front.feasible:
        return front.members
    return tuple(m for m in front.evaluated if _keeps(m, front.constraints))


def _members(front: Front, trials: Collection[int], keep_others: bool) -> tuple[Member, ...]:
    by_trial = {member.trial: member for member in front.evaluated}
    unknown = sorted(set(trials) - by_trial.keys())
    if unknown or not trials or keep_others:
        raise SettingsError(
            f"Trials {unknown or list(trials)} cannot be re-scored. Give one or more that the "
            f"search has evaluated, without keep_others: {', '.join(map(str, by_trial))}."
        )
    return tuple(by_trial[trial] for trial in dict.fromkeys(trials))


def _replaced(front: Front, objective: Objective, replaces: str | None) -> Axis:
    """Return the axis that the dearer objective replaces."""
    names = [axis.name for axis in front.axes]
    fitting = [axis for axis in front.axes if axis.direction is objective.direction]
    chosen = [axis for axis in fitting if replaces in (None, axis.name)]
    if not chosen:
        raise SettingsError(
            f"{objective.name!r}, to {objective.direction}, cannot replace "
            f"{'anything' if replaces is None else repr(replaces)}. Objectives of the front to "
            f"{objective.direction}: {', '.join(axis.name for axis in fitting) or 'none'}."
        )
    if objective.name in names and objective.name != chosen[0].name:
        raise SettingsError(
            f"The front has an objective {objective.name!r} already. Give the dearer one another "
            "name."
        )
    return chosen[0]


def _check(front: Front, k: int, keep_others: bool, doubt: float) -> None:
    if k < 1:
        raise SettingsError(f"Re-scoring needs k of at least 1; got {k}.")
    if not front.evaluated:
        raise SettingsError("The front is empty: there is nothing to re-score.")
    if not 0 <= doubt < math.inf:
        raise SettingsError(f"The doubt is a number of at least 0; got {doubt}.")
    if keep_others and (len(front.axes) < 2 or k < LEAST_TO_PREDICT):
        raise SettingsError(
            f"To keep the others takes at least 2 objectives and k of at least "
            f"{LEAST_TO_PREDICT}; got {len(front.axes)} and {k}. Re-score the best instead."
        )


@dataclass(frozen=True)
class _Task:
    front: Front
    objective: Objective
    replaced: Axis
    pool: tuple[Member, ...]
    k: int
    doubt: float
    on_progress: OnProgress

    def kept_in(self, storage: BaseStorage | None, study_name: str) -> RescoredStudy:
        """Open the study of the values; without a storage, it is gone afterwards."""
        return RescoredStudy.open(storage, study_name, axes=self._axes, settings=self._settings)

    def best(self, study: RescoredStudy) -> Front:
        """Re-score the k best."""
        order = _best(self.front, self.pool)[: self.k]
        return self._redrawn(self._evaluate(order, study, before=0))

    def with_challengers(self, study: RescoredStudy) -> Front:
        """Re-score k challengers; the others stay."""
        challengers = Challengers(self.pool, self.front.axes, self.replaced)
        tried = challengers.first(round(FIRST_SHARE * self.k))
        found = self._evaluate(tried, study, before=0)
        while len(tried) < self.k and len(found) > 1:
            known = {row: measurement.value for row, measurement in found.items()}
            following = challengers.following(known, tried=tried)
            if following is None:
                break
            found |= self._evaluate([following], study, before=len(tried))
            tried.append(following)
        if len(found) < 2:
            _logger.warning("Too few could be re-scored to predict the others: the front stays.")
            return self.front
        return self._with_others(challengers, found)

    def _with_others(self, challengers: Challengers, found: Found) -> Front:
        """Return the best of what is re-scored, and of the rest the old and predicted front."""
        known = {row: measurement.value for row, measurement in found.items()}
        likely = challengers.likely(known, doubt=self.doubt)
        prediction = challengers.predict(known)
        predicted = {
            row: Measurement(
                value=float(prediction.mean[row]),
                unit=self.objective.unit,
                low=float(prediction.mean[row] - prediction.half[row]),
                high=float(prediction.mean[row] + prediction.half[row]),
                record={_PREDICTED: True},
            )
            for row in likely
            if row not in found
        }
        others = [self._rescored(self.pool[row], m) for row, m in predicted.items()]
        every = self._redrawn({**found, **predicted})
        members = _by_first_objective([*self._redrawn(found), *others], self._axes)
        return replace(every, members=members)

    @property
    def _axes(self) -> list[Axis]:
        new = Axis(self.objective.name, self.objective.unit, self.objective.direction)
        return [new if axis is self.replaced else axis for axis in self.front.axes]

    @property
    def _constraints(self) -> list[Constraint]:
        return [c for c in self.front.constraints if c.objective != self.replaced.name]

    @cached_property
    def _settings(self) -> dict[str, Json]:
        return rescored_settings(
            self.front, self.objective, replaced=self.replaced, constraints=self._constraints
        )

    def _redrawn(self, found: Found) -> Front:
        return Front.of(
            [self._rescored(self.pool[row], measurement) for row, measurement in found.items()],
            axes=self._axes,
            constraints=self._constraints,
            settings=self._settings,
        )

    def _rescored(self, member: Member, measurement: Measurement) -> Member:
        measured = {
            new.name: measurement if old is self.replaced else member.measurements[old.name]
            for old, new in zip(self.front.axes, self._axes, strict=True)
        }
        return replace(member, measurements=measured)

    def _evaluate(self, rows: Sequence[int], study: RescoredStudy, *, before: int) -> Found:
        """Return the dearer measurements of members, by position; what fails has none.

        Args:
            rows: Positions in the pool.
            study: Where values are kept, and looked for first.
            before: How many have been tried before.
        """
        stored = study.known(self.objective.name)
        genotypes = {row: self.pool[row].architecture.genotype for row in rows}
        found = {row: stored[g] for row, g in genotypes.items() if g in stored}
        missing = [row for row in rows if row not in found]
        done = before + len(found)
        for chunk in [missing] if self.objective.batched else [[row] for row in missing]:
            with undisturbed(self.objective):
                outcomes = self.objective.evaluate([self.pool[r].architecture for r in chunk])
            for row, outcome in zip(chunk, outcomes, strict=True):
                measurement = _measured(outcome, self.objective.name, self.pool[row])
                if measurement is not None:
                    found[row] = measurement
                    study.keep(self._rescored(self.pool[row], measurement))
            done += len(chunk)
            self.on_progress(done, min(self.k, len(self.pool)))
        return {row: found[row] for row in rows if row in found}


def _keeps(member: Member, constraints: Sequence[Constraint]) -> bool:
    return all(c.violation(member.measurements[c.objective].value) <= 0 for c in constraints)


def _measured(outcome: Outcome, name: str, member: Member) -> Measurement | None:
    if isinstance(outcome, Measurement) and math.isfinite(outcome.value):
        return outcome
    reason = f"the value is {outcome.value}" if isinstance(outcome, Measurement) else outcome.reason
    _logger.warning("Trial %d was not re-scored by %s: %s.", member.trial, name, reason)
    return None


def is_predicted(measurement: Measurement) -> bool:
    """Return whether a value on a redrawn front is predicted, not evaluated."""
    return measurement.record.get(_PREDICTED) is True


def _by_first_objective(members: Iterable[Member], axes: Sequence[Axis]) -> tuple[Member, ...]:
    """Return members in the order of a front: best in the first objective first."""
    first = axes[0]
    sign = -1.0 if first.direction is Direction.MAXIMIZE else 1.0
    return tuple(sorted(members, key=lambda m: (sign * m.measurements[first.name].value, m.trial)))
