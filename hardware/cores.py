"""On which cores to measure."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STAT = Path("/proc/stat")
_GLANCE_SECONDS = 0.03
_IDLE = (3, 4)  # idle and waiting for a disk, among the columns of /proc/stat


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Keep the calling thread, and threads it starts, on as many cores as it has threads.

    They are those that have least to do at this moment. Does nothing where the operating system
    cannot pin or has too few cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    if threads >= len(allowed):
        yield
        return
    os.sched_setaffinity(0, _idlest(allowed, threads))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def cores() -> frozenset[int]:
    """Return the cores that the calling thread may run on; empty where nobody can tell."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    return frozenset(os.sched_getaffinity(0))


def _idlest(allowed: set[int], count: int) -> list[int]:
    """Return the cores that did least over a moment; among equals, the last ones."""
    before = _busy_ticks()
    time.sleep(_GLANCE_SECONDS)
    after = _busy_ticks()

    def busy(core: int) -> tuple[int, int]:
        return after.get(core, 0) - before.get(core, 0), -core

    return sorted(allowed, key=busy)[:count]


def _busy_ticks() -> dict[int, int]:
    """Return how long each core has worked since the system started; empty if it does not say."""
    if not _STAT.exists():
        return {}
    ticks = {}
    for line in _STAT.read_text().splitlines():
        name, *columns = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks[int(name[3:])] = sum(
                int(value) for column, value in enumerate(columns) if column not in _IDLE
            )
    return ticks
