"""Where the knee of a front is: by three definitions, on fronts of published accuracy and latency.

    python benchmarks/knees.py --table cells.csv.gz --latencies latency_ms.csv.gz

Draws random cells of a table, takes their front under each accuracy and each device, and prints
how often motemo's knee, pymoo's high trade-off points, and the knee on a logarithmic scale of the
latency agree. Both tables have a column `index`.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pymoo.mcdm.high_tradeoff import HighTradeoffPoints

from motemo.decision import Ranges, knee
from motemo.objective import Direction
from motemo.pareto import non_dominated

ACCURACIES = ("cifar10_test_acc_200", "cifar100_test_acc_200", "imagenet16_120_test_acc_200")
DIRECTIONS = (Direction.MAXIMIZE, Direction.MINIMIZE)
SIZES, DRAWS = (40, 400), 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--latencies", type=Path, required=True)
    options = parser.parse_args()
    cells, latencies = pd.read_csv(options.table), pd.read_csv(options.latencies)
    devices = [name for name in latencies.columns if name not in cells.columns]
    both = cells.merge(latencies, on="index")
    rng = np.random.default_rng(0)
    counts: Counter[str] = Counter()
    moved = []
    for _ in range(DRAWS):
        for accuracy in ACCURACIES:
            for device in devices:
                for size in SIZES:
                    drawn = both.iloc[rng.choice(len(both), size, replace=False)]
                    moved += _compare(drawn[[accuracy, device]].to_numpy(float), counts)
    print(dict(counts))
    loss, ratio = np.median(moved, axis=0)
    print(
        f"where the logarithm moves it, median: {loss:.1f} points less, {ratio:.2f} of the latency"
    )


def _compare(values: NDArray[np.float64], counts: Counter[str]) -> list[tuple[float, float]]:
    """Count who agrees on one front; return accuracy lost and latency ratio if they do not."""
    front = values[non_dominated(values, DIRECTIONS)]
    shares = Ranges.of(front, DIRECTIONS).shares(front)
    own, _ = knee(shares)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = HighTradeoffPoints()(shares)
    counts["fronts"] += 1
    counts["pymoo has none"] += found is None
    counts["pymoo has several"] += found is not None and len(found) > 1
    counts["pymoo has ours"] += found is not None and own in found
    scaled = np.column_stack([front[:, 0], np.log(front[:, 1])])
    other, _ = knee(Ranges.of(scaled, DIRECTIONS).shares(scaled))
    counts["logarithm moves it"] += other != own
    counts["to a faster cell"] += bool(front[other, 1] < front[own, 1])
    if other == own:
        return []
    return [(front[own, 0] - front[other, 0], front[other, 1] / front[own, 1])]


if __name__ == "__main__":
    main()
