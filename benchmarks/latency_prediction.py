"""How well latencies on an unknown device are predicted from ten measurements there.

    python benchmarks/latency_prediction.py --data ../shared/data \
        --out benchmarks/results/latency_prediction.json

Published tables of latencies; each device in turn is the unknown one. `device` leaves it out of
the known devices, `family` also the same device at other batch sizes. The table of the known
devices holds one half of the architectures; the samples and the architectures that are predicted
are of the other half, so that no latency of theirs is known from anywhere. Each draw has a random
pool of 400 candidates, from which ten samples are taken, and other architectures to predict.

* `chosen`: motemo's prediction, its samples chosen by `KnownDevices.choose`;
* `random`: the same with random samples;
* `measured`: as chosen, but the known devices' latencies of all these architectures are known and
  used as they are;
* `linear`: ridge regression on genes from the same ten random samples, no other device;
* `flops`: multiply-adds;
* `all`: regression on genes from all of the half, measured on the device itself.

Numbers are Spearman's correlation: mean over devices, spread (standard deviation) between devices,
mean spread between draws, and the lowest device. `inside` is the share of measurements inside the
95 % intervals.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from stored import store

from motemo.hardware.likeness import Likeness
from motemo.hardware.transfer import KnownDevices, family
from motemo.registry import SPACES
from motemo.space import Json, Space
from motemo.tables import Floats, Table, read_table

SEED, POOL, TESTED = 0, 400, 1000
OTHER_TABLE = ("pi5_litert", "pi5_onnx", "pi5_torchmobile", "pixel_litert")


@dataclass(frozen=True)
class Source:
    """A table: architectures, latencies by device, multiply-adds."""

    name: str
    table: Table
    flops: Floats

    @property
    def devices(self) -> list[str]:
        """Names of the devices, in the table's order."""
        return list(self.table.columns)


def rows(table: Table, chosen: NDArray[np.intp]) -> Table:
    return Table(
        tuple(table.architectures[row] for row in chosen),
        {name: values[chosen] for name, values in table.columns.items()},
    )


def nasbench201(folder: Path) -> tuple[Source, Source]:
    """Return the devices of HELP; and with them those of HW-NAS-Bench-360, as unknown ones.

    The second table measured one cell of each topology. Only these cells count.
    """
    space: Space = SPACES.create("nasbench201")
    files = [
        folder / f"{name}.csv.gz"
        for name in ("nasbench201_half", "nasbench201_latency_ms_half", "hw_nas_bench_360")
    ]
    own = [name for name in pd.read_csv(files[1], nrows=0).columns if name != "index"]
    others = [f"{name}_latency_ms" for name in OTHER_TABLE]
    first = read_table(files[:2], columns=[*own, "flops_m"], space=space).valid()
    second = pd.read_csv(files[2]).query("index == measured_index").set_index("arch")
    places = [p for p, a in enumerate(first.architectures) if a.genotype in second.index]
    both = rows(first, np.array(places))
    measured = second.loc[[a.genotype for a in both.architectures], others]
    columns = {**both.columns, **{name: measured[name].to_numpy() for name in others}}
    return (
        source("nasbench201", first, own),
        source("nasbench201, other table", Table(both.architectures, columns), [*own, *others]),
    )


def source(name: str, table: Table, devices: Sequence[str]) -> Source:
    kept = Table(table.architectures, {device: table.columns[device] for device in devices})
    return Source(name, kept, table.columns["flops_m"])


def fbnet(folder: Path) -> Source:
    file = folder / "fbnet_latency.csv.gz"
    header = pd.read_csv(file, nrows=0).columns
    devices = [name for name in header if name.endswith("_latency_ms")]
    table = read_table(file, columns=[*devices, "flops_m"], space=SPACES.create("fbnet"))
    return source("fbnet", table.valid(), devices)


Draws: TypeAlias = dict[str, list[tuple[float, float]]]
"""By method, Spearman's correlation and the share inside the intervals (or NaN) of each draw."""


