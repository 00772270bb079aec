"""Predictors: what a few really trained architectures say about all the others.

An average of two models that fail in different ways: a Gaussian process on normal scores of the
labels, and extremely randomised trees on the labels themselves. Both from scikit-learn, on one
thread, with fixed seeds: the same numbers everywhere.

References:
    Rasmussen and Williams, *Gaussian Processes for Machine Learning*, MIT Press 2006.
    Geurts et al., *Extremely randomized trees*, Machine Learning 2006.
    Wu et al., *Stronger NAS with Weaker Predictors*, NeurIPS 2021, for `weak_predictors`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from motemo.errors import SettingsError
from motemo.objectives.features import normal_scores
from motemo.objectives.positions import Floats, Scale
from motemo.seeds import derive_seed

LEAST_LABELS = 5
_TREES = 300
_SHARE_OF_FEATURES = 0.4
_TINY = 1e-9
_LENGTHS = (0.05, 20.0)
_SEED_LIMIT = 2**32

Labels: TypeAlias = Callable[[Sequence[int]], Sequence[float]]
"""Trains the architectures at these places and returns their labels, higher is better."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model expects.

    Attributes:
        mean: `(n,)` expected labels.
        std: `(n,)` how far off they may be (one standard deviation).
    """

    mean: Floats
    std: Floats


class Model(ABC):
    """Something that was fitted to labels."""

    @abstractmethod
    def predict(self, features: Floats) -> Prediction:
        """Return what is expected of architectures with these `(n, d)` features."""


class Predictor(ABC):
    """A way to learn labels. Implementations are frozen dataclasses; fitting repeats exactly."""

    @abstractmethod
    def fit(self, features: Floats, labels: Floats) -> Model:
        """Learn.

        Args:
            features: `(n, d)` numbers, finite.
            labels: `(n,)` true values, higher is better.

        Raises:
            SettingsError: There are too few labels, or all are equal, or one is not finite.
        """


@dataclass(frozen=True, kw_only=True)
class Trees(Predictor):
    """Extremely randomised trees.

    Attributes:
        trees: How many.
        share: Share of the features that each split may choose from.
        seed: Seed of their randomness.
    """

    trees: int = _TREES
    share: float = _SHARE_OF_FEATURES
    seed: int = 0

    def fit(self, features: Floats, labels: Floats) -> Model:
        """Fit all trees to all labels."""
        from sklearn.ensemble import ExtraTreesRegressor

        _check(features, labels)
        forest = ExtraTreesRegressor(
            self.trees,
            max_features=self.share,
            n_jobs=1,
            random_state=derive_seed("trees", self.seed) % _SEED_LIMIT,
        )
        return _Forest(forest.fit(features, labels))


@dataclass(frozen=True, eq=False)
class _Forest(Model):
    forest: Any

    def predict(self, features: Floats) -> Prediction:
        each = np.stack([tree.predict(features) for tree in self.forest.estimators_])
        return Prediction(each.mean(axis=0), each.std(axis=0))


@dataclass(frozen=True, kw_only=True)
class Process(Predictor):
    """A Gaussian process with a Matern kernel, on normal scores of the labels.

    Features are standardised and share one length scale: with few labels, a scale for each fits
    noise. Length scale, variance and noise are the most likely ones.
    """

    def fit(self, features: Floats, labels: Floats) -> Model:
        """Fit the process."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        _check(features, labels)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(1.0, _LENGTHS, nu=2.5) + WhiteKernel(
            0.1, (1e-3, 1.0)
        )
        centre, spread = features.mean(axis=0), features.std(axis=0)
        used = spread > _TINY
        scale = spread[used] * np.sqrt(max(used.sum(), 1))
        with warnings.catch_warnings(), _one_thread():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a setting at its bound is fine
            process = GaussianProcessRegressor(kernel, random_state=0)
            process.fit((features - centre)[:, used] / scale, normal_scores(labels))
        return _Fitted(process, centre, used, scale, _Curve.of(labels))


@dataclass(frozen=True, eq=False)
class _Fitted(Model):
    process: Any
    centre: Floats
    used: NDArray[np.bool_]
    scale: Floats
    labels: _Curve

    def predict(self, features: Floats) -> Prediction:
        with _one_thread():
            mean, std = self.process.predict(
                (features - self.centre)[:, self.used] / self.scale, return_std=True
            )
        low, middle, high = (self.labels.value(mean + k * std) for k in (-1, 0, 1))
        return Prediction(middle, (high - low) / 2)


@dataclass(frozen=True, kw_only=True)
class Average(Predictor):
    """The average of predictors, taken on normal scores of the labels.

    Attributes:
        members: The predictors.
    """

    members: tuple[Predictor, ...] = field(default_factory=lambda: (Process(), Trees()))

    def __post_init__(self) -> None:
        if not self.members:
            raise SettingsError("An average of predictors needs at least one; got none.")

    def fit(self, features: Floats, labels: Floats) -> Model:
        """Fit all members."""
        models = tuple(member.fit(features, labels) for member in self.members)
        return _Averaged(models, _Curve.of(labels))


