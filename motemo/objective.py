"""Objectives: what a search optimises, and the measurements that they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from motemo.errors import DeviceError, UsageError
from motemo.space import Architecture, Json, Space


class Direction(StrEnum):
    """Which values are better. The strings are Optuna's."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Stage(StrEnum):
    """How dear an evaluation is; a search evaluates the stages in this order.

    A candidate that violates a constraint after one stage never reaches the next.
    """

    COUNT = "count"
    PROXY = "proxy"
    MEASURE = "measure"
    TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The value of one objective for one architecture.

    Attributes:
        value: Point value, in `unit`.
        unit: Unit of `value`, `low` and `high`.
        low: Lower end of the spread: where a repetition of the same measurement may fall (95 %).
            Equal to `value` where a repetition gives the same number.
        high: Upper end of the spread.
        record: Whatever explains the value, JSON-able: a training trace, latency samples.
    """

    value: float
    unit: str
    low: float
    high: float
    record: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def exact(
        cls, value: float, unit: str, record: Mapping[str, Json] | None = None
    ) -> Measurement:
        """Return a measurement that a repetition reproduces exactly."""
        return cls(value=value, unit=unit, low=value, high=value, record=record or {})


@dataclass(frozen=True)
class Failure:
    """An evaluation that gave no value; in a study it becomes a failed trial.

    Attributes:
        reason: What went wrong, for people.
    """

    reason: str


@dataclass(frozen=True)
class Skipped:
    """An evaluation that was not carried through on purpose; in a study, a pruned trial.

    A table that lacks the architecture, or a training that was stopped because it could not enter
    the front. It is no value, and is never reused.

    Attributes:
        reason: Why, for people.
        record: What was found out until then, JSON-able.
        paid: Whether it counts as an evaluation: a training that was stopped early does, what a
            table lacks does not.
    """

    reason: str
    record: Mapping[str, Json] = field(default_factory=dict)
    paid: bool = False


Outcome: TypeAlias = Measurement | Failure | Skipped

Watch: TypeAlias = Callable[[Architecture, Sequence[float]], str | None]
"""Judges a training after each epoch: from the architecture and the losses of all epochs so far
(lower is better) to the reason to stop it, or None to go on."""

EPOCH_LOSSES = "epoch_losses"
"""Where the record of a `Watchable`'s measurement holds the losses that `Watch` was shown."""


class Objective(ABC):
    """A pure function of architectures and of its own fields.

    Implementations are frozen dataclasses, final, and build their own networks. They keep no
    state between calls; seeds derive from their own seed and the architecture's key.

    Attributes:
        name: Column name; carries the unit where there is one (`latency_ms`).
        unit: Unit of the values.
        direction: Which values are better.
        stage: How dear one evaluation is.
        batched: Whether many architectures at once are cheaper than one after the other. If not,
            a search hands over one at a time, so that a crash costs one evaluation.
        occupies_host: Whether evaluating uses this host: then nothing is measured on it while
            something trains. Not so where values are looked up.
    """

    name: str
    unit: str
    direction: Direction
    stage: Stage
    batched: bool = False
    occupies_host: bool = True

    @abstractmethod
    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Evaluate a batch, in order, each result independent of the others in the batch.

        An architecture is evaluated as written. What goes wrong with one architecture is its
        `Failure` and does not touch the others.
        """

    def prepare(self, space: Space) -> None:  # noqa: B027  (most have nothing to prepare)
        """Do what comes once for a space in a process, such as a calibration, if there is any.

        `evaluate` does it by itself when it is needed; who measures its time does it before.
        """

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return every option that changes a value.

        Stored with each measurement; together with an architecture's key it is the cache key.
        A measured objective includes its host, runtime and versions.
        """


class Watchable(Objective):
    """An objective that trains, and that stops a training when told that it leads nowhere.

    Its records hold the losses of all epochs under `EPOCH_LOSSES`, as a list.
    """

    @abstractmethod
    def evaluate_watched(
        self, architectures: Sequence[Architecture], watch: Watch
    ) -> list[Outcome]:
        """Evaluate a batch, and let `watch` judge each training after every epoch.

        A training that is stopped is `Skipped` and paid, for the reason that `watch` gave and
        with the losses so far in its record. The others are exactly what `evaluate` returns.
        """

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Evaluate a batch; nobody watches."""
        return self.evaluate_watched(architectures, _go_on)


def _go_on(_architecture: Architecture, _losses: Sequence[float]) -> None:
    """Stop nothing."""


def evaluate_each(
    architectures: Sequence[Architecture], measure: Callable[[Architecture], Outcome]
) -> list[Outcome]:
    """Measure one architecture after the other; what an evaluation raises becomes its `Failure`.

    Raises:
        UsageError: A setting cannot work, whatever the architecture.
        DeviceError: The device is not available.
    """
    outcomes: list[Outcome] = []
    for architecture in architectures:
        try:
            outcomes.append(measure(architecture))
        except (UsageError, DeviceError):
            raise
        except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
            outcomes.append(Failure(f"{type(error).__name__}: {error}"))
    return outcomes
