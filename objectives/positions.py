"""Putting unlike scores on one scale without labels: positions among a reference sample.

Reference: Lee and Ham, *AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search*, CVPR
2024, for the sum of logarithms of ranks. Deviates: positions among a fixed sample, so that the
score of one architecture does not depend on which others are scored with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from motemo.errors import SettingsError
from motemo.objective import Direction, Objective, Stage

Floats: TypeAlias = NDArray[np.float64]
Combination: TypeAlias = Literal["mean", "log"]

COMBINATIONS: tuple[Combination, ...] = ("mean", "log")
LEAST = 3


@dataclass(frozen=True)
class Scale:
    """The distribution of a score over a reference sample, smooth and strictly increasing.

    Between the values of the sample it is linear. Beyond them it approaches 0 and 1 without
    reaching them, so that the best architectures are never tied.

    Attributes:
        values: Distinct values of the sample, rising.
        places: Their positions in (0, 1): the share of the sample that is below, ties by half.
    """

    values: tuple[float, ...]
    places: tuple[float, ...]

    @classmethod
    def of(cls, sample: Sequence[float] | Floats) -> Scale:
        """Return the scale of a sample; what is not finite is left out.

        Raises:
            SettingsError: Fewer than three values are finite.
        """
        finite = np.asarray(sample, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if len(finite) < LEAST:
            raise SettingsError(
                f"A scale needs at least {LEAST} finite values; got {len(finite)} of "
                f"{len(sample)}. Take a larger reference sample."
            )
        values, counts = np.unique(finite, return_counts=True)
        places = (np.cumsum(counts) - counts / 2) / len(finite)
        return cls(tuple(values.tolist()), tuple(places.tolist()))

    def position(self, values: Floats) -> Floats:
        """Return the positions of values in (0, 1); NaN stays NaN."""
        low, high, below, above = self._ends()
        inside = np.interp(values, self.values, self.places)
        with np.errstate(over="ignore"):  # infinitely far is at the end, below
            under = np.maximum(low - values, 0) / below
            over = np.maximum(values - high, 0) / above
        positions = np.where(
            values < low,
            self.places[0] / (1 + under),
            np.where(values > high, 1 - (1 - self.places[-1]) / (1 + over), inside),
        )
        return np.clip(positions, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg)

    def turned(self) -> Scale:
        """Return the scale of the negated values."""
        return Scale(
            tuple(-value for value in reversed(self.values)),
            tuple(1 - place for place in reversed(self.places)),
        )

    def _ends(self) -> tuple[float, float, float, float]:
        """Return both ends, and below and above them how far it is half way to 0 and to 1."""
        low, high = self.values[0], self.values[-1]
        middle = float(np.interp(0.5, self.places, self.values))
        if low == high:
            unit = abs(low) or 1.0
            return low, high, unit, unit
        return low, high, (middle - low) or (high - low), (high - middle) or (high - low)


def combine(positions: Floats, how: Combination = "mean") -> Floats:
    """Return one score for each architecture from its positions by several parts.

    Args:
        positions: `(parts, n)` in (0, 1], higher is better.
        how: `mean` of the positions, or `log`: mean of their logarithms, in which one bad
            position weighs more than one good one.

    Returns:
        `(n,)` scores, higher is better; NaN where a part is NaN.
    """
    return np.asarray((np.log(positions) if how == "log" else positions).mean(axis=0))


def accuracy_sign(objective: Objective) -> int:
    """Return what turns an objective's value into an estimate of accuracy, 1 or -1.

    What is counted (parameters, multiply-adds) stands as it is: more is taken for more accurate,
    the customary baseline. Of others, better is taken for more accurate.
    """
    minimised = objective.direction is Direction.MINIMIZE
    return -1 if minimised and objective.stage is not Stage.COUNT else 1
