"""One loop that times single inferences, and the statistics of what it saw."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from motemo.device import Timing, TimingProtocol

_CHUNK = 10
_Z95 = 1.959964


def time_runs(run: Callable[[], object], protocol: TimingProtocol) -> Timing:
    """Warm up, then repeat `run` until its median is known well enough or a limit is met."""
    start = time.perf_counter()
    warmups = 0
    while warmups < protocol.warmup_runs or _ms_since(start) < protocol.warmup_ms:
        run()
        warmups += 1
    wall: list[float] = []
    cpu: list[float] = []
    start = time.perf_counter()
    while len(wall) < protocol.max_runs:
        for _ in range(min(_CHUNK, protocol.max_runs - len(wall))):
            wall_start, cpu_start = time.perf_counter(), time.thread_time()
            run()
            cpu.append((time.thread_time() - cpu_start) * 1e3)
            wall.append(_ms_since(wall_start))
        low, median, high = median_interval(wall)
        precise = high - low <= protocol.relative_precision * median
        late = _ms_since(start) >= protocol.max_seconds * 1e3
        if len(wall) >= protocol.min_runs and (late or precise):
            break
    return Timing(wall_ms=tuple(wall), cpu_ms=tuple(cpu))


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def repetition_interval(samples: Sequence[float]) -> tuple[float, float, float]:
    """Return where the median of a repetition may fall (95 %), around the median.

    The difference of two medians of the same spread is wider by the square root of two than one
    median about the truth. Drift between the repetitions comes on top and is not in it.
    """
    low, median, high = median_interval(samples)
    widening = math.sqrt(2)
    return median - widening * (median - low), median, median + widening * (high - median)


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


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep the calling thread, and threads it starts, on as many cores as it has threads.

    Does nothing where the operating system cannot pin or has too few cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    if threads >= len(allowed):
        yield
        return
    os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
