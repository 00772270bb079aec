"""What a correlation found: rows per estimate and truth, paired differences, costs, tables."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import compress
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from motemo.correlation.estimates import Column, Estimate, MeanRank, Scored, mean_rank
from motemo.correlation.sample import Sample
from motemo.correlation.scores import Score
from motemo.correlation.statistics import deciles, tau_in_top, tau_within, top_tenth
from motemo.objectives.positions import Floats
from motemo.rank_correlation import Bootstrap, kendall_tau, spearman_rho
from motemo.space import Json

FLOPS = "flops"


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """How one estimate ranks by one truth. NaN where a figure is not defined.

    Attributes:
        estimate: Its label.
        truth: Column of true accuracies.
        n: Cells that the estimate could score.
        tau: Kendall's tau-b.
        tau_low: Lower end of its 95 % interval, by bootstrap over networks.
        tau_high: Upper end.
        rho: Spearman's rho.
        tau_in_flops_deciles: Tau-b inside the deciles by FLOPs, averaged by number of pairs.
        tau_top_tenth: Tau-b inside the best tenth by the truth.
        seconds_per_cell: Mean wall-clock seconds for one network; NaN for a column.
    """

    estimate: str
    truth: str
    n: int
    tau: float
    tau_low: float
    tau_high: float
    rho: float
    tau_in_flops_deciles: float
    tau_top_tenth: float
    seconds_per_cell: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much one estimate ranks better than another, on the cells that both could score.

    Attributes:
        estimate: Its label.
        against: Label of the other.
        truth: Column of true accuracies.
        n: Cells that both could score.
        difference: tau(estimate) - tau(against).
        low: Lower end of its paired 95 % interval, by bootstrap over networks.
        high: Upper end.
    """

    estimate: str
    against: str
    truth: str
    n: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an estimate took, per network; NaN for a column.

    Attributes:
        estimate: Its label.
        networks: Networks asked for: cells that compute the same are one.
        scored: How many have a score.
        seconds_mean: Wall-clock seconds alone, a shared training included.
        seconds_median: Their median.
        cpu_seconds_mean: Seconds of processor time.
        failure: Why the first failed that has no score; empty if none failed.
    """

    estimate: str
    networks: int
    scored: int
    seconds_mean: float
    seconds_median: float
    cpu_seconds_mean: float
    failure: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Correlations:
    """The answer of `motemo.correlate`.

    Attributes:
        sample: The cells.
        rows: One per estimate and truth, in the order given.
        differences: One per estimate, other estimate and truth.
        costs: One per estimate.
        values: Label to `(n,)` values of the cells, NaN where there is none; an objective's as it
            gave them, whatever their direction.
        oriented: The same, higher taken for more accurate.
        resamples: Of each bootstrap interval over all networks.
        learned: Rows of predictors that know some labels; see `few_labels`.
    """

    sample: Sample
    rows: tuple[Correlation, ...]
    differences: tuple[Difference, ...]
    costs: tuple[Cost, ...]
    values: Mapping[str, Floats]
    oriented: Mapping[str, Floats]
    resamples: int
    learned: tuple[Correlation, ...] = ()

    @property
    def truths(self) -> tuple[str, ...]:
        """Columns of true accuracies, in the order given."""
        return tuple(dict.fromkeys(row.truth for row in self.rows))

    def row(self, estimate: str, truth: str) -> Correlation:
        """Return the row of one estimate and truth.

        Raises:
            KeyError: There is none.
        """
        for row in (*self.rows, *self.learned):
            if (row.estimate, row.truth) == (estimate, truth):
                return row
        raise KeyError((estimate, truth))


def report(
    sample: Sample,
    estimates: Sequence[Estimate],
    scores: Mapping[tuple[str, str], Score],
    *,
    truths: Sequence[str],
    against: Sequence[str],
    seed: int,
) -> Correlations:
    """Correlate each estimate with each truth.

    Args:
        sample: The cells.
        estimates: What to correlate, each label once.
        scores: By key and identity; all that was asked for.
        truths: Columns of the sample.
        against: Labels that each other estimate is compared with.
        seed: Seed of the bootstrap.
    """
    values, oriented = _values(sample, estimates, scores)
    costs = tuple(_cost(e, estimates, sample, scores) for e in estimates)
    seconds = {cost.estimate: cost.seconds_mean for cost in costs}
    judge = _Judge(sample, oriented, seed)
    labels = [estimate.label for estimate in estimates]
    return Correlations(
        sample=sample,
        rows=tuple(judge.row(e, t, seconds[e]) for t in truths for e in labels),
        differences=tuple(
            judge.difference(e, other, t)
            for other in against
            for t in truths
            for e in labels
            if e != other
        ),
        costs=costs,
        values=values,
        oriented=oriented,
        resamples=judge.bootstrap(np.ones(len(sample), dtype=bool)).resamples,
    )


class _Judge:
    """Correlates values of one sample; resamples are drawn once for each subset of its cells."""

    def __init__(self, sample: Sample, oriented: Mapping[str, Floats], seed: int) -> None:
        self._sample, self._oriented, self._seed = sample, oriented, seed
        self._deciles = deciles(oriented[FLOPS])
        self._bootstraps: dict[bytes, Bootstrap] = {}

    def bootstrap(self, known: NDArray[np.bool_]) -> Bootstrap:
        if known.tobytes() not in self._bootstraps:
            keys = list(compress(self._sample.keys, known))
            self._bootstraps[known.tobytes()] = Bootstrap.of(keys, seed=self._seed)
        return self._bootstraps[known.tobytes()]

    def row(self, estimate: str, truth: str, seconds: float) -> Correlation:
        x, y = self._oriented[estimate], self._sample.columns[truth]
        known = np.isfinite(x)
        top = top_tenth(y)[known]
        x, y = x[known], y[known]
        interval = self.bootstrap(known).tau(x, y)
        return Correlation(
            estimate=estimate,
            truth=truth,
            n=len(x),
            tau=kendall_tau(x, y),
            tau_low=interval.low,
            tau_high=interval.high,
            rho=spearman_rho(x, y),
            tau_in_flops_deciles=tau_within(x, y, self._deciles[known]),
            tau_top_tenth=tau_in_top(x, y, top),
            seconds_per_cell=seconds,
        )

    def difference(self, estimate: str, other: str, truth: str) -> Difference:
        x, z, y = self._oriented[estimate], self._oriented[other], self._sample.columns[truth]
        known = np.isfinite(x) & np.isfinite(z)
        x, z, y = x[known], z[known], y[known]
        interval = self.bootstrap(known).difference(x, z, y)
        return Difference(
            estimate=estimate,
            against=other,
            truth=truth,
            n=len(x),
            difference=kendall_tau(x, y) - kendall_tau(z, y),
            low=interval.low,
            high=interval.high,
        )


def _values(
    sample: Sample, estimates: Sequence[Estimate], scores: Mapping[tuple[str, str], Score]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the values of every estimate, as given and with higher for more accurate."""
    values: dict[str, Floats] = {}
    oriented: dict[str, Floats] = {}
    for estimate in sorted(estimates, key=lambda e: isinstance(e, MeanRank)):
        sign = 1
        match estimate:
            case Scored(label=label):
                values[label] = _of_cells(sample, estimate, scores)
                sign = estimate.sign
            case Column(label=label, column=column):
                read = sample.columns[column]
                values[label] = np.where(np.isfinite(read), read, np.nan)
            case MeanRank(label=label, members=members):
                values[label] = mean_rank([oriented[member] for member in members])
        oriented[label] = sign * values[label]
    order = [estimate.label for estimate in estimates]
    return {x: values[x] for x in order}, {x: oriented[x] for x in order}