@dataclass(frozen=True, eq=False)
class Split:
    """A source in two: architectures that known devices have measured, and others."""

    source: Source
    known: Table
    rest: Table
    flops: Floats

    @classmethod
    def of(cls, source: Source) -> Split:
        """Cut a table at random."""
        order = np.random.default_rng(SEED).permutation(len(source.table))
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        known, rest = rows(source.table, first), rows(source.table, second)
        return cls(source, known, rest, source.flops[second])

    def predicted_from_all(self, device: str) -> float:
        """Return Spearman's correlation of a regression on all measurements of the device."""
        own = self.known.columns[device]
        fitted = KnownDevices.fit(
            Table(self.known.architectures, {"one": own, "two": own}),
            families={"one": "one", "two": "two"},
        )
        predicted = fitted.latents([a.genotype for a in self.rest.architectures])[:, 0]
        return float(spearmanr(predicted, self.rest.columns[device]).statistic)

    def leave_out(self, device: str, others: Sequence[str], *, draws: int, samples: int) -> Draws:
        """Predict a device from others and few samples."""
        known = KnownDevices.fit(
            Table(self.known.architectures, {d: self.known.columns[d] for d in others})
        )
        genotypes = [a.genotype for a in self.rest.architectures]
        genes, latents = known.genes(genotypes), known.latents(genotypes)
        logs = np.log(np.stack([self.rest.columns[d] for d in others], axis=1))
        measured = (logs - logs.mean(0)) / logs.std(0)
        direct = Likeness.learn(measured, genes, measured, [family(d) for d in others])
        true = np.log(self.rest.columns[device])
        found: Draws = defaultdict(list)
        for draw in range(draws):
            mixed = np.random.default_rng((SEED, draw)).permutation(len(true))
            pool, tested = mixed[:POOL], mixed[POOL : POOL + TESTED]
            first = pool[:samples]
            for method, likeness, z, taken in (
                ("chosen", known.likeness, latents, None),
                ("random", known.likeness, latents, first),
                ("measured", direct, measured, None),
            ):
                if taken is None:
                    taken = pool[likeness.choose(z[pool], genes[pool], samples)]
                values, halves = likeness.predict(
                    z[taken], genes[taken], true[taken], latents=z[tested], genes=genes[tested]
                )
                inside = np.abs(values - true[tested]) <= halves
                found[method].append((agreement(values, true[tested]), float(inside.mean())))
            linear = ridge(genes[first], true[first], genes[tested])
            found["linear"].append((agreement(linear, true[tested]), np.nan))
            found["flops"].append((agreement(self.flops[tested], true[tested]), np.nan))
        return found


def agreement(predicted: Floats, true: Floats) -> float:
    return float(spearmanr(predicted, true).statistic)


def unknown(device: str, source: Source, targets: Sequence[str], *, by: str) -> set[str]:
    """Return the devices that are left out together with one."""
    if set(targets) != set(source.devices):
        return set(targets)
    alike = {other for other in source.devices if family(other) == family(device)}
    return alike if by == "family" else {device}


def summary(found: Mapping[str, Draws]) -> dict[str, Json]:
    """Return the figures of each method from the draws of each device."""
    methods = next(iter(found.values())).keys()
    figures: dict[str, Json] = {}
    for method in methods:
        draws = {device: np.array(by_method[method]) for device, by_method in found.items()}
        means = {device: float(rows[:, 0].mean()) for device, rows in draws.items()}
        row = {
            "mean": np.mean(list(means.values())),
            "between_devices": np.std(list(means.values())),
            "between_draws": np.mean([rows[:, 0].std() for rows in draws.values()]),
            "lowest": min(means.values()),
            "inside": np.mean([rows[:, 1].mean() for rows in draws.values()]),
        }
        shown: dict[str, Json] = {k: round(float(v), 4) for k, v in row.items() if v == v}
        devices: dict[str, Json] = {device: round(mean, 4) for device, mean in means.items()}
        figures[method] = {**shown, "devices": devices}
    return figures


def ridge(genes: Floats, values: Floats, wanted: Floats) -> Floats:
    """Predict from few samples by ridge regression on genes of length one, unit penalty."""
    kernel = genes @ genes.T
    dual = np.linalg.solve(kernel + np.eye(len(values)), values - values.mean())
    return wanted @ genes.T @ dual


def predict(
    source: Source, targets: Sequence[str], ways: Sequence[str], draws: int, samples: int
) -> dict[str, dict[str, Draws]]:
    """Predict each target, by each way of leaving devices out."""
    split = Split.of(source)
    found: dict[str, dict[str, Draws]] = {by: {} for by in ways}
    for device in targets:
        ceiling = [(split.predicted_from_all(device), np.nan)]
        known: dict[frozenset[str], Draws] = {}
        for by in ways:
            out = frozenset(unknown(device, source, targets, by=by))
            others = [d for d in source.devices if d not in out]
            if out not in known:
                known[out] = split.leave_out(device, others, draws=draws, samples=samples)
                known[out]["all"] = ceiling
            found[by][device] = known[out]
    return found


def show(title: str, figures: Mapping[str, Json]) -> None:
    print(f"\n{title}\n| method | mean | between devices | between draws | lowest | inside |")
    print("|---|---|---|---|---|---|")
    for method, row in figures.items():
        assert isinstance(row, dict)
        names = ("mean", "between_devices", "between_draws", "lowest", "inside")
        cells = " | ".join(str(row.get(name, "")) for name in names)
        print(f"| {method} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the published tables")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--only", choices=["nasbench201", "other", "fbnet"])
    given = parser.parse_args()
    help_table, other = nasbench201(given.data)
    runs: dict[str, tuple[Source, Sequence[str]]] = {
        "nasbench201": (help_table, help_table.devices),
        "other": (other, [f"{name}_latency_ms" for name in OTHER_TABLE]),
        "fbnet": (fbnet(given.data), []),
    }
    figures: dict[str, Json] = {"draws": given.draws, "samples": given.samples}
    for name, (source, targets) in runs.items():
        if given.only in (None, name):
            wanted = [*(targets or source.devices)]
            ways = ("device", "family") if set(wanted) == set(source.devices) else ("device",)
            for by, found in predict(source, wanted, ways, given.draws, given.samples).items():
                title = f"{name}, {len(wanted)} devices, without its {by}"
                figures[title] = summary(found)
                show(title, summary(found))
    if given.out:
        store(given.out, figures, packages=["numpy", "scipy"])


if __name__ == "__main__":
    main()
