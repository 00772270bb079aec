"""One loop that times runs, with a reference network in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import TypeAlias

from motemo.device import Timing, TimingProtocol
from motemo.hardware.spread import median_interval

ROUND = 10
"""Counted runs from one look at the reference network to the next."""
REFERENCE_RUNS = 5
_LOOKS = 3
"""How often to look again while the reference is interrupted."""

Run: TypeAlias = Callable[[], float | None]
"""Runs one batch to its end. Returns its milliseconds if the device has a clock of its own (CUDA
events), else None."""


def time_runs(
    run: Run,
    protocol: TimingProtocol,
    *,
    reference: Run | None = None,
    on_calling_thread: bool = False,
) -> Timing:
    """Warm up, then repeat `run` until its median is known well enough or a limit is met.

    Args:
        run: What to time.
        protocol: How long.
        reference: Run before each round. The first run after it, which finds the caches full of
            other data, does not count.
        on_calling_thread: Whether both compute on the thread that calls them, so that the thread's
            own time tells which runs were interrupted.
    """
    _warm_up(run, protocol)
    wall: list[float] = []
    cpu: list[float] = []
    references: list[float] = []
    start = time.perf_counter()
    while len(wall) < protocol.max_runs:
        runs = min(ROUND, protocol.max_runs - len(wall))
        if reference is not None:
            reference()
            most = protocol.max_wall_per_cpu if on_calling_thread else math.inf
            references += [_look(reference, most)] * runs
            run()
        for _ in range(runs):
            wall_ms, cpu_ms = _timed(run)
            wall.append(wall_ms)
            cpu.append(cpu_ms)
        low, middle, high = median_interval(wall)
        precise = high - low <= protocol.relative_precision * middle
        late = _ms_since(start) >= protocol.max_seconds * 1e3
        if len(wall) >= protocol.min_runs and (precise or late):
            break
    return Timing(wall_ms=tuple(wall), cpu_ms=tuple(cpu), reference_ms=tuple(references))


def _look(reference: Run, max_wall_per_cpu: float) -> float:
    """Return the median of the runs of a reference that nothing interrupted."""
    taken: list[tuple[float, float]] = []
    for _ in range(_LOOKS):
        taken += [_timed(reference) for _ in range(REFERENCE_RUNS)]
        calm = [wall for wall, cpu in taken if wall <= max_wall_per_cpu * cpu]
        if len(calm) > REFERENCE_RUNS // 2:
            return median(calm)
    return median(calm or [wall for wall, _ in taken])


def _warm_up(run: Run, protocol: TimingProtocol) -> None:
    start = time.perf_counter()
    runs = 0
    while runs < protocol.warmup_runs or _ms_since(start) < protocol.warmup_ms:
        run()
        runs += 1


def _timed(run: Run) -> tuple[float, float]:
    """Return wall-clock (or the device's own) and CPU milliseconds of one run."""
    wall_start, cpu_start = time.perf_counter(), time.thread_time()
    own_ms = run()
    cpu_ms = (time.thread_time() - cpu_start) * 1e3
    return _ms_since(wall_start) if own_ms is None else own_ms, cpu_ms


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3
