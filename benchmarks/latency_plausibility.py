"""Whether latencies measured here agree with those that others published for other processors.

    python benchmarks/latency_plausibility.py --data ../shared/data --samples cells.jsonl \
        --out benchmarks/results/latency_plausibility.json

Random valid cells of NAS-Bench-201 from the published table are measured as written. For each
published device: Spearman's correlation over all cells, and inside deciles of multiply-adds (the
mean of the deciles), where counting alone cannot help. Both are given for the measured latency,
for multiply-adds, and for the other published server processor, with 95 % intervals from 2,000
bootstrap draws of the cells, inside each decile where there are deciles. Measured cells are kept
in the file of samples: run it again after an interruption.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from stored import store

from motemo.hardware.cost_samples import CostSample, measure_samples
from motemo.hardware.latency import Latency
from motemo.registry import DEVICES
from motemo.space import Architecture, Json
from motemo.spaces.nasbench201 import NasBench201
from motemo.tables import Floats

Rows: TypeAlias = NDArray[np.intp]

SEED, BOOTSTRAPS, DECILES = 0, 2000, 10
LATENCIES, COUNTS = "nasbench201_latency_ms_half.csv.gz", "nasbench201_half.csv.gz"
SERVER_CPUS = ("gold_6240", "silver_4114")


def published(folder: Path) -> pd.DataFrame:
    latencies = pd.read_csv(folder / LATENCIES)
    counts = pd.read_csv(folder / COUNTS, usecols=["index", "arch", "flops_m"])
    return latencies.merge(counts, on="index")


def draw(table: pd.DataFrame, n: int) -> tuple[pd.DataFrame, list[Architecture]]:
    space = NasBench201()
    cells = [space.architecture(arch) for arch in table["arch"]]
    valid = [row for row, cell in enumerate(cells) if cell.invalid_reason is None]
    rows = np.random.default_rng(SEED).permutation(valid)[:n]
    return table.iloc[rows], [cells[row] for row in rows]


def spearman(a: Floats, b: Floats) -> float:
    ranks = rankdata(a), rankdata(b)
    if min(map(np.ptp, ranks)) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def deciles(flops: Floats) -> list[Rows]:
    return np.array_split(np.argsort(flops, kind="stable"), DECILES)


def inside(a: Floats, b: Floats, parts: Sequence[Rows]) -> float:
    return float(np.nanmean([spearman(a[part], b[part]) for part in parts]))


def with_interval(a: Floats, b: Floats, parts: Sequence[Rows]) -> list[float]:
    """Return the mean of the parts, and the bootstrap's ends; each part is drawn from anew."""
    rng = np.random.default_rng(SEED)
    draws = [
        inside(a, b, [rng.choice(part, len(part)) for part in parts]) for _ in range(BOOTSTRAPS)
    ]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return [round(float(x), 3) for x in (inside(a, b, parts), low, high)]


def report(table: pd.DataFrame, devices: list[str], samples: list[CostSample]) -> dict[str, Json]:
    by_arch = {sample.genotype: sample for sample in samples}
    table = table[table["arch"].isin(by_arch)]
    flops = table["flops_m"].to_numpy()
    scores = {"measured": np.array([by_arch[arch].value for arch in table["arch"]])}
    scores["flops"] = flops
    figures: dict[str, Json] = {}
    print(f"{len(table)} cells; each: value, low and high end of the 95 % interval")
    for device in devices:
        latency = table[device].to_numpy()
        rows: dict[str, Json] = {}
        others = {name: table[name].to_numpy() for name in SERVER_CPUS if name != device}
        for name, score in {**scores, **others}.items():
            overall = with_interval(score, latency, [np.arange(len(score))])
            within = with_interval(score, latency, deciles(flops))
            rows[name] = {"spearman": [*overall], "inside_flops_deciles": [*within]}
            print(f"{device:14s} {name:11s} overall {overall}  inside FLOPs deciles {within}")
        figures[device] = rows
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--samples", type=Path, required=True, help="file of measured cells")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--n", type=int, default=500)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--all-devices", action="store_true", help="not only server processors")
    given = parser.parse_args()
    table = published(given.data)
    devices = [name for name in table.columns if name not in ("index", "arch", "flops_m")]
    chosen, cells = draw(table, given.n)
    objective = Latency(device=DEVICES.create(given.device))
    samples, failures = measure_samples(
        objective,
        cells,
        given.samples,
        on_progress=lambda done, wanted: print(f"\r{done}/{wanted}", end="", flush=True),
    )
    print()
    for failure in failures:
        print(f"not measured: {failure}")
    figures = report(chosen, devices if given.all_devices else [*SERVER_CPUS], samples)
    if given.out:
        described: dict[str, Json] = {"n": len(samples), "not_measured": len(failures)}
        packages = ["numpy", "onnxruntime", "scipy"]
        store(given.out, {**described, "devices": figures}, packages=packages)


if __name__ == "__main__":
    main()
