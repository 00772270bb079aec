"""Objectives: what a search optimises, and the measurements that they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from motemo.errors import DeviceError, UsageError
from motemo.space import Architecture, Json


class Direction(StrEnum):
    """Which values are better. The strings are Optuna's."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Stage(StrEnum):
    """How dear an evaluation is; a search evaluates the stages in this order.

    A candidate that violates a constraint after one stage never reaches the next.
    """

    COUNT = "count"
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
    the front. It is no value: it is never reused and never counts as an evaluation.

    Attributes:
        reason: Why, for people.
        record: What was found out until then, JSON-able.
    """

    reason: str
    record: Mapping[str, Json] = field(default_factory=dict)


Outcome: TypeAlias = Measurement | Failure | Skipped


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
    """

    name: str
    unit: str
    direction: Direction
    stage: Stage
    batched: bool = False

    @abstractmethod
    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Evaluate a batch, in order, each result independent of the others in the batch.

        An architecture is evaluated as written. What goes wrong with one architecture is its
        `Failure` and does not touch the others.
        """

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return every option that changes a value.

        Stored with each measurement; together with an architecture's key it is the cache key.
        A measured objective includes its host, runtime and versions.
        """


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
