"""Early stopping: end a training when even an optimistic reading of its curve misses the front.

The finished trainings of the study teach how the value follows from the first epochs and from the
costs that are known before training (`motemo.learning_curve`). If a candidate with its optimistic
value and its known costs is dominated by what the study holds, no more is spent on it.

Reference: Domhan et al., *Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks
by Extrapolation of Learning Curves*, IJCAI 2015, for a single objective: there a training stops
when it probably cannot beat the best one. Here the best one is the front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.constraint import Constraint
from motemo.errors import SettingsError
from motemo.learning_curve import CurveReading, Floats
from motemo.objective import EPOCH_LOSSES, Direction, Measurement, Objective, Watchable
from motemo.pareto import layers as layers_of
from motemo.space import Json

_BLIND = 0.1
"""Share of the epochs, at the beginning, after which nothing is stopped yet."""


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """When a training is stopped.

    Attributes:
        min_curves: Finished trainings to learn from before any is stopped.
        confidence: Share of trainings that stay below their optimistic reading. Closer to 1 stops
            fewer and loses less; it also needs more finished trainings before the first is
            stopped, at least `confidence / (1 - confidence)`.
        layers: Keep what may enter the first so many non-dominated layers. 1 is the front alone;
            2 leaves more to choose from where the best are evaluated again by a dearer objective.
    """

    min_curves: int = 20
    confidence: float = 0.95
    layers: int = 1

    def __post_init__(self) -> None:
        for name in ("min_curves", "layers"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"Early stopping needs {name} of at least 1; got {getattr(self, name)}."
                )
        if not 0 < self.confidence < 1:
            raise SettingsError(
                "Early stopping needs a confidence above 0 and below 1; "
                f"got {self.confidence}. The default is {EarlyStopping.confidence}."
            )

    def identity(self) -> dict[str, Json]:
        """All fields."""
        return asdict(self)


def rule_of(
    early_stopping: bool | EarlyStopping, objectives: Sequence[Objective]
) -> EarlyStopping | None:
    """Return the rule that is asked for, None for never to stop.

    Raises:
        SettingsError: None of the objectives can be watched.
    """
    if early_stopping and not any(isinstance(o, Watchable) for o in objectives):
        raise SettingsError(
            "Early stopping needs an objective that trains and can be watched, such as 'mote'; "
            f"got {', '.join(o.name for o in objectives)}. Add one, or leave early stopping out."
        )
    return EarlyStopping() if early_stopping is True else early_stopping or None


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges trainings by what other trials have come to.

    Attributes:
        rule: When a training is stopped.
        objectives: The objectives of the search, in order.
        constraints: Its bounds.
        rivals: `(k, m)` values of that layer of the completed trials that a candidate must not be
            dominated by; none before there is such a layer.
        lessons: What finished trainings teach, by the name of what trains.
    """

    rule: EarlyStopping
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    rivals: Floats
    lessons: Mapping[str, Lessons]

    @classmethod
    def of(
        cls,
        rule: EarlyStopping,
        trials: Sequence[FrozenTrial],
        *,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
    ) -> Judge:
        """Return a judge that goes by these trials of a study and by nothing else."""
        completed = _completed(trials, objectives, constraints)
        layer = layers_of(completed, [objective.direction for objective in objectives])
        return cls(
            rule=rule,
            objectives=objectives,
            constraints=constraints,
            rivals=completed[layer == rule.layers - 1],
            lessons={
                objective.name: Lessons.of(objective, trials, others=_others(objective, objectives))
                for objective in objectives
                if isinstance(objective, Watchable)
            },
        )

    def __call__(
        self, objective: Objective, known: Mapping[str, Measurement], losses: Sequence[float]
    ) -> str | None:
        """Return why the training of a candidate should stop, or None.

        Args:
            objective: What trains.
            known: What has been measured of the candidate. While another objective is unknown,
                in which it may be the best of all, nothing is stopped.
            losses: `(t,)` losses of its epochs so far.
        """
        lessons, others = self.lessons[objective.name], _others(objective, self.objectives)
        if not len(self.rivals) or len(lessons.values) < self.rule.min_curves:
            return None
        if len(losses) < _BLIND * lessons.epochs or any(o.name not in known for o in others):
            return None
        costs = np.array([known[other.name].value for other in others], dtype=np.float64)
        best = lessons.best(np.array(losses, dtype=np.float64), costs, self.rule.confidence)
        values = {other.name: known[other.name].value for other in others} | {objective.name: best}
        if self._breaks_bound(objective, best):
            verdict = "cannot keep its bound"
        elif self._out_of_reach([values[o.name] for o in self.objectives]):
            verdict = "cannot enter the front"
        else:
            return None
        return f"{verdict}: at best {best:.6g}, by {len(losses)} of {lessons.epochs} epochs"

    def _breaks_bound(self, objective: Objective, best: float) -> bool:
        """Return whether every value from the best one to the worst breaks a bound."""
        ends = best, -_sign(objective.direction) * math.inf
        bounds = [c for c in self.constraints if c.objective == objective.name]
        return any(all(bound.violation(end) > 0 for end in ends) for bound in bounds)

    def _out_of_reach(self, point: Sequence[float]) -> bool:
        """Return whether a rival dominates the point."""
        signs = np.array([_sign(objective.direction) for objective in self.objectives])
        ahead = signs * (self.rivals - point)
        return bool(((ahead >= 0).all(axis=1) & (ahead > 0).any(axis=1)).any())


