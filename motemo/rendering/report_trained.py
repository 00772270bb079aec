"""Estimates beside what the same architectures reached when they were really trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from motemo.finalist import Finalist
from motemo.front import Axis, Front
from motemo.objective import Direction

FEWEST = 3
"""Trained architectures below which no rank correlation is given."""


@dataclass(frozen=True)
class Pair:
    """One finalist.

    Attributes:
        finalist: What the training came to.
        estimate: What the search thought of it, None if its study does not hold the trial.
        estimate_rank: Its rank among the finalists by the estimate, 1 is best.
        rank: Its rank by validation accuracy; None if the training failed.
    """

    finalist: Finalist
    estimate: float | None
    estimate_rank: int | None
    rank: int | None


@dataclass(frozen=True)
class Comparison:
    """Estimate and truth, side by side.

    Attributes:
        axis: The objective that was the estimate.
        pairs: The finalists, best validation accuracy first, failed ones last.
        tau: Kendall's tau-b of the two, NaN if there are fewer than three or all are equal.
        count: How many it is of.
    """

    axis: Axis
    pairs: tuple[Pair, ...]
    tau: float
    count: int


def compare(front: Front, finalists: Sequence[Finalist], estimate: str | None) -> Comparison | None:
    """Compare the estimate of a front with trained accuracy; None without finalists.

    Args:
        front: The front of the search.
        finalists: What was trained.
        estimate: Name of the objective that estimates; None for the first that is maximised, or
            else the first.
    """
    if not finalists or not front.axes:
        return None
    upwards = [axis for axis in front.axes if axis.direction is Direction.MAXIMIZE]
    named = [axis for axis in front.axes if axis.name == estimate]
    axis = [*named, *upwards, *front.axes][0]
    values = {m.trial: float(m.measurements[axis.name].value) for m in front.evaluated}
    sign = -1.0 if axis.direction is Direction.MAXIMIZE else 1.0
    known = sorted(sign * values[f.trial] for f in finalists if f.trial in values)
    reached = sorted(-f.val_accuracy for f in finalists if f.val_accuracy is not None)
    pairs = tuple(
        Pair(
            finalist,
            values.get(finalist.trial),
            1 + known.index(sign * values[finalist.trial]) if finalist.trial in values else None,
            None if finalist.val_accuracy is None else 1 + reached.index(-finalist.val_accuracy),
        )
        for finalist in sorted(finalists, key=_worst_last)
    )
    both = [
        (-sign * pair.estimate, pair.finalist.val_accuracy)
        for pair in pairs
        if pair.estimate is not None and pair.finalist.val_accuracy is not None
    ]
    return Comparison(axis, pairs, _tau(both), len(both))


def _worst_last(finalist: Finalist) -> tuple[float, int]:
    accuracy = finalist.val_accuracy
    return (math.inf if accuracy is None else -accuracy, finalist.trial)


def _tau(pairs: Sequence[tuple[float, float]]) -> float:
    if len(pairs) < FEWEST:
        return math.nan
    from scipy.stats import kendalltau

    return float(kendalltau(*zip(*pairs, strict=True)).statistic)
