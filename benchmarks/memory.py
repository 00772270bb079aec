r"""Does counted memory say what ONNX Runtime takes, and does that repeat? Two passes, compared.

    python benchmarks/memory.py --out benchmarks/results/memory.json

Random valid cells of NAS-Bench-201, in turn at a small image, at a batch, and at a large image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from drawn import random_architectures
from numpy.typing import NDArray
from scipy.stats import spearmanr
from stored import store

import motemo
from motemo.hardware.measured_memory import MeasuredMemory
from motemo.hardware.memory import Memory
from motemo.objective import Measurement, Objective
from motemo.space import Architecture, Json

SETTINGS: dict[str, dict[str, Any]] = {
    "3x32x32": {"input_shape": (3, 32, 32)},
    "3x32x32, batch 32": {"input_shape": (3, 32, 32), "batch": 32},
    "3x128x128": {"input_shape": (3, 128, 128)},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    cells = draw(arguments.cells, arguments.seed)
    figures: dict[str, Json] = {}
    for name, options in SETTINGS.items():
        figures[name] = compared = compare(cells, options)
        print(f"\n{name}, {len(cells)} cells")
        for key, value in compared.items():
            print(f"  {key:44}{value}", flush=True)
    if arguments.out is not None:
        document = {"cells": len(cells), "seed": arguments.seed, "figures": figures}
        store(arguments.out, document, packages=("onnxruntime", "onnx"))


def draw(count: int, seed: int) -> list[Architecture]:
    """Return random valid cells in their canonical form."""
    return [a.canonical for a in random_architectures(motemo.NasBench201(), count, seed=seed)]


def compare(cells: Sequence[Architecture], options: dict[str, Any]) -> dict[str, Json]:
    """Return what two passes and the count have in common."""
    counted = evaluate(Memory(**options), cells)
    start = time.perf_counter()
    first = evaluate(MeasuredMemory(**options), cells)
    seconds = (time.perf_counter() - start) / len(cells)
    second = evaluate(MeasuredMemory(**options), cells)
    count = column(counted, lambda m: m.value)
    weights = column(counted, lambda m: m.record["weights_mb"])
    one, other = (column(each, lambda m: m.value) for each in (first, second))
    loading = [
        column(each, lambda m: np.mean(np.array(m.record["loading_mb"])))
        for each in (first, second)
    ]
    widths = column(first, lambda m: (m.high - m.low) / m.value)
    overlap = [a.low <= b.high and b.low <= a.high for a, b in zip(first, second, strict=True)]
    return {
        "counted MB, least and most": [round(float(v), 3) for v in (count.min(), count.max())],
        "measured MB, least and most": [round(float(v), 3) for v in (one.min(), one.max())],
        "Spearman of two passes": correlation(one, other),
        "largest difference of two passes, %": round(float(np.abs(other / one - 1).max() * 100), 1),
        "intervals overlap, share": round(float(np.mean(overlap)), 2),
        "width of an interval, median %": round(float(np.median(widths) * 100), 1),
        "Spearman of two passes, loading": correlation(*loading),
        "Spearman of counted and measured": correlation(count, one),
        "Spearman of weights and measured": correlation(weights, one),
        "Spearman of counted and loading": correlation(count, loading[0]),
        "loading / weights, median": round(float(np.median(loading[0] / weights)), 2),
        "seconds a cell": round(seconds, 2),
    }


def evaluate(objective: Objective, cells: Sequence[Architecture]) -> list[Measurement]:
    """Evaluate every cell; all must succeed."""
    outcomes = objective.evaluate(cells)
    measured = [outcome for outcome in outcomes if isinstance(outcome, Measurement)]
    assert len(measured) == len(cells), outcomes
    return measured


def column(measured: Sequence[Measurement], of: Callable[[Measurement], Any]) -> NDArray[Any]:
    return np.array([of(measurement) for measurement in measured], dtype=float)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    return round(float(spearmanr(one, other).statistic), 3)


if __name__ == "__main__":
    main()
