"""How sure one is of a few repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev


def repetition_interval(repeats: Sequence[float]) -> tuple[float, float, float]:
    """Return where the mean of a repetition may fall (95 %), around the mean.

    Student's t over at least two repeats, widened by the square root of two, since a repetition is
    as uncertain as this measurement.
    """
    from scipy.stats import t

    middle, count = fmean(repeats), len(repeats)
    half = float(t.ppf(0.975, count - 1)) * stdev(repeats) * math.sqrt(2 / count)
    return middle - half, middle, middle + half
