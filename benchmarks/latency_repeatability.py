r"""Is a latency a figure one can trust? Two independent passes over the same cells, compared.

    python benchmarks/latency_repeatability.py --out benchmarks/results/latency_repeatability.json
    python benchmarks/latency_repeatability.py --busy-cores 1 \
        --out benchmarks/results/latency_repeatability_busy.json

Random valid cells of NAS-Bench-201 on one device of this host, first all of them, then all of them
again. With --busy-cores, as many other processes compute all the time, which may run on any core.
`as taken` is the median of all wall-clock samples as they came; `relative`, that divided by the
median of the reference network in between; `latency_ms`, the figure that motemo gives.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from drawn import random_architectures
from scipy.stats import spearmanr
from stored import store

import motemo
from motemo import host_lock
from motemo.objective import Measurement
from motemo.registry import DEVICES
from motemo.space import Architecture, Json

SPIN = "while True: sum(range(100_000))"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--busy-cores", type=int, default=0, help="neighbours that compute")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    device = DEVICES.create(arguments.device)
    cells = draw(arguments.cells, arguments.seed)
    latency = motemo.Latency(device=device)
    latency.evaluate(cells[:1])  # pays for imports, and sets the device's speed at first
    with neighbours(arguments.busy_cores), host_lock.measuring():
        passes = [measure(latency, cells) for _ in range(2)]
    figures = compare(passes)
    for name, value in figures.items():
        print(f"{name:44}{value}")
    if arguments.out is not None:
        busy = arguments.busy_cores
        described = {
            "title": f"{busy} core(s) kept busy" if busy else "as it was",
            "drawn": f"{len(cells)} cells at random (seed {arguments.seed}), {arguments.device}",
            "busy_cores": busy,
            "device_measured": device.identity() | {"host": ""},
            "figures": figures,
        }
        store(arguments.out, described, packages=("onnxruntime", "torch"))


def draw(count: int, seed: int) -> list[Architecture]:
    """Return random valid cells in their canonical form."""
    return [a.canonical for a in random_architectures(motemo.NasBench201(), count, seed=seed)]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keep as many processes computing."""
    started = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]  # noqa: S603
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


Pass = list[tuple[Measurement | None, float]]
"""A measurement, None where it was refused, and the seconds that it took."""


def measure(latency: motemo.Latency, cells: Sequence[Architecture]) -> Pass:
    taken: Pass = []
    for number, cell in enumerate(cells, start=1):
        start = time.perf_counter()
        [outcome] = latency.evaluate([cell])
        seconds = time.perf_counter() - start
        taken.append((outcome if isinstance(outcome, Measurement) else None, seconds))
        print(f"\r{number}/{len(cells)}", end="", file=sys.stderr, flush=True)
    return taken


def compare(passes: Sequence[Pass]) -> dict[str, Json]:
    """Return what two passes have in common."""
    both = [
        (one, other)
        for (one, _), (other, _) in zip(*passes, strict=True)
        if one is not None and other is not None
    ]
    seconds = [s for taken in passes for _, s in taken]
    figures: dict[str, Json] = {
        "measured twice": len(both),
        "refused": sum(m is None for taken in passes for m, _ in taken),
        "seconds a cell, median": round(float(np.median(seconds)), 3),
        "seconds a cell, 95 %": round(float(np.quantile(seconds, 0.95)), 3),
    }
    if len(both) < 3:
        return figures
    value = np.array([[m.value for m in pair] for pair in both]).T
    taken = np.array([[np.median(np.array(m.record["wall_ms"])) for m in pair] for pair in both]).T
    relative = np.array([[m.record["relative"] for m in pair] for pair in both], dtype=float).T
    low = np.array([[m.low for m in pair] for pair in both]).T
    high = np.array([[m.high for m in pair] for pair in both]).T
    overlap = (low[0] <= high[1]) & (low[1] <= high[0])
    figures |= {
        "latency_ms, least and most": [round(float(v), 3) for v in (value.min(), value.max())],
        "95 % intervals that overlap": round(float(overlap.mean()), 3),
        "width of the intervals, median": round(float(np.median((high - low) / value)), 4),
    }
    for name, figure in (("as taken", taken), ("relative", relative), ("latency_ms", value)):
        difference = np.abs(np.log(figure[0] / figure[1]))
        figures[f"{name}: Spearman"] = round(float(spearmanr(*figure).statistic), 4)
        figures[f"{name}: share within 5 %"] = round(float((difference < 0.05).mean()), 3)
        figures[f"{name}: difference, median"] = round(float(np.median(difference)), 4)
        figures[f"{name}: difference, 90 %"] = round(float(np.quantile(difference, 0.9)), 4)
    return figures


if __name__ == "__main__":
    main()
