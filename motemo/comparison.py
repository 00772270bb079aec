"""Estimates beside what the same architectures reached when they were trained for real."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from motemo.finalist import Finalist
from motemo.front import Axis, Front
from motemo.objective import Direction, Measurement
from motemo.rank_correlation import Bootstrap, kendall_tau, spearman_rho

LEAST_FOR_INTERVAL = 8
"""Finalists that it takes for an interval of the rank correlation."""


@dataclass(frozen=True)
class Agreement:
    """How well the estimate ranked the finalists. NaN where it is not defined.

    Attributes:
        n: How many were compared.
        tau: Kendall's tau-b of estimate and accuracy; 1 if it ranked them alike.
        tau_low: Lower end of its 95 % interval (bootstrap over finalists).
        tau_high: Upper end.
        rho: Spearman's rho.
    """

    n: int
    tau: float
    tau_low: float
    tau_high: float
    rho: float


@dataclass(frozen=True)
class Compared:
    """Estimate and truth of one finalist, side by side.

    Attributes:
        finalist: The finalist.
        estimate: What the search made of it.
        estimate_rank: Its rank by that among the finalists, 1 for the best; equals share one.
        accuracy_rank: Its rank by validation accuracy, or None if its training failed.
    """

    finalist: Finalist
    estimate: Measurement
    estimate_rank: int
    accuracy_rank: int | None


@dataclass(frozen=True)
class Comparison:
    """Estimate and truth of all finalists.

    Attributes:
        axis: The objective that estimates.
        rows: The finalists, in the order of the estimate; those that failed, too.
        agreement: How well the estimate ranked those that did not fail.
    """

    axis: Axis
    rows: tuple[Compared, ...]
    agreement: Agreement


def compare(front: Front, finalists: Sequence[Finalist], axis: Axis) -> Comparison:
    """Compare an estimate with trained accuracy.

    Args:
        front: The front of the search.
        finalists: What was trained; those of another search are left out.
        axis: The objective of the front that estimates.
    """
    measured = {
        (member.trial, member.architecture.genotype): member.measurements[axis.name]
        for member in front.evaluated
    }
    found = [(f, measured[f.trial, f.genotype]) for f in finalists if _name(f) in measured]
    sign = 1.0 if axis.direction is Direction.MAXIMIZE else -1.0
    scores = [sign * estimate.value for _, estimate in found]
    reached = [f.val_accuracy for f, _ in found if f.val_accuracy is not None]
    rows = [
        Compared(
            finalist=finalist,
            estimate=estimate,
            estimate_rank=_rank(score, scores),
            accuracy_rank=None if accuracy is None else _rank(accuracy, reached),
        )
        for (finalist, estimate), score in zip(found, scores, strict=True)
        for accuracy in (finalist.val_accuracy,)
    ]
    pairs = [(score, f.val_accuracy) for (f, _), score in zip(found, scores, strict=True)]
    known = [(score, accuracy) for score, accuracy in pairs if accuracy is not None]
    rows.sort(key=lambda row: (row.estimate_rank, row.finalist.trial))
    return Comparison(axis, tuple(rows), _agreement(known))


def _name(finalist: Finalist) -> tuple[int, str]:
    return finalist.trial, finalist.genotype


def _rank(value: float, values: Sequence[float]) -> int:
    return 1 + sum(other > value for other in values)


def _agreement(pairs: Sequence[tuple[float, float]]) -> Agreement:
    estimate, truth = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    low = high = math.nan
    if len(pairs) >= LEAST_FOR_INTERVAL:
        each = [str(number) for number in range(len(pairs))]  # finalists are different networks
        interval = Bootstrap.of(each, seed=0).tau(estimate, truth)
        low, high = interval.low, interval.high
    tau, rho = kendall_tau(estimate, truth), spearman_rho(estimate, truth)
    return Agreement(n=len(pairs), tau=tau, tau_low=low, tau_high=high, rho=rho)
