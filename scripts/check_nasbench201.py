"""Compare motemo with the published NAS-Bench-201 records, row by row.

The records are not part of motemo. Give the path of

* a table (CSV, may be gzipped) with the columns `arch`, `params_m` and `flops_m`, in millions;
* an .npz file of MOTE traces with `epoch_losses` (N, 50), `landscape_losses` (N, 11),
  `train_seconds`, `landscape_term`, `speed_term` and `mote` (N,).

Checked are the parameters and multiply-adds of every cell as written, the terms and MOTE of every
trace, and the sizes of the partitions of the space. Exits with status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from motemo.counting import count_operators, count_parameters
from motemo.objectives.calibration import PUBLISHED
from motemo.objectives.terms import Terms, landscape_term, speed_term
from motemo.space import Shape
from motemo.spaces.nasbench201 import (
    PUBLISHED_TOPOLOGIES,
    NasBench201,
    canonical_cells,
    topology,
    write_operations,
)

INPUT_SHAPE: Shape = (3, 32, 32)
CLASSES = 10
WRITTEN_CELLS = 15_625
PATHLESS_CELLS = 341
KEYS = 5_044
RELATIVE_TOLERANCE = 1e-9
SHOWN = 3
"""How many mismatches of a kind are printed."""

Item = TypeVar("Item")
Counts = tuple[int, int]


def main() -> int:
    """Run all checks and return the exit status."""
    arguments = _arguments()
    mismatches = (
        _check_partitions()
        + _check_terms(arguments.traces, arguments.rows)
        + _check_counts(arguments.table, arguments.rows, arguments.processes)
    )
    print("all equal" if mismatches == 0 else f"{mismatches} mismatches in all")
    return int(mismatches > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV with params and FLOPs")
    parser.add_argument("--traces", type=Path, required=True, help=".npz file of MOTE traces")
    parser.add_argument("--rows", type=int, help="check the first so many rows only")
    parser.add_argument("--processes", type=int, default=2, help="processes that count (default 2)")
    return parser.parse_args()


def _check_partitions() -> int:
    """Compare the sizes of the partitions with the known ones."""
    cells = canonical_cells()
    space = NasBench201()
    written = {write_operations(operations): key for operations, key in cells.items()}
    pathless = {genotype for genotype in written if space.invalid_reason(genotype)}
    sizes = (
        ("written cells", len(written), WRITTEN_CELLS),
        ("cells without a path", len(pathless), PATHLESS_CELLS),
        ("published topologies", len({topology(g) for g in written}), PUBLISHED_TOPOLOGIES),
        ("keys", len(set(written.values())), KEYS),
        ("keys of cells without a path", len({written[g] for g in pathless}), 1),
        (
            "keys of cells with a path",
            len({written[g] for g in written.keys() - pathless}),
            KEYS - 1,
        ),
    )
    unstable = sum(space.canonical(key) != key for key in set(written.values()))
    for name, found, known in sizes:
        print(f"{name}: {found:,} of {known:,}")
    print(f"keys that are not their own canonical form: {unstable}")
    return sum(found != known for _, found, known in sizes) + unstable


def _check_terms(path: Path, rows: int | None) -> int:
    """Recompute both terms and MOTE of every trace."""
    with np.load(path) as file:
        traces = {name: file[name][:rows] for name in file.files}
    terms = [
        Terms(landscape=landscape_term(landscape.tolist()), speed=speed_term(epochs.tolist(), cost))
        for landscape, epochs, cost in zip(
            traces["landscape_losses"],
            traces["epoch_losses"],
            traces["train_seconds"].tolist(),
            strict=True,
        )
    ]
    calibration = PUBLISHED["nasbench201"]
    computed = {
        "landscape_term": [t.landscape for t in terms],
        "speed_term": [t.speed for t in terms],
        "mote": [calibration.combine(t) for t in terms],
    }
    total = 0
    for name, values in computed.items():
        close = np.isclose(values, traces[name], rtol=RELATIVE_TOLERANCE, atol=0)
        worst = float(np.max(np.abs(np.asarray(values) / traces[name] - 1), initial=0))
        wrong = int((~close).sum())
        print(f"{name}: {wrong} of {len(close):,} differ; largest relative difference {worst:.1e}")
        total += wrong
    return total


def _check_counts(path: Path, rows: int | None, processes: int) -> int:
    """Count the parameters and multiply-adds of every row as written."""
    table = pd.read_csv(path, dtype={"arch": str}, nrows=rows)
    published = pd.DataFrame(
        {
            "params": (table["params_m"] * 1e6).round().astype("int64"),
            "flops": (table["flops_m"] * 1e6).round().astype("int64"),
        }
    )
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = pool.imap(_count, table["arch"], chunksize=8)
        counted = pd.DataFrame(
            _with_progress(results, total=len(table)), columns=["params", "flops"]
        )
    total = 0
    for name in ("params", "flops"):
        wrong = np.flatnonzero(counted[name].to_numpy() != published[name].to_numpy())
        print(f"{name}: {len(wrong)} of {len(table):,} differ")
        for row in wrong[:SHOWN]:
            arch, ours, theirs = table["arch"][row], counted[name][row], published[name][row]
            print(f"  {arch}: counted {ours:,}, published {theirs:,}")
        total += len(wrong)
    return total


def _count(genotype: str) -> Counts:
    architecture = NasBench201().architecture(genotype)
    network = architecture.build(input_shape=INPUT_SHAPE, classes=CLASSES)
    return count_parameters(network), count_operators(network, INPUT_SHAPE).flops


def _with_progress(items: Iterable[Item], *, total: int) -> Iterator[Item]:
    """Pass the items on; show a bar on a terminal, and a line per tenth elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        bar = Progress(
            TextColumn("counting"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        with bar:
            yield from bar.track(items, total=total)
        return
    for number, item in enumerate(items, start=1):
        yield item
        if number * 10 // total > (number - 1) * 10 // total:
            print(f"counted {number:,} of {total:,}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
