"""Seconds that a measured latency costs, and where they go.

    python benchmarks/latency_cost.py --cells 30 --out benchmarks/results/latency_cost.json
    git show COMMIT:motemo/onnx/graph.py > graph.py
    python benchmarks/latency_cost.py --before graph.py

Random valid cells of NAS-Bench-201 are measured one after the other as a search does it: built,
exported, loaded as often as the protocol says, warmed up, run. Cells whose measurement had to be
repeated, the machine being too busy, are counted apart. Each cell is also exported in other ways in
the same turn: by torch's own exporter (for the first cells: it takes seconds) and, with `--before`,
by an earlier version of `motemo/onnx/graph.py`; and it is loaded with and without what the runtime
rewrites stored.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from drawn import random_architectures
from stored import store

from motemo import host_lock
from motemo.hardware.latency import Latency
from motemo.objective import Measurement
from motemo.onnx import graph
from motemo.onnx.session import open_optimised, open_session, optimised
from motemo.registry import DEVICES
from motemo.space import Architecture, Json
from motemo.spaces.nasbench201 import NasBench201

SEED = 0
SLOW_CELLS = 3
T = TypeVar("T")


class Clock:
    """Milliseconds by name."""

    def __init__(self) -> None:
        self.ms: defaultdict[str, list[float]] = defaultdict(list)

    def time(self, name: str, work: Callable[[], T]) -> T:
        """Do something and note what it took."""
        start = time.perf_counter()
        result = work()
        self.ms[name].append((time.perf_counter() - start) * 1e3)
        return result


def earlier(file: Path) -> ModuleType:
    """Import another version of `motemo/onnx/graph.py`."""
    spec = importlib.util.spec_from_file_location("earlier_graph", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def measure(latency: Latency, architecture: Architecture, clock: Clock) -> bool:
    """Measure a cell as a search does, and say whether the first attempt was undisturbed."""
    seconds = Clock()
    (outcome,) = seconds.time("all", lambda: latency.evaluate([architecture]))
    if not isinstance(outcome, Measurement) or outcome.record["attempts"] != 1:
        return False
    clock.ms["in all"] += seconds.ms["all"]
    for name in ("export_ms", "load_ms"):
        value = outcome.record[name]
        assert isinstance(value, float)
        clock.ms[f"{name} of the record"].append(value)
    return True


def compare(
    architecture: Architecture, clock: Clock, before: ModuleType | None, *, number: int
) -> None:
    """Export and load a cell in several ways; who comes first changes from cell to cell."""
    shape = (3, 32, 32)
    network = clock.time("build", lambda: architecture.build(input_shape=shape, classes=10))
    network.eval()
    model = graph.build_onnx(network, shape)
    ways: list[tuple[str, Callable[[], object]]] = [
        ("export", lambda: graph.build_onnx(network, shape)),
        ("load plainly", lambda: open_session(model)),
    ]
    if before is not None:
        ways.append(("export before", lambda: before.build_onnx(network, shape)))
    for name, way in ways[:: 1 if number % 2 else -1]:
        clock.time(name, way)
    if number < SLOW_CELLS:
        clock.time("export by torch", lambda: graph._write_with_torch(network, shape, batch=1))
    content = clock.time("optimise", lambda: optimised(model))
    clock.time("load optimised", lambda: open_optimised(content))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--before", type=Path, help="an earlier motemo/onnx/graph.py")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    latency = Latency(device=DEVICES.create(arguments.device))
    before = None if arguments.before is None else earlier(arguments.before)
    drawn = random_architectures(NasBench201(), arguments.cells + 1, seed=SEED)
    latency.evaluate(drawn[-1:])  # imports, and the reference network
    compare(drawn[-1], Clock(), before, number=0)
    clock, disturbed = Clock(), 0
    for number, architecture in enumerate(drawn[:-1]):
        with host_lock.measuring():
            disturbed += not measure(latency, architecture, clock)
        compare(architecture, clock, before, number=number)
    print(f"{'ms':22}{'n':>5}{'median':>9}{'p95':>9}{'most':>9}")
    figures: dict[str, Json] = {}
    for name, values in clock.ms.items():
        middle, high, most = (float(np.quantile(values, q)) for q in (0.5, 0.95, 1))
        figures[name] = {"n": len(values), "median": middle, "p95": high, "most": most}
        print(f"{name:22}{len(values):5}{middle:9.1f}{high:9.1f}{most:9.1f}")
    print(f"{disturbed} of {arguments.cells} cells had to be measured again.")
    if arguments.out is not None:
        described: dict[str, Json] = {
            "cells": arguments.cells,
            "seed": SEED,
            "device_measured": latency.device.identity() | {"host": ""},
            "measured_again": disturbed,
            "ms": figures,
        }
        store(arguments.out, described, packages=("onnx", "onnxruntime", "torch"))


if __name__ == "__main__":
    main()
