"""Statistics of timings: medians, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

from motemo.device import Timing, TimingProtocol

_Z95 = 1.959964


def latency_interval(timing: Timing, protocol: TimingProtocol) -> tuple[float, float, float]:
    """Return where the median of a repetition may fall (95 %), around the median; milliseconds.

    Interrupted runs are left out. Times are scaled, run by run, to the speed that the reference
    network had at first on this device. The interval is that of Student's t over the medians of
    the loads, or of the runs where there is one load, and of the protocol's unseen drift; widened
    by the square root of two, since a repetition is as uncertain as this measurement. Downwards it
    is as wide in ratio as upwards it is in difference, and so never reaches 0. Without a reference
    network, drift from day to day comes on top.
    """
    loads = list(_by_load(timing, steady_ms(timing, protocol)).values())
    pooled = [value for load in loads for value in load]
    if len(loads) == 1:
        low, middle, high = median_interval(pooled)
        below, above = middle - low, high - middle
    else:
        middle = median(pooled)
        below = above = _half_interval([median(load) for load in loads])
    drift = _Z95 * protocol.unseen_drift * middle
    low, high = (math.sqrt(2) * math.hypot(half, drift) for half in (below, above))
    return middle / (1 + low / middle), middle, middle + high


def repetition_interval(repeats: Sequence[float]) -> tuple[float, float, float]:
    """Return where the mean of a repetition may fall (95 %), around the mean.

    Student's t over at least two repeats, widened by the square root of two, since a repetition is
    as uncertain as this measurement.
    """
    middle, half = fmean(repeats), math.sqrt(2) * _half_interval(repeats)
    return middle - half, middle, middle + half


def _half_interval(values: Sequence[float]) -> float:
    """Return half of the 95 % confidence interval of a mean, by Student's t."""
    from scipy.stats import t

    count = len(values)
    return float(t.ppf(0.975, count - 1)) * stdev(values) / math.sqrt(count)


def steady_ms(timing: Timing, protocol: TimingProtocol) -> list[float | None]:
    """Return each run's time, corrected for drift; None where the run was interrupted.

    If all runs were, which a protocol may accept, all count.
    """
    calm = calm_runs(timing, protocol)
    calm = calm if any(calm) else [True] * len(calm)
    scales = [1.0] * len(calm)
    if protocol.correct_drift and timing.nominal_reference_ms is not None and timing.reference_ms:
        scales = [timing.nominal_reference_ms / ms for ms in timing.reference_ms]
    rows = zip(timing.wall_ms, scales, calm, strict=True)
    return [wall * scale if kept else None for wall, scale, kept in rows]


def calm_runs(timing: Timing, protocol: TimingProtocol) -> list[bool]:
    """Return for each run whether nothing interrupted it, as far as the device can tell."""
    if not timing.cpu_ms:
        return [True] * len(timing.wall_ms)
    rows = zip(timing.wall_ms, timing.cpu_ms, strict=True)
    return [wall <= protocol.max_wall_per_cpu * cpu for wall, cpu in rows]


def _by_load(timing: Timing, values: Sequence[float | None]) -> dict[int, list[float]]:
    grouped: dict[int, list[float]] = {}
    for load, value in zip(timing.load or [0] * len(values), values, strict=True):
        if value is not None:
            grouped.setdefault(load, []).append(value)
    return grouped


def median_interval(samples: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower end, the median, and the upper end of its 95 % confidence interval.

    The interval is that of order statistics (binomial, normal approximation): it assumes nothing
    about the distribution of the samples but their independence.
    """
    ordered = sorted(samples)
    n = len(ordered)
    half = _Z95 * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2 - half) - 1)
    high = min(n - 1, math.ceil(n / 2 + half))
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return ordered[low], middle, ordered[high]
