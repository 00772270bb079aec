"""How well two lists of numbers agree in order: rank correlations and their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from motemo.seeds import derive_seed

Floats: TypeAlias = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
LEAST_RESAMPLES = 200
_PAIRS_IN_ALL = 2e9  # resamples times pairs that one interval may take
_LEAST_FOR_INTERVAL = 3
_BLOCK = 256


@dataclass(frozen=True)
class Interval:
    """A percentile interval; NaN where there is none.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


def kendall_tau(x: Floats, y: Floats) -> float:
    """Return Kendall's tau-b of two `(n,)` arrays, or NaN if one of them is constant.

    Reference: Kendall, *The treatment of ties in ranking problems*, Biometrika 1945.
    """
    from scipy.stats import kendalltau

    return float(kendalltau(x, y, variant="b").statistic) if _varies(x, y) else math.nan


def spearman_rho(x: Floats, y: Floats) -> float:
    """Return Spearman's rho of two `(n,)` arrays, or NaN if one of them is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic) if _varies(x, y) else math.nan


def _varies(x: Floats, y: Floats) -> bool:
    return len(x) > 1 and len(np.unique(x)) > 1 and len(np.unique(y)) > 1


def resamples_for(n: int) -> int:
    """Return how many resamples an interval over `n` cells takes: 2,000, fewer above 1,000."""
    return int(np.clip(_PAIRS_IN_ALL / max(n, 1) ** 2, LEAST_RESAMPLES, RESAMPLES))


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Resamples of n cells with replacement, the same for whatever is asked of them.

    Cells that compute the same tell little that one of them does not. So networks are drawn, each
    with all its cells; of cells drawn one by one, a table that repeats networks would seem to know
    more than it does.

    Tau-b of a resample needs no new sample: with `w` how often each cell was drawn and `S` the
    matrix of concordance signs of all pairs, concordant minus discordant pairs are `w' S w / 2`,
    and pairs not tied in x the same with the squared signs of x. That is a matrix product for all
    resamples at once.

    References: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993 (percentile method);
    Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, 3.8 (clusters).

    Attributes:
        n: Number of cells.
        networks: Number of networks that they compute.
        weights: `(resamples, n)`: how often each cell is in each resample.
    """

    n: int
    networks: int
    weights: NDArray[np.float32]
    _untied: dict[bytes, Floats] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, keys: Sequence[str], *, seed: int) -> Bootstrap:
        """Draw the resamples of cells; those of one network have one key."""
        n = len(keys)
        distinct, owners = np.unique(np.array(keys, dtype=object), return_inverse=True)
        networks = len(distinct)
        rng = np.random.default_rng(derive_seed("bootstrap", seed, networks))
        shares = np.full(max(networks, 1), 1 / max(networks, 1))
        drawn = rng.multinomial(networks, shares, size=resamples_for(n))
        return cls(n, networks, drawn.astype(np.float32)[:, owners])

    @property
    def resamples(self) -> int:
        """How many there are."""
        return len(self.weights)

    def tau(self, x: Floats, y: Floats) -> Interval:
        """Return the interval of tau-b of two `(n,)` arrays."""
        return self._interval(self._taus(x, y))

    def difference(self, x: Floats, other: Floats, y: Floats) -> Interval:
        """Return the paired interval of tau-b(x, y) - tau-b(other, y)."""
        return self._interval(self._taus(x, y) - self._taus(other, y))

    def _taus(self, x: Floats, y: Floats) -> Floats:
        """Return tau-b in each resample, `(resamples,)`; NaN where it is not defined."""
        x, y = _ranks(x), _ranks(y)
        agreement = self._pair_sums(x, y)
        scale = np.sqrt(self._pairs_untied(x) * self._pairs_untied(y))
        taus = np.full(len(scale), np.nan)
        np.divide(agreement, scale, out=taus, where=scale > 0)
        return taus

    def _pairs_untied(self, ranks: Floats) -> Floats:
        key = ranks.tobytes()
        if key not in self._untied:
            self._untied[key] = self._pair_sums(ranks, ranks)
        return self._untied[key]

    def _pair_sums(self, x: Floats, y: Floats) -> Floats:
        """Return the sum of sign(x_i - x_j) sign(y_i - y_j) over all pairs of each resample."""
        total = np.zeros(self.resamples)
        for start in range(0, self.n, _BLOCK):
            rows = slice(start, start + _BLOCK)
            signs = np.sign(x[rows, None] - x) * np.sign(y[rows, None] - y)
            partial = self.weights @ signs.astype(np.float32).T
            total += np.einsum("bi,bi->b", self.weights[:, rows], partial, dtype=np.float64)
        return total

    def _interval(self, values: Floats) -> Interval:
        values = values[np.isfinite(values)]  # a resample may be constant; tau is undefined there
        if self.networks < _LEAST_FOR_INTERVAL or not len(values):
            return Interval(math.nan, math.nan)
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(values, (tail, 1 - tail))
        return Interval(float(low), float(high))


def _ranks(values: Floats) -> Floats:
    """Return dense ranks, so that differences of huge numbers do not overflow."""
    return np.unique(values, return_inverse=True)[1].astype(np.float64)
