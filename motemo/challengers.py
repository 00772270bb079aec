"""Which members of a front to re-score, so that the front gets better.

The best architectures by an estimate are told apart badly by that estimate: within the best 100 of
NAS-Bench-201 by published MOTE, its rank correlation with the true accuracy is near 0.1, that of
the accuracy after 12 epochs near 0.55. Re-scoring the front itself can only shrink it. What is
worth an expensive look are the *challengers* in the layers behind the front, where much volume is
at stake: one of them may turn out better than the members before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from motemo.front import Axis, Member
from motemo.objective import Direction
from motemo.pareto import hypervolume, layers, non_dominated

FIRST_SHARE = 0.5
"""Share of the challengers that is chosen before anything is known of their dearer values."""
_FIRST_LAYERS = 5
_LATER_LAYERS = 10
_GENE_WEIGHT = 0.7
_INTERVAL = 1.96

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted dearer values of members.

    Attributes:
        mean: `(n,)` values.
        half: `(n,)` half of each 95 % interval.
        noise: Standard deviation of what the model does not explain.
    """

    mean: Floats
    half: Floats
    noise: float


@dataclass(frozen=True, eq=False)
class Challengers:
    """Members of a front and the layers behind it, some of which are to be re-scored.

    Attributes:
        members: All that keep the constraints.
        axes: The objectives.
        replaced: The one in whose place the dearer objective comes.
    """

    members: Sequence[Member]
    axes: Sequence[Axis]
    replaced: Axis

    @cached_property
    def layer(self) -> NDArray[np.intp]:
        """`(n,)` non-dominated layer of each member, 0 for the front."""
        values = np.column_stack([self._column(axis) for axis in self.axes])
        return layers(values, [axis.direction for axis in self.axes])

    @cached_property
    def costs(self) -> Floats:
        """`(n, m - 1)` the other objectives, to be minimised."""
        others = [axis for axis in self.axes if axis is not self.replaced]
        return np.column_stack([_sign(axis) * self._column(axis) for axis in others])

    def first(self, count: int) -> list[int]:
        """Return the challengers that dominate most of the box that the front spans."""
        estimate = _sign(self.replaced) * self._column(self.replaced)
        points = np.column_stack([estimate, self.costs])
        inside = 1 - _unit(points, within=points[self.layer == 0])
        volume = np.prod(np.clip(inside, 0, None), axis=1)
        allowed = self._allowed(_FIRST_LAYERS)
        return sorted(allowed, key=lambda row: (self.layer[row] == 0, -volume[row], row))[:count]

    def following(self, known: Mapping[int, float], *, tried: Collection[int]) -> int | None:
        """Return the challenger whose predicted value would add most to those that are known.

        Args:
            known: Dearer values found so far, by position among the members.
            tried: Positions not to return.

        Returns:
            Its position, or None if all have been tried.
        """
        allowed = [row for row in self._allowed(_LATER_LAYERS) if row not in tried]
        open_to = [row for row in allowed if self.layer[row] > 0] or allowed
        if not open_to:
            return None
        value = _sign(self.replaced) * self.predict(known).mean
        value[list(known)] = [_sign(self.replaced) * v for v in known.values()]
        points = np.column_stack([value, self.costs])
        points = _unit(points, within=points)
        rows = np.array(open_to)
        best = rows[non_dominated(points[rows], self._minimise)]
        have = points[list(known)]
        return int(max(best, key=lambda row: (self._volume(have, points[row]), -row)))

    def likely(self, known: Mapping[int, float], *, doubt: float) -> list[int]:
        """Return the members of the front, and those that none clearly beats in prediction.

        Args:
            known: Dearer values found so far, by position among the members.
            doubt: By how much a better prediction must be better to count, in standard deviations
                of what the model does not explain.
        """
        predicted = self.predict(known)
        value = _sign(self.replaced) * predicted.mean
        least = value + doubt * predicted.noise
        ahead = [
            not ((self.costs <= cost).all(axis=1) & (least < own)).any()
            for cost, own in zip(self.costs, value, strict=True)
        ]
        return np.flatnonzero(np.array(ahead) | (self.layer == 0)).tolist()

    def predict(self, known: Mapping[int, float]) -> Prediction:
        """Predict the dearer value of every member.

        Bayesian ridge regression on the estimate, the other objectives, the genes, and how often
        each choice is taken.

        Reference: MacKay, *Bayesian Interpolation*, Neural Computation 1992.
        """
        from sklearn.linear_model import BayesianRidge

        rows = list(known)
        model = BayesianRidge().fit(self._features[rows], [known[row] for row in rows])
        mean, sd = model.predict(self._features, return_std=True)
        return Prediction(mean, _INTERVAL * sd, float(1 / np.sqrt(model.alpha_)))

    def _allowed(self, deepest: int) -> list[int]:
        return np.flatnonzero(self.layer <= deepest).tolist()

    def _column(self, axis: Axis) -> Floats:
        return np.array([m.measurements[axis.name].value for m in self.members], dtype=np.float64)

    @property
    def _minimise(self) -> list[Direction]:
        return [Direction.MINIMIZE] * len(self.axes)

    def _volume(self, have: Floats, added: Floats) -> float:
        return hypervolume(np.vstack([have, added]), self._minimise, [1.0] * len(self.axes))

    @cached_property
    def _features(self) -> Floats:
        space = self.members[0].architecture.space
        values = [space.read(member.architecture.genotype) for member in self.members]
        genes = [
            [float(value[gene.name] == choice) for gene in space.genes for choice in gene.choices]
            for value in values
        ]
        offered = dict.fromkeys(choice for gene in space.genes for choice in gene.choices)
        taken = [[float([*value.values()].count(choice)) for choice in offered] for value in values]
        numbers = [
            self._column(axis) if axis is self.replaced else _spread_out(self._column(axis))
            for axis in self.axes
        ]
        return np.column_stack(
            [
                _standard(np.column_stack(numbers)),
                _GENE_WEIGHT * _standard(np.array(genes)),
                _standard(np.array(taken)),
            ]
        )


def _sign(axis: Axis) -> float:
    return -1.0 if axis.direction is Direction.MAXIMIZE else 1.0


def _spread_out(values: Floats) -> Floats:
    """Return the logarithm of positive values that span more than a factor of two."""
    return np.log(values) if values.min() > 0 and values.max() > 2 * values.min() else values


def _standard(columns: Floats) -> Floats:
    spread = columns.std(axis=0)
    scaled: Floats = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _unit(columns: Floats, *, within: Floats) -> Floats:
    """Return columns scaled so that those of `within` reach from 0 to 1."""
    low, high = within.min(axis=0), within.max(axis=0)
    scaled: Floats = (columns - low) / np.where(high > low, high - low, 1.0)
    return scaled
