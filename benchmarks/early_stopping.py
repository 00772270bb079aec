"""What early stopping saves and what it loses: searches on published training curves.

    python benchmarks/early_stopping.py --cells nasbench201.csv.gz --latency latency_ms.csv.gz \
        --traces mote_traces.npz --out benchmarks/results/early_stopping.json

Searches of NAS-Bench-201 with and without early stopping, same seeds, by `motemo.search` itself.
In place of training, the published curve of a cell is shown epoch by epoch; its value is published
MOTE, its cost the published latency, and the parameters as a third objective. Cells that are one
network are averaged, since a search evaluates the canonical form.

* A training step is an epoch. The published landscape trains one epoch from each of its points, so
  that a training to the end counts 50 + 11 steps; one that is stopped counts its epochs.
* The budget `trainings` ends a search after so many trainings, whether they were stopped or not, as
  `motemo.search` counts them: fewer steps are paid. The budget `steps` goes on until as many steps
  are paid as without early stopping: more trainings are started.
* What is judged is the true accuracy of what a search would hand over: the hypervolume of the
  evaluated cells that are not dominated under the estimate, as a share of the true front's.

The rule's constants were chosen on other columns and seeds, `--device raspi4 --truth
cifar10_test_acc_200 --reference 80 --first-seed 1000`, and then reported on the default ones.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

import motemo
from motemo.early_stopping import EarlyStopping
from motemo.files import write_atomically
from motemo.host import host_identity
from motemo.objective import (
    EPOCH_LOSSES,
    Direction,
    Measurement,
    Outcome,
    Skipped,
    Stage,
    Watch,
    Watchable,
)
from motemo.objectives.table import TableLookup
from motemo.pareto import hypervolume, non_dominated
from motemo.space import Architecture, Json
from motemo.tables import Table

EPOCHS, LANDSCAPE_POINTS = 50, 11
WHOLE = EPOCHS + LANDSCAPE_POINTS
RULES: dict[str, EarlyStopping | None] = {
    "none": None,
    "front": EarlyStopping(),
    "two layers": EarlyStopping(layers=2),
}


@dataclass(frozen=True)
class Sources:
    """The published tables, which of their columns to use, and who proposes cells."""

    cells: Path
    latency: Path
    traces: Path
    device: str
    truth: str
    reference: float
    sampler: str


class Case(NamedTuple):
    """One search."""

    objectives: int
    rule: str
    budget: str
    evaluations: int
    seed: int


class BudgetSpent(Exception):  # noqa: N818  (no error)
    """As many steps as asked for are paid."""


@dataclass(frozen=True, kw_only=True)
class StoredTraining(Watchable):
    """Shows the published curve of a cell, and keeps a ledger of the steps that it stands for."""

    losses: Mapping[str, NDArray[np.float64]] = field(repr=False, compare=False)
    values: Mapping[str, float] = field(repr=False, compare=False)
    most_steps: int | None = None
    ledger: list[tuple[str, int]] = field(default_factory=list, repr=False, compare=False)
    name: str = "mote"
    unit: str = ""
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = False

    def evaluate_watched(
        self, architectures: Sequence[Architecture], watch: Watch
    ) -> list[Outcome]:
        """Show the curves."""
        return [self._show(architecture, watch) for architecture in architectures]

    def identity(self) -> dict[str, Json]:
        """Nothing: there is one."""
        return {}

    def _show(self, architecture: Architecture, watch: Watch) -> Outcome:
        key = architecture.key
        if key not in self.values:
            return Skipped("not in the table")
        if self.most_steps is not None and sum(s for _, s in self.ledger) >= self.most_steps:
            raise BudgetSpent
        losses = self.losses[key].tolist()
        for epoch in range(1, EPOCHS + 1):
            reason = watch(architecture, losses[:epoch])
            if reason is not None:
                self.ledger.append((key, epoch))
                return Skipped(reason, {EPOCH_LOSSES: losses[:epoch]}, paid=True)
        self.ledger.append((key, WHOLE))
        return Measurement.exact(self.values[key], self.unit, {EPOCH_LOSSES: losses})


@lru_cache(maxsize=1)
def read(sources: Sources) -> Table:
    """Return the networks: curve, MOTE, latency, parameters and true accuracy of each."""
    cells = pd.read_csv(sources.cells, dtype={"arch": str}).set_index("index")
    latency = pd.read_csv(sources.latency).set_index("index")[sources.device]
    traces = np.load(sources.traces)
    curves = pd.DataFrame(traces["epoch_losses"].astype(np.float64), index=traces["index"])
    frame = cells.join(latency, how="inner").join(curves, how="inner")
    frame["mote"] = pd.Series(traces["mote"], index=traces["index"])
    wanted = ["mote", sources.device, "params_m", sources.truth, *range(EPOCHS)]
    space = motemo.NasBench201()
    return (
        Table(
            tuple(space.architecture(arch) for arch in frame["arch"]),
            {str(name): frame[name].to_numpy(dtype=np.float64) for name in wanted},
        )
        .valid()
        .networks()
    )


def run(sources: Sources, case: Case) -> dict[str, float]:
    """Search, and judge what would be handed over."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = read(sources)
    keys = [architecture.key for architecture in table.architectures]
    curves = np.column_stack([table.columns[str(epoch)] for epoch in range(EPOCHS)])
    training = StoredTraining(
        losses=dict(zip(keys, curves, strict=True)),
        values=dict(zip(keys, table.columns["mote"].tolist(), strict=True)),
        most_steps=WHOLE * case.evaluations if case.budget == "steps" else None,
    )
    costs = [sources.device, "params_m"][: case.objectives - 1]
    lookups = [
        TableLookup.of(
            table, column=cost, direction=Direction.MINIMIZE, name=f"cost_{cost}", stage=stage
        )
        for cost, stage in zip(costs, (Stage.MEASURE, Stage.COUNT), strict=False)
    ]
    trainings = case.evaluations if case.budget == "trainings" else WHOLE * case.evaluations
    with suppress(BudgetSpent):
        motemo.search(
            motemo.NasBench201(),
            [training, *lookups],
            trials=trainings,
            sampler=sources.sampler,
            seed=case.seed,
            early_stopping=RULES[case.rule] or False,
        )
    ledger = training.ledger[:trainings]  # the last batch is finished, beyond the budget
    evaluated = [key for key, steps in ledger if steps == WHOLE]
    return {
        "trainings": len(ledger),
        "stopped": len(ledger) - len(evaluated),
        "steps": sum(steps for _, steps in ledger),
        "hypervolume": true_share(sources, costs, evaluated),
    }