@dataclass(frozen=True, eq=False)
class _Averaged(Model):
    models: tuple[Model, ...]
    labels: _Curve

    def predict(self, features: Floats) -> Prediction:
        each = [model.predict(features) for model in self.models]
        scores = np.stack([self.labels.score(one.mean) for one in each])
        mean = self.labels.value(scores.mean(axis=0))
        within = np.stack([one.std for one in each]).mean(axis=0)
        apart = np.stack([one.mean for one in each]).std(axis=0)
        return Prediction(mean, np.hypot(within, apart))


@dataclass(frozen=True, eq=False)
class _Curve:
    """Labels against their normal scores: rising, and straight beyond both ends.

    Attributes:
        scores: `(m,)` normal scores, from one standard deviation below all to one above.
        labels: `(m,)` the labels there.
    """

    scores: Floats
    labels: Floats

    @classmethod
    def of(cls, labels: Floats) -> _Curve:
        from scipy.special import ndtri

        scale = Scale.of(labels)
        x, y = ndtri(np.array(scale.places)), np.array(scale.values)
        below, above = np.interp((x[0] + 1, x[-1] - 1), x, y)
        return cls(
            np.concatenate(([x[0] - 1], x, [x[-1] + 1])),
            np.concatenate(([2 * y[0] - below], y, [2 * y[-1] - above])),
        )

    def value(self, scores: Floats) -> Floats:
        """Return labels at normal scores."""
        return _line(scores, self.scores, self.labels)

    def score(self, labels: Floats) -> Floats:
        """Return normal scores of labels."""
        return _line(labels, self.labels, self.scores)


def _line(at: Floats, x: Floats, y: Floats) -> Floats:
    """Interpolate, and go straight on beyond the ends."""
    first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])
    inside = np.interp(at, x, y)
    return np.asarray(inside + first * np.minimum(at - x[0], 0) + last * np.maximum(at - x[-1], 0))


def _check(features: Floats, labels: Floats) -> None:
    if features.ndim != 2 or labels.shape != (len(features),):
        raise SettingsError(
            f"A predictor needs (n, d) features and (n,) labels; got {features.shape} and "
            f"{labels.shape}."
        )
    if not (np.isfinite(features).all() and np.isfinite(labels).all()):
        raise SettingsError("A predictor needs finite features and labels. Leave out the others.")
    if len(labels) < LEAST_LABELS or len(np.unique(labels)) < 2:
        raise SettingsError(
            f"A predictor needs at least {LEAST_LABELS} labels that are not all equal; got "
            f"{len(labels)}, {len(np.unique(labels))} of them different. Train more architectures."
        )


def _one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread: the same numbers whatever the number of cores."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


@dataclass(frozen=True, eq=False)
class Rounds:
    """What a sequence of weak predictors found.

    Attributes:
        labels: Place of each architecture that was trained, and its label, in that order.
        model: The last predictor, fitted to all of them.
        prediction: What it expects of the whole pool.
    """

    labels: Mapping[int, float]
    model: Model
    prediction: Prediction


def weak_predictors(
    pool: Floats,
    train: Labels,
    *,
    budget: int = 100,
    rounds: int = 5,
    predictor: Predictor | None = None,
    seed: int = 0,
) -> Rounds:
    """Label where it matters: each round trains some of what the last predictor thinks good.

    The first round trains a random choice. Before each further one the predictor is fitted to all
    labels so far, and a random choice is trained of those that it expects to be best: half of the
    pool, then a quarter, and so on. The last predictor knows the best architectures well, and the
    others less well than one with as many random labels.

    Reference: Wu et al., *Stronger NAS with Weaker Predictors*, NeurIPS 2021. Deviates: the part
    that is chosen from halves with each round, instead of a fixed number.

    Args:
        pool: `(n, d)` features of all candidates.
        train: Returns the labels of the candidates at some places.
        budget: Labels in all.
        rounds: Rounds, of nearly equal size.
        predictor: What learns; an `Average` if not given.
        seed: Seed of the choices.

    Raises:
        SettingsError: The budget is too small for the rounds, or larger than the pool.
    """
    if not LEAST_LABELS * rounds <= budget <= len(pool) or rounds < 1:
        raise SettingsError(
            f"Weak predictors need at least 1 round, {LEAST_LABELS} labels in each, and no more "
            f"labels than candidates; got {rounds} rounds, {budget} labels, {len(pool)} candidates."
        )
    predictor = predictor or Average()
    rng = np.random.default_rng(derive_seed("weak predictors", seed))
    known: dict[int, float] = {}
    order = np.arange(len(pool))
    sizes = [len(part) for part in np.array_split(np.arange(budget), rounds)]
    for number, size in enumerate(sizes):
        new = np.array([place for place in order.tolist() if place not in known])
        best = new[: max(size, len(pool) >> number)]
        chosen = rng.choice(best, size, replace=False).tolist()
        known |= dict(zip(chosen, map(float, train(chosen)), strict=True))
        model = predictor.fit(pool[list(known)], np.array(list(known.values())))
        prediction = model.predict(pool)
        order = np.argsort(-prediction.mean, kind="stable")
    return Rounds(known, model, prediction)
