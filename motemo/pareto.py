"""Pareto dominance and hypervolume, on plain arrays; pymoo computes both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motemo.objective import Direction


def _as_minimization(
    values: NDArray[np.float64], directions: Sequence[Direction]
) -> NDArray[np.float64]:
    signs = [-1.0 if direction is Direction.MAXIMIZE else 1.0 for direction in directions]
    costs: NDArray[np.float64] = np.asarray(values, dtype=np.float64).reshape(-1, len(signs))
    return costs * np.asarray(signs, dtype=np.float64)


def non_dominated(
    values: NDArray[np.float64], directions: Sequence[Direction]
) -> NDArray[np.bool_]:
    """Return which rows no other row dominates.

    Args:
        values: `(n, m)` finite values of n points in m objectives.
        directions: `(m,)` which values are better.

    Returns:
        `(n,)` mask. Of equal rows, all or none are marked.
    """
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    costs = _as_minimization(values, directions)
    mask = np.zeros(len(costs), dtype=np.bool_)
    if len(costs):
        mask[NonDominatedSorting().do(costs, only_non_dominated_front=True)] = True
    return mask


def layers(values: NDArray[np.float64], directions: Sequence[Direction]) -> NDArray[np.intp]:
    """Return the non-dominated layer of each row: 0 for the front, 1 for the next, and so on.

    Args:
        values: `(n, m)` finite values of n points in m objectives.
        directions: `(m,)` which values are better.

    Returns:
        `(n,)` layers.

    Reference: Deb et al., *A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II*, IEEE
    TEC 2002.
    """
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    costs = _as_minimization(values, directions)
    layer = np.zeros(len(costs), dtype=np.intp)
    if len(costs):
        for number, rows in enumerate(NonDominatedSorting().do(costs)):
            layer[rows] = number
    return layer


def ranked(values: NDArray[np.float64], directions: Sequence[Direction]) -> NDArray[np.intp]:
    """Return the rows in order, best first: by layer, within a layer the least crowded first.

    With one objective, simply by value. Rows that nothing else tells apart stay in order.

    Args:
        values: `(n, m)` finite values of n points in m objectives.
        directions: `(m,)` which values are better.

    Returns:
        `(n,)` positions of rows.

    Reference: Deb et al., *A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II*, IEEE
    TEC 2002.
    """
    from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function

    costs = _as_minimization(values, directions)
    if len(directions) == 1:
        return np.argsort(costs[:, 0], kind="stable")
    layer = layers(values, directions)
    crowding = np.zeros(len(costs))
    for number in np.unique(layer):
        rows = np.flatnonzero(layer == number)
        crowding[rows] = get_crowding_function("cd").do(costs[rows])
    return np.lexsort((-crowding, layer))


def hypervolume(
    values: NDArray[np.float64], directions: Sequence[Direction], reference: Sequence[float]
) -> float:
    """Return the volume that the points dominate, bounded by a reference point. Higher is better.

    Args:
        values: `(n, m)` values of n points in m objectives.
        directions: `(m,)` which values are better.
        reference: `(m,)` a point worse than every point of interest, in the same units; points
            that are not better than it in every objective add nothing.
    """
    from pymoo.indicators.hv import Hypervolume

    costs = _as_minimization(values, directions)
    bound = _as_minimization(np.asarray([reference], dtype=np.float64), directions)[0]
    inside = costs[(costs < bound).all(axis=1)]
    return float(Hypervolume(ref_point=bound)(inside)) if len(inside) else 0.0
