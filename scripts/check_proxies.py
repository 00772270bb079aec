"""Compare the zero-cost proxies with published scores of the same cells, by rank.

The records are not part of motemo. Give the path of a table (CSV, may be gzipped) of NAS-Bench-201
cells with the columns `arch`, `PREFIXval_acc` and, for every proxy to compare, `PREFIXname` (by its
name or its other name), and of an .npz file of images. Cells are taken at even distances over the
table; those without a path, or without all these numbers, are left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from motemo.data.npz import load_npz
from motemo.objective import Direction, Measurement, Objective
from motemo.registry import OBJECTIVES
from motemo.space import Architecture
from motemo.spaces.nasbench201 import NasBench201
from motemo.tables import Floats, Table, read_table

FOLDER = "motemo.objectives.proxies."
HEAD = f"{'proxy':16}{'n':>5}{'failed':>8}{'rho':>8}{'tau':>8}{'tau published':>15}{'CPU s':>10}"


@dataclass(frozen=True)
class Scores:
    """What one proxy gives.

    Attributes:
        values: `(cells,)`, higher is better; NaN where it failed.
        seconds: CPU time of a cell, the median.
    """

    values: Floats
    seconds: float


def main() -> None:
    """Score the cells and print one line per proxy."""
    arguments = _arguments()
    data = load_npz(arguments.images)
    names = arguments.proxy or [e.name for e in OBJECTIVES if e.target.startswith(FOLDER)]
    columns = {name: _column(arguments.table, arguments.prefix, name) for name in names}
    truth = f"{arguments.prefix}{arguments.truth}"
    table = _cells(arguments.table, [truth, *filter(None, columns.values())], arguments.cells)
    print(f"{len(table)} cells, {arguments.network} network, {data.name}, seed {arguments.seed}")
    print("rho: Spearman, with the published scores. tau: Kendall, with", truth)
    print("CPU s: processor seconds of a cell, the median")
    print(HEAD, flush=True)
    options = {"network": arguments.network}
    if arguments.batch_size:
        options["batch_size"] = arguments.batch_size
    for name in names:
        offered = {"data": data, "seed": arguments.seed}
        proxy = OBJECTIVES.create(name, offered=offered, options=options)
        print(
            _line(name, _score(proxy, table.architectures), table, truth, columns[name]), flush=True
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV with published scores")
    parser.add_argument("--images", type=Path, required=True, help=".npz file of images")
    parser.add_argument("--prefix", default="cifar10_", help="start of the columns' names")
    parser.add_argument("--truth", default="val_acc", help="column of accuracies, less its prefix")
    parser.add_argument("--proxy", action="append", help="a proxy; may be repeated (default: all)")
    parser.add_argument("--cells", type=int, default=30, help="how many cells (default 30)")
    parser.add_argument("--network", choices=("full", "reduced"), default="full")
    parser.add_argument("--batch-size", type=int, help="default: each proxy's own")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _column(path: Path, prefix: str, name: str) -> str | None:
    """Return the table's column of published scores of a proxy."""
    header = list(pd.read_csv(path, nrows=0).columns)
    candidates = (f"{prefix}{n}" for n in (name, *OBJECTIVES.entry(name).aliases))
    return next((column for column in candidates if column in header), None)


def _cells(path: Path, columns: Sequence[str], count: int) -> Table:
    """Return complete and valid rows at even distances."""
    table = read_table(path, columns=columns, space=NasBench201()).complete().valid()
    rows = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))
    return Table(
        tuple(table.architectures[row] for row in rows),
        {name: values[rows] for name, values in table.columns.items()},
    )


def _score(proxy: Objective, architectures: Sequence[Architecture]) -> Scores:
    sign = 1 if proxy.direction is Direction.MAXIMIZE else -1
    values, seconds = [], []
    for architecture in architectures:
        start = time.process_time()
        [outcome] = proxy.evaluate([architecture])
        seconds.append(time.process_time() - start)
        values.append(sign * outcome.value if isinstance(outcome, Measurement) else np.nan)
    return Scores(np.array(values), median(seconds))


def _line(name: str, scores: Scores, table: Table, truth: str, column: str | None) -> str:
    scored = np.isfinite(scores.values)
    ours, accuracies = scores.values[scored], table.columns[truth][scored]
    published = table.columns[column][scored] if column else None
    rho = "-" if published is None else f"{spearmanr(ours, published).statistic:.3f}"
    theirs = "-" if published is None else f"{kendalltau(published, accuracies).statistic:.3f}"
    tau = f"{kendalltau(ours, accuracies).statistic:.3f}"
    failed = len(scored) - len(ours)
    return f"{name:16}{len(ours):5}{failed:8}{rho:>8}{tau:>8}{theirs:>15}{scores.seconds:10.3f}"


if __name__ == "__main__":
    main()
