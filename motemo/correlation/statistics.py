"""How well an estimate ranks parts of a sample: deciles of cost, and the best tenth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from motemo.rank_correlation import Floats, kendall_tau

DECILES = 10
LEAST_FOR_DECILES = 40
LEAST_IN_TOP = 10


def deciles(flops: Floats) -> NDArray[np.intp]:
    """Return the decile, 0 to 9, of each of `(n,)` numbers; equal numbers share one.

    With many ties some deciles are larger than others, and some empty. NaN is in none: -1.
    """
    known = np.isfinite(flops)
    owner = np.full(len(flops), -1, dtype=np.intp)
    if known.any():
        edges = np.quantile(flops[known], np.arange(1, DECILES) / DECILES)
        owner[known] = np.searchsorted(edges, flops[known], side="left")
    return owner


def tau_within(x: Floats, y: Floats, owner: NDArray[np.intp]) -> float:
    """Return the mean of tau-b inside groups, weighted by their numbers of pairs.

    Groups in which tau is not defined do not count, nor do members of group -1. NaN if fewer than
    `LEAST_FOR_DECILES` are in a group.
    """
    if np.count_nonzero(owner >= 0) < LEAST_FOR_DECILES:
        return math.nan
    taus, pairs = [], []
    for group in range(DECILES):
        inside = owner == group
        tau = kendall_tau(x[inside], y[inside])
        if math.isfinite(tau):
            taus.append(tau)
            pairs.append(math.comb(int(inside.sum()), 2))
    return float(np.average(taus, weights=pairs)) if taus else math.nan


def top_tenth(truth: Floats) -> NDArray[np.bool_]:
    """Return which of `(n,)` are in the best tenth: at least n // 10, and all tied at its end."""
    count = len(truth) // 10
    if not count:
        return np.zeros(len(truth), dtype=np.bool_)
    border: np.float64 = np.sort(truth)[-count]
    return np.asarray(truth >= border)


def tau_in_top(x: Floats, y: Floats, top: NDArray[np.bool_]) -> float:
    """Return tau-b inside the marked part, NaN if that has fewer than `LEAST_IN_TOP`."""
    return kendall_tau(x[top], y[top]) if top.sum() >= LEAST_IN_TOP else math.nan
