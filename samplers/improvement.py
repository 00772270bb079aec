"""How much more hypervolume a candidate is expected to bring, for any number of objectives.

Reference: Emmerich, Giannakoglou and Naujoks, *Single- and Multiobjective Evolutionary Optimization
Assisted by Gaussian Random Field Metamodels*, IEEE TEC 10 (4), 2006 (expected hypervolume
improvement).

The expectation is the integral, over all points that nothing dominates yet, of the probability
that the candidate dominates the point. It is taken here as a mean over quasi-random points, so that
it costs the same whatever the number of objectives. The noise of an observation belongs to the
probability: estimates of accuracy are noisy, the front holds lucky ones, and without their own
chance of luck all others would look hopeless beside these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

_TINY = 1e-12

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scale:
    """Squeezes the bad end of every objective, so that it does not take all attention.

    What lies farther behind the median of random candidates than their best tenth lies before it
    counts by its logarithm: among networks hardly better than chance, much hypervolume lies that
    no one wants.

    Attributes:
        median: `(m,)` median values of random candidates, lower is better.
        unit: `(m,)` distance from the median to their best tenth.
    """

    median: NDArray[np.float64]
    unit: NDArray[np.float64]

    @classmethod
    def of(cls, costs: Matrix) -> Scale:
        """Return the scale by the values of random candidates `(n, m)`, lower is better."""
        median = np.median(costs, axis=0)
        unit = median - np.quantile(costs, 0.1, axis=0)
        spread = costs.std(axis=0)
        return cls(median, np.where(unit > _TINY, unit, np.where(spread > _TINY, spread, 1.0)))

    def __call__(self, costs: Matrix) -> Matrix:
        """Return the values `(n, m)` on this scale; lower is better, order is kept."""
        steps = (costs - self.median) / self.unit
        return np.where(steps > 1, 1 + np.log1p(np.maximum(steps - 1, 0)), steps)


def undominated_points(
    front: Matrix,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    *,
    count: int,
    rng: np.random.Generator,
) -> Matrix:
    """Return up to `count` quasi-random points that no row of the front dominates.

    Args:
        front: `(f, m)` values, lower is better; may be none.
        low: `(m,)` lower ends of the region.
        high: `(m,)` upper ends of the region: the reference point of the hypervolume.
        count: How many points, a power of 2.
        rng: Where randomness comes from.

    Returns:
        `(p, m)` points; `p <= count`.
    """
    drawn = qmc.Sobol(len(low), rng=rng).random(4 * count) * (high - low) + low
    points: Matrix = drawn[~dominated(drawn, front)][:count]
    return points


def dominated(points: Matrix, rows: Matrix) -> NDArray[np.bool_]:
    """Return `(p,)` which points `(p, m)` one of the rows `(f, m)` dominates or equals."""
    beaten = np.ones((len(rows), len(points)), dtype=np.bool_)
    for j in range(points.shape[1]):
        np.logical_and(beaten, rows[:, j, None] <= points[:, j], out=beaten)
    return np.asarray(beaten.any(axis=0))


def dominance_chance(mean: Matrix, deviation: Matrix, points: Matrix) -> Matrix:
    """Return how likely it is that a candidate dominates a point.

    Its mean over points that nothing dominates yet ranks candidates by their expected hypervolume
    improvement.

    Args:
        mean: `(n, m)` expected values of the candidates, lower is better.
        deviation: `(n, m)` their standard deviations.
        points: `(p, m)` the points.

    Returns:
        `(n, p)` probabilities.
    """
    chance = np.ones((len(mean), len(points)))
    for j in range(points.shape[1]):
        chance *= ndtr((points[:, j] - mean[:, j, None]) / deviation[:, j, None])
    return chance
