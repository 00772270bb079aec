"""Choosing among non-dominated points, on plain arrays, with pymoo's decision-making tools.

All functions take *shares*: costs `(n, m)` of n points in m objectives as shares of the range that
the points span, 0 for the best value of an objective and 1 for the worst.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motemo.objective import Direction
from motemo.pareto import non_dominated

_AUGMENTATION = 1e-6


@dataclass(frozen=True)
class Ranges:
    """From values to shares: the best and the worst value of each objective.

    The scale is linear. A logarithmic scale of costs moves some knees to cheaper and less accurate
    members; docs/choosing.md has the figures.

    Attributes:
        best: `(m,)` best values.
        worst: `(m,)` worst values.
    """

    best: NDArray[np.float64]
    worst: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64], directions: Sequence[Direction]) -> Ranges:
        """Return the ranges of values `(n, m)`, n of at least 1."""
        low, high = values.min(axis=0), values.max(axis=0)
        maximised = np.array([direction is Direction.MAXIMIZE for direction in directions])
        return cls(np.where(maximised, high, low), np.where(maximised, low, high))

    def shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values `(..., m)` as shares; an objective without a range has share 0."""
        width = self.worst - self.best
        return (values - self.best) / np.where(width == 0, np.inf, width)


def knee(shares: NDArray[np.float64]) -> tuple[int, bool]:
    """Return where the front bends most, and whether it bends towards the best at all.

    In two objectives that is the point farthest below the line between the two ends, in more the
    one with the lowest sum of shares. pymoo's high trade-off points compare close neighbours only,
    and may be several or none; docs/choosing.md has the figures.

    Reference: Das, *On Characterizing the "Knee" of the Pareto Curve Based on Normal-Boundary
    Intersection*, Structural Optimization 1999.
    """
    row = int(np.argmin(shares.sum(axis=1)))
    return row, bool(shares[row].max() < 1)


def _distinct(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return one row of each non-dominated point."""
    rows = np.flatnonzero(non_dominated(shares, [Direction.MINIMIZE] * shares.shape[1]))
    return rows[np.unique(shares[rows], axis=0, return_index=True)[1]]


def closest(
    shares: NDArray[np.float64], reference: NDArray[np.float64], objectives: Sequence[int]
) -> int:
    """Return the point that misses a reference point least, or exceeds it most evenly.

    That is the one whose largest share behind the reference, in any of the objectives, is lowest.
    Ties are broken by the sum of all shares.

    Args:
        shares: `(n, m)` shares.
        reference: Shares `(k,)` of the reference point.
        objectives: The k columns that it is about.

    Reference: Wierzbicki, *The Use of Reference Objectives in Multiobjective Optimization*, 1980.
    """
    from pymoo.decomposition.asf import ASF

    behind = shares[:, [*objectives]] - reference
    achieved = np.asarray(ASF().do(behind, np.ones(len(reference)), _type="many_to_one"))
    return int(np.argmin(achieved + _AUGMENTATION * shares.sum(axis=1)))


def by_weights(
    shares: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[int, NDArray[np.float64]]:
    """Return the point whose pseudo weights are closest to weights, and its pseudo weights.

    A point's pseudo weights `(m,)` say how it divides itself between the objectives: how far it is
    from the worst value of each, as parts that sum to 1. Of points that others dominate in these
    objectives, none is chosen.

    Args:
        shares: `(n, m)` shares.
        weights: `(m,)`, not negative, of sum 1.

    Reference: Deb, *Multi-Objective Optimization Using Evolutionary Algorithms*, 2001.
    """
    rows, m = _distinct(shares), shares.shape[1]
    with _quiet():
        from pymoo.mcdm.pseudo_weights import PseudoWeights

        method = PseudoWeights(weights, ideal=np.zeros(m), nadir=np.ones(m))
        place, pseudo = method(shares[rows], return_pseudo_weights=True)
    return int(rows[place]), np.asarray(pseudo[place], dtype=np.float64)


def spaced(shares: NDArray[np.float64], count: int) -> tuple[list[int], float]:
    """Return points spread over all of them, and how far the farthest other one is from them.

    Farthest-point selection: the first is the best in the first objective, each further one the
    farthest from those before. The distance of two points is the largest difference of a share.
    With the distance returned, e: any two of the points are at least e apart, and every other one
    is within e of one of them.

    Args:
        shares: `(n, m)` shares.
        count: How many points, at least 1; there may be fewer.

    Reference: Gonzalez, *Clustering to Minimize the Maximum Intercluster Distance*, TCS 1985.
    """
    chosen = [int(np.lexsort((shares.sum(axis=1), shares[:, 0]))[0])]
    away = np.abs(shares - shares[chosen[0]]).max(axis=1)
    while len(chosen) < count and away.max() > 0:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.abs(shares - shares[chosen[-1]]).max(axis=1))
    return chosen, float(away.max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence pymoo's divisions by zero and imports, and take its changes of filters back."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
