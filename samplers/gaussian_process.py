"""Gaussian processes on genomes: what the trials of a study say about an untried architecture.

Reference: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, MIT Press 2006.

scikit-learn has them too, but seeks their settings by gradient, which takes longer than many of
the evaluations that shall be saved. Here they come from a small grid, and the scale in closed
form: a fit costs milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.spatial.distance import cdist
from threadpoolctl import ThreadpoolController

_LINEAR = (1.0, 5.0)
_LENGTHS = (1.5, 4.0)
_NOISES = (1e-3, 1e-2, 1e-1)
_TINY = 1e-12
_POOLS = ThreadpoolController()

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Fit:
    """The process of one quantity, standardised."""

    linear: float
    length: float
    noise: float
    variance: float
    factor: Matrix
    weights: NDArray[np.float64]
    likelihood: float


class GaussianProcess:
    """Independent Gaussian processes over the same points, one per quantity.

    The kernel is `a <x, y> / g + exp(-||x - y||^2 / l)`, with g genes, on features in which two
    choices of one gene are at distance 1. The linear part carries what adds up over the genes, as
    costs do, to where no trial has been.

    Args:
        features: `(n, d)` features of the points.
        values: `(n, m)` observed values.
        genes: Number of genes g behind the features.
    """

    def __init__(self, features: Matrix, values: Matrix, *, genes: int) -> None:
        self._features = features
        self._genes = genes
        self._centre = values.mean(axis=0)
        self._scale = values.std(axis=0) + _TINY
        with _POOLS.limit(limits=1):  # the same numbers whatever the number of cores
            self._fits = self._fit((values - self._centre) / self._scale)

    def predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return what is expected at points with these features `(k, d)`.

        Returns:
            `(k, m)` means, and `(k, m)` standard deviations of an observation, its noise included.
        """
        means, deviations = np.empty((2, len(features), len(self._fits)))
        with _POOLS.limit(limits=1):
            inner, distance = self._compare(features)
            own = (features**2).sum(axis=1) / self._genes
            for j, fit in enumerate(self._fits):
                kernel = fit.linear * inner + np.exp(-distance / fit.length)
                means[:, j] = kernel @ fit.weights
                known = solve_triangular(fit.factor, kernel.T, lower=True, check_finite=False)
                prior = fit.linear * own + 1 + fit.noise
                left = np.maximum(prior - (known**2).sum(axis=0), fit.noise)
                deviations[:, j] = np.sqrt(fit.variance * left)
        return self._centre + means * self._scale, deviations * self._scale

    def _compare(self, features: Matrix) -> tuple[Matrix, Matrix]:
        inner = features @ self._features.T / self._genes
        return inner, cdist(features, self._features, "sqeuclidean")

    def _fit(self, values: Matrix) -> list[_Fit]:
        """Return the most likely process for each column."""
        inner, distance = self._compare(self._features)
        best: list[_Fit | None] = [None] * values.shape[1]
        for length in _LENGTHS:
            near = np.exp(-distance / length)
            for linear, noise in product(_LINEAR, _NOISES):
                kernel = linear * inner + near
                kernel.flat[:: len(kernel) + 1] += noise
                factor, _ = cho_factor(kernel, lower=True, check_finite=False)
                weights = cho_solve((factor, True), values, check_finite=False)
                variances = (values * weights).mean(axis=0) + _TINY
                size = np.log(np.diag(factor)).sum()
                for j, variance in enumerate(variances.tolist()):
                    likelihood = -0.5 * len(values) * np.log(variance) - size
                    known = best[j]
                    if known is None or likelihood > known.likelihood:
                        best[j] = _Fit(
                            linear, length, noise, variance, factor, weights[:, j], likelihood
                        )
        return [fit for fit in best if fit is not None]
