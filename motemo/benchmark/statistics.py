"""Means over seeds, and paired differences between samplers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean with its interval.

    Attributes:
        value: The mean.
        sd: Standard deviation of the single values; NaN of fewer than two.
        n: How many values.
        low: Lower end of the 95 % interval of the mean, by Student's t.
        high: Upper end.
    """

    value: float
    sd: float
    n: int
    low: float
    high: float


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of values and its 95 % interval by Student's t.

    Of paired differences, this is the paired t interval. With fewer than two values there is no
    interval: its ends and the standard deviation are NaN.
    """
    from scipy.stats import t

    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Mean(mean, math.nan, n, math.nan, math.nan)
    sd = float(np.std(values, ddof=1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)
    return Mean(mean, sd, n, mean - half, mean + half)