def _of_cells(sample: Sample, estimate: Scored, scores: Mapping[tuple[str, str], Score]) -> Floats:
    identity = estimate.identity
    found = (scores[key, identity].value for key in sample.keys)
    return np.array([np.nan if value is None else value for value in found])


def _cost(
    estimate: Estimate,
    estimates: Sequence[Estimate],
    sample: Sample,
    scores: Mapping[tuple[str, str], Score],
) -> Cost:
    """Return the cost of an estimate; of a mean rank that of all members, a training once."""
    names = estimate.members if isinstance(estimate, MeanRank) else (estimate.label,)
    identities = [e.identity for e in estimates if isinstance(e, Scored) and e.label in names]
    networks = sample.networks if identities else ()
    found = [[scores[key, identity] for identity in identities] for key in networks]
    whole = [of_one for of_one in found if all(score.failure is None for score in of_one)]
    totals = [_total(of_one) for of_one in whole]
    wall = [seconds for seconds, _ in totals]
    reasons = (score.failure for of_one in found for score in of_one if score.failure)
    return Cost(
        estimate=estimate.label,
        networks=len(networks),
        scored=len(whole),
        seconds_mean=fmean(wall) if wall else math.nan,
        seconds_median=median(wall) if wall else math.nan,
        cpu_seconds_mean=fmean(cpu for _, cpu in totals) if totals else math.nan,
        failure=next(reasons, ""),
    )


def _total(scores: Iterable[Score]) -> tuple[float, float]:
    wall = cpu = 0.0
    trained: set[str] = set()
    for score in scores:
        again = score.training in trained
        wall += score.seconds - (score.training_seconds if again else 0.0)
        cpu += score.cpu_seconds - (score.training_cpu_seconds if again else 0.0)
        if score.training is not None:
            trained.add(score.training)
    return wall, cpu


def as_json(row: Correlation | Difference | Cost) -> dict[str, Json]:
    """Return a row as plain data; what is not defined is None."""
    return {
        field.name: None if isinstance(value, float) and not math.isfinite(value) else value
        for field, value in zip(fields(row), astuple(row), strict=True)
    }


def rows_csv(
    rows: Sequence[Correlation] | Sequence[Difference] | Sequence[Cost],
    kind: type[Correlation] | type[Difference] | type[Cost],
) -> str:
    """Return rows as CSV; what is not defined is empty."""
    names = [field.name for field in fields(kind)]
    return _csv(names, [list(as_json(row).values()) for row in rows])


def scores_csv(found: Correlations) -> str:
    """Return one row per cell: `arch` as written, and a column per estimate, empty if it failed."""
    columns = [
        [None if math.isnan(v) else v for v in values.tolist()] for values in found.values.values()
    ]
    cells = [cell.genotype for cell in found.sample.cells]
    return _csv(["arch", *found.values], zip(cells, *columns, strict=True))


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
