"""How well a predictor ranks that has learned from a few true accuracies."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from motemo.correlation.report import FLOPS, Correlation, Correlations
from motemo.correlation.statistics import deciles, tau_in_top, tau_within, top_tenth
from motemo.errors import SettingsError
from motemo.objectives.features import features
from motemo.objectives.positions import Floats
from motemo.objectives.predictor import LEAST_LABELS, Average, Predictor
from motemo.rank_correlation import CONFIDENCE, kendall_tau, spearman_rho
from motemo.seeds import derive_seed

DEFAULT_DRAWS = 10
_LEAST_LEFT = 10


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells to learn from and to predict.

    Attributes:
        features: `(n, d)`.
        networks: What each cell computes; equal for cells that compute the same.
        deciles: `(n,)` the decile of each by multiply-adds, -1 for none.
    """

    features: Floats
    networks: Sequence[str]
    deciles: np.ndarray[tuple[int, ...], np.dtype[np.intp]]

    @classmethod
    def of(cls, found: Correlations, *, wired: bool = True, without: Collection[str] = ()) -> Cells:
        """Describe the cells of a correlation by genotype, wiring and all estimates.

        Args:
            found: The correlation.
            wired: See `features`.
            without: Labels of estimates that are left out, since they may tell the truth.

        Raises:
            EvaluationError: A network cannot be written as a graph.
        """
        scores = {name: v for name, v in found.oriented.items() if name not in without}
        return cls(
            features(found.sample.cells, scores, wired=wired).values,
            found.sample.keys,
            deciles(found.oriented[FLOPS]),
        )


def check_labels(labels: Sequence[int], cells: int, *, draws: int) -> None:
    """Raise unless so many labels of so many cells leave something to learn and to predict.

    Raises:
        SettingsError: They do not.
    """
    for count in labels:
        if draws < 1 or not LEAST_LABELS <= count <= cells - _LEAST_LEFT:
            raise SettingsError(
                f"Cannot learn from {count} of {cells} cells in {draws} draws: a predictor needs "
                f"at least {LEAST_LABELS} labels, {_LEAST_LEFT} cells left to predict, and 1 draw."
            )


def learned(
    found: Correlations,
    labels: Sequence[int],
    *,
    seed: int,
    draws: int = DEFAULT_DRAWS,
    predictor: Predictor | None = None,
    without: Collection[str] = (),
) -> tuple[Correlation, ...]:
    """Return rows `predictor(N)`, one for each truth and number of labels; see `Cells.of`.

    Raises:
        SettingsError: There are too few labels, or too few cells left to predict.
        EvaluationError: A network cannot be written as a graph.
    """
    cells = Cells.of(found, without=without) if labels else None
    return tuple(
        learn(
            cells,
            found.sample.columns[truth],
            truth=truth,
            labels=count,
            seed=seed,
            draws=draws,
            predictor=predictor,
        )
        for truth in found.truths
        for count in labels
        if cells is not None
    )


def learn(
    cells: Cells,
    accuracies: Floats,
    *,
    truth: str,
    labels: int,
    seed: int,
    draws: int = DEFAULT_DRAWS,
    predictor: Predictor | None = None,
) -> Correlation:
    """Return how well cells are ranked by a predictor that knows the labels of some others.

    A draw of labels takes random cells; what is predicted are the cells that compute something
    else. Figures are means over the draws whose labels differ, the interval is that of the mean
    over draws of labels (95 %, by Student's t): the cells themselves are the same in all.

    Args:
        cells: All cells.
        accuracies: `(n,)` true accuracies.
        truth: What they are called.
        labels: How many are known.
        seed: Seed of the draws.
        draws: How many draws.
        predictor: What learns; an `Average` if not given.

    Raises:
        SettingsError: There are too few labels, or too few cells left to predict.
    """
    n = len(accuracies)
    check_labels([labels], n, draws=draws)
    predictor = predictor or Average()
    networks = np.unique(np.array(cells.networks), return_inverse=True)[1]
    top = top_tenth(accuracies)
    figures = []
    for draw in range(draws):
        rng = np.random.default_rng(derive_seed("labels", seed, draw))
        known = rng.permutation(n)[:labels]
        left = ~np.isin(networks, networks[known])
        if np.ptp(accuracies[known]) == 0:  # nothing to learn from
            figures.append((left.sum(), *[math.nan] * 4))
            continue
        model = predictor.fit(cells.features[known], accuracies[known])
        expected = model.predict(cells.features[left]).mean
        true = accuracies[left]
        figures.append(
            (
                left.sum(),
                kendall_tau(expected, true),
                spearman_rho(expected, true),
                tau_within(expected, true, cells.deciles[left]),
                tau_in_top(expected, true, top[left]),
            )
        )
    columns = np.array(figures)
    left_over, tau, rho, inside, best = (_mean(column) for column in columns.T)
    half = _half_width(columns[:, 1])
    return Correlation(
        estimate=f"predictor({labels})",
        truth=truth,
        n=round(left_over),
        tau=tau,
        tau_low=max(tau - half, -1.0),
        tau_high=min(tau + half, 1.0),
        rho=rho,
        tau_in_flops_deciles=inside,
        tau_top_tenth=best,
        seconds_per_cell=math.nan,
    )


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _half_width(values: Floats) -> float:
    from scipy.stats import t

    values = values[np.isfinite(values)]
    if len(values) < 2:
        return math.nan
    quantile = t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(quantile * values.std(ddof=1) / len(values) ** 0.5)