def true_share(sources: Sources, costs: Sequence[str], evaluated: Sequence[str]) -> float:
    """Return the true hypervolume of what is handed over, as a share of the true front's."""
    table = read(sources)
    estimated = np.column_stack([table.columns[name] for name in ("mote", *costs)])
    true = np.column_stack([table.columns[name] for name in (sources.truth, *costs)])
    directions = [Direction.MAXIMIZE, *(Direction.MINIMIZE for _ in costs)]
    reference = [sources.reference, *(float(table.columns[cost].max()) for cost in costs)]
    rows = {architecture.key: row for row, architecture in enumerate(table.architectures)}
    chosen = np.array([rows[key] for key in evaluated])
    handed_over = chosen[non_dominated(estimated[chosen], directions)]
    whole = hypervolume(true[non_dominated(true, directions)], directions, reference)
    return hypervolume(true[handed_over], directions, reference) / whole


def cases(evaluations: int, first_seed: int, seeds: int) -> Iterator[Case]:
    for seed in range(first_seed, first_seed + seeds):
        for objectives in (2, 3):
            for rule in RULES:
                yield Case(objectives, rule, "trainings", evaluations, seed)
            yield Case(objectives, "front", "steps", evaluations, seed)


def summarise(found: Mapping[Case, Mapping[str, float]]) -> Iterator[dict[str, Json]]:
    """Compare every rule with the searches of the same seeds that stop nothing."""
    for objectives, rule, budget in dict.fromkeys((c.objectives, c.rule, c.budget) for c in found):
        chosen = [
            c for c in found if (c.objectives, c.rule, c.budget) == (objectives, rule, budget)
        ]
        rows = pd.DataFrame([found[case] for case in chosen])
        plain = pd.DataFrame(
            [found[case._replace(rule="none", budget="trainings")] for case in chosen]
        )
        mean, base = rows.mean(), plain.mean()
        change = 100 * (rows["hypervolume"] / plain["hypervolume"] - 1)
        half = float(change.sem() * stats.t.ppf(0.975, len(change) - 1))
        yield {
            "objectives": objectives,
            "rule": rule,
            "budget": budget,
            "n": len(rows),
            **{name: round(mean[name], 1) for name in ("trainings", "stopped", "steps")},
            "steps_saved_percent": round(100 * (1 - mean["steps"] / base["steps"]), 1),
            "hypervolume": round(mean["hypervolume"], 4),
            "hypervolume_sd": round(float(rows["hypervolume"].std()), 4),
            "change_percent": round(float(change.mean()), 2),
            "change_percent_95": [round(float(change.mean() + s * half), 2) for s in (-1, 1)],
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--cells", "--latency", "--traces"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--device", default="gold_6240")
    parser.add_argument("--truth", default="cifar100_test_acc_200")
    parser.add_argument("--reference", type=float, default=55.0, help="worst accuracy of interest")
    parser.add_argument("--sampler", default="nsga2")
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    sources = Sources(
        arguments.cells,
        arguments.latency,
        arguments.traces,
        arguments.device,
        arguments.truth,
        arguments.reference,
        arguments.sampler,
    )
    asked = list(cases(arguments.evaluations, arguments.first_seed, arguments.seeds))
    with ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool:
        found = dict(zip(asked, pool.map(partial(run, sources), asked), strict=True))
    rows = list(summarise(found))
    print(pd.DataFrame(rows).to_string(index=False))
    if arguments.out is not None:
        host = {k: v for k, v in host_identity().items() if k != "host"}
        versions = {p: metadata.version(p) for p in ("motemo", "optuna", "numpy", "pymoo")}
        document = {
            "date": datetime.now(UTC).date().isoformat(),
            "device": host,
            "versions": {"python": platform.python_version(), **versions},
            "settings": {
                "latency": sources.device,
                "truth": sources.truth,
                "reference": sources.reference,
                "evaluations": arguments.evaluations,
                "sampler": sources.sampler,
                "first_seed": arguments.first_seed,
                "rules": {name: rule and rule.identity() for name, rule in RULES.items()},
            },
            "results": rows,
        }
        write_atomically(arguments.out, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
