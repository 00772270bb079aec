"""Reading a learning curve: what a training may come to, from its first epochs.

Reference: Baker et al., *Accelerating Neural Architecture Search using Performance Prediction*,
ICLR 2018 workshop, for the regression on partial curves; Barber et al., *Predictive Inference with
the Jackknife+*, Annals of Statistics 2021, for bounds from left-out errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_RIDGE = 0.01  # per curve; features have variance 1
_WIDEST = 2.5  # standard deviations to which a feature counts: no extrapolation beyond
_MOST_LEVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class CurveReading:
    """How final values follow from the losses of the first t epochs, and from known costs.

    Ridge regression of the value on the logarithms of the last and of the mean loss, their
    squares, and the logarithms of the costs.

    Attributes:
        center: `(2 + c,)` mean of each feature.
        scale: `(2 + c,)` standard deviation of each feature.
        weights: `(5 + c,)` weights of the regression.
        errors: `(n,)` value minus prediction of each curve, left out of the regression; ascending.
    """

    center: Floats
    scale: Floats
    weights: Floats
    errors: Floats

    @classmethod
    def fit(cls, losses: Floats, costs: Floats, values: Floats) -> CurveReading:
        """Learn from finished trainings.

        Args:
            losses: `(n, t)` losses of their first t epochs, finite.
            costs: `(n, c)` what was known of each before its training, finite.
            values: `(n,)` what they came to.
        """
        features = _features(losses, costs)
        center, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0] = 1.0
        design = _design(features, center, scale)
        penalty = np.full(design.shape[1], _RIDGE * len(values))
        penalty[-1] = 0.0  # the intercept
        solver = np.linalg.solve(design.T @ design + np.diag(penalty), design.T)
        weights = solver @ values
        leverage = np.minimum((design * solver.T).sum(axis=1), _MOST_LEVERAGE)
        errors = (values - design @ weights) / (1.0 - leverage)
        return cls(center=center, scale=scale, weights=weights, errors=np.sort(errors))

    def highest(self, losses: Floats, costs: Floats, confidence: float) -> float:
        """Return a value that a training will probably not exceed.

        It is the prediction plus that quantile of the left-out errors: if the training is a
        draw like the finished ones, its value stays below with about this probability.

        Args:
            losses: `(t,)` losses so far.
            costs: `(c,)` what was known before.
            confidence: The probability. Infinity is returned where there are too few curves to
                say, fewer than `confidence / (1 - confidence)`.
        """
        rank = math.ceil(confidence * (len(self.errors) + 1))
        if rank > len(self.errors):
            return math.inf
        features = _features(losses[np.newaxis], costs[np.newaxis])
        prediction = _design(features, self.center, self.scale) @ self.weights
        return float(prediction[0] + self.errors[rank - 1])


def _features(losses: Floats, costs: Floats) -> Floats:
    plain = np.column_stack([losses[:, -1], losses.mean(axis=1), costs])
    logarithms: Floats = np.sign(plain) * np.log1p(np.abs(plain))  # of costs of either sign
    return logarithms


def _design(features: Floats, center: Floats, scale: Floats) -> Floats:
    standard = np.clip((features - center) / scale, -_WIDEST, _WIDEST)
    return np.column_stack([standard, standard[:, :2] ** 2, np.ones(len(standard))])
