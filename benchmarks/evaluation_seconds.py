"""Where the time of a search goes: seconds per candidate of each objective.

    python benchmarks/evaluation_seconds.py --out benchmarks/results/evaluation_seconds.json

Random cells of NAS-Bench-201, one after the other, on this machine's CPU; MOTE on scikit-learn's
digits (1,797 images of 8x8). Objectives take turns on each cell, so that a busy neighbour harms
all alike. Machines differ and neighbours disturb: compare figures of one run with each other.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

import motemo
from motemo.files import write_atomically
from motemo.host import host_identity

SEED = 0


def measure(cells: int) -> dict[str, list[float]]:
    """Return the wall-clock seconds of every evaluation, by objective."""
    data = motemo.load_data("digits")
    objectives = [
        motemo.Params(),
        motemo.Flops(),
        motemo.Latency(device=motemo.cpu()),
        motemo.Mote(data=data),
    ]
    space, rng = motemo.NasBench201(), np.random.default_rng(SEED)
    drawn = (space.sample(rng) for _ in range(10 * cells))
    valid = [a.canonical for a in drawn if a.invalid_reason is None][: cells + 1]
    seconds: dict[str, list[float]] = {objective.name: [] for objective in objectives}
    for number, architecture in enumerate(valid):
        for objective in objectives:
            start = time.perf_counter()
            objective.evaluate([architecture])
            if number:  # the first cell pays for imports
                seconds[objective.name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    seconds = measure(arguments.cells)
    figures = {
        name: {
            "n": len(taken),
            "median_s": round(statistics.median(taken), 4),
            "min_s": round(min(taken), 4),
            "max_s": round(max(taken), 4),
        }
        for name, taken in seconds.items()
    }
    print(f"{'objective':12}{'n':>4}{'median s':>10}{'min s':>9}{'max s':>9}")
    for name, row in figures.items():
        print(f"{name:12}{row['n']:4}{row['median_s']:10}{row['min_s']:9}{row['max_s']:9}")
    if arguments.out is not None:
        host = {k: v for k, v in host_identity().items() if k != "host"}
        versions = {p: metadata.version(p) for p in ("motemo", "torch", "onnxruntime", "fvcore")}
        document = {
            "date": datetime.now(UTC).date().isoformat(),
            "seed": SEED,
            "device": host,
            "versions": {"python": platform.python_version(), **versions},
            "seconds_per_candidate": figures,
        }
        write_atomically(arguments.out, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