@dataclass(frozen=True, eq=False)
class Lessons:
    """Finished trainings of one objective.

    Attributes:
        direction: Which values are better.
        losses: `(n, E)` losses of all their epochs.
        costs: `(n, m - 1)` values of the other objectives.
        values: `(n,)` what they came to.
    """

    direction: Direction
    losses: Floats
    costs: Floats
    values: Floats

    @property
    def epochs(self) -> int:
        """Epochs of a training, E."""
        return int(self.losses.shape[1])

    @classmethod
    def of(
        cls, objective: Objective, trials: Sequence[FrozenTrial], *, others: Sequence[Objective]
    ) -> Lessons:
        """Return what the trials of a study hold of an objective's trainings.

        Args:
            objective: What trains.
            trials: The trials; also those that broke a bound in the end.
            others: The other objectives of the study.
        """
        rows = [
            (losses, [found[other.name].value for other in others], found[objective.name].value)
            for found in (records.read_measurements(trial.user_attrs) for trial in trials)
            if objective.name in found and all(other.name in found for other in others)
            for losses in [_losses(found[objective.name])]
            if losses and np.isfinite(losses).all()
        ]
        epochs = max((len(losses) for losses, _, _ in rows), default=0)
        rows = [row for row in rows if len(row[0]) == epochs]
        return cls(
            direction=objective.direction,
            losses=np.array([row[0] for row in rows]).reshape(len(rows), epochs),
            costs=np.array([row[1] for row in rows]).reshape(len(rows), len(others)),
            values=np.array([row[2] for row in rows]),
        )

    def best(self, losses: Floats, costs: Floats, confidence: float) -> float:
        """Return a value that a training will probably not surpass.

        Args:
            losses: `(t,)` its losses so far.
            costs: `(m - 1,)` its values in the other objectives.
            confidence: How probably; infinitely good where the curves say nothing about it.
        """
        sign = _sign(self.direction)
        if not np.isfinite(losses).all() or len(losses) > self.epochs:
            return sign * math.inf
        reading = CurveReading.fit(self.losses[:, : len(losses)], self.costs, sign * self.values)
        return sign * reading.highest(losses, costs, confidence)


def _completed(
    trials: Sequence[FrozenTrial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
) -> Floats:
    """Return `(n, m)` values of the completed trials that keep all bounds."""
    rows = []
    for trial in trials:
        found = records.read_measurements(trial.user_attrs)
        complete = trial.state is TrialState.COMPLETE and all(o.name in found for o in objectives)
        if complete and all(c.violation(found[c.objective].value) <= 0 for c in constraints):
            rows.append([found[o.name].value for o in objectives])
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(objectives))


def _losses(measurement: Measurement) -> list[float]:
    stored = measurement.record.get(EPOCH_LOSSES)
    losses = stored if isinstance(stored, list) else []
    return [float(loss) for loss in losses if isinstance(loss, int | float)]


def _others(objective: Objective, objectives: Sequence[Objective]) -> list[Objective]:
    return [other for other in objectives if other.name != objective.name]


def _sign(direction: Direction) -> float:
    return 1.0 if direction is Direction.MAXIMIZE else -1.0
