"""A correlation as a picture: what goes into which panel."""

from __future__ import annotations

import numpy as np

from motemo.correlation.report import Correlations
from motemo.rendering.correlation import Dot, Scatter, correlation_png


def picture(found: Correlations) -> bytes:
    """Return a PNG: taus with intervals for all truths, and ranks by the first truth."""
    first = found.truths[0]
    scatters = []
    for row in (row for row in found.rows if row.truth == first):
        values = found.oriented[row.estimate]
        known = np.isfinite(values)
        truth = found.sample.columns[first][known]
        scatters.append(Scatter(row.estimate, _ranks(values[known]), _ranks(truth), row.tau))
    dots = [Dot(r.estimate, r.truth, r.tau, r.tau_low, r.tau_high) for r in found.rows]
    title = (
        f"Kendall's tau-b with the true accuracy, {len(found.sample):,} cells; bars: 95 % interval "
        f"by bootstrap over networks ({found.resamples:,} resamples)"
    )
    return correlation_png(scatters, dots, title=title, truth=first)


def _ranks(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, ...]:
    """Return ranks from 0 to 1."""
    from scipy.stats import rankdata

    return tuple((rankdata(values) / max(len(values), 1)).tolist())
