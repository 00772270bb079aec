"""Seconds to build the report of a large study, and its size.

    python benchmarks/report.py [--trials 2000] [--objectives 4] [--out report.html]

The study is stored as a search stores it, in a journal: random architectures of NAS-Bench-201 with
made-up values and a record as long as that of MOTE. A tenth more trials are duplicates, infeasible
or failed. Timed is the whole command `motemo report`, from starting Python to the file.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from motemo import records
from motemo.objective import Measurement
from motemo.run_folder import RunFolder
from motemo.space import Architecture, Json
from motemo.spaces.nasbench201 import NasBench201
from motemo.storage import create_study, open_storage

OBJECTIVES = (
    ("mote", "", "maximize"),
    ("latency_ms", "ms", "minimize"),
    ("params", "count", "minimize"),
    ("flops", "multiply-adds", "minimize"),
    ("memory_mb", "MB", "minimize"),
    ("energy_mj", "mJ", "minimize"),
)
_COST = {"nor_conv_3x3": 9.0, "nor_conv_1x1": 1.5, "avg_pool_3x3": 0.4, "skip_connect": 0.1}
_GOOD = {"nor_conv_3x3": 3.0, "nor_conv_1x1": 2.2, "avg_pool_3x3": 0.6, "skip_connect": 1.2}


def made_up_study(folder: Path, trials: int, objectives: int, *, seed: int = 0) -> RunFolder:
    """Store a study of so many evaluated trials, and a tenth of others, in a run folder."""
    run = RunFolder(folder, shared=True)
    with run.claimed():
        storage = open_storage(run.storage_url)
    axes = OBJECTIVES[:objectives]
    study = create_study(
        storage,
        run.study_name,
        directions=[records.Direction(direction) for _, _, direction in axes],
        sampler=optuna.samplers.RandomSampler(seed=seed),
    )
    study.set_user_attr(records.SETTINGS, _settings(axes))
    study.add_trials(list(_trials(trials, axes, np.random.default_rng(seed))))
    return run


def _settings(axes: tuple[tuple[str, str, str], ...]) -> dict[str, Json]:
    settings = records.settings_of(NasBench201(), [], [], sampler="motemo", seed=0, batch_size=4)
    described: list[Json] = [
        {"name": name, "unit": unit, "direction": direction, "identity": {}}
        for name, unit, direction in axes
    ]
    return {**settings, "objectives": described}


def _trials(
    count: int, axes: tuple[tuple[str, str, str], ...], rng: np.random.Generator
) -> Iterator[FrozenTrial]:
    space, seen, start = NasBench201(), dict[str, int](), datetime(2026, 1, 5, 9)
    distributions = {gene.name: CategoricalDistribution(gene.choices) for gene in space.genes}
    number = evaluated = 0
    while evaluated < count:
        params = {gene.name: rng.choice(gene.choices).item() for gene in space.genes}
        written = space.architecture(space.write(params))
        attributes, values, state = _outcome(written, seen, number, axes, rng)
        trial = create_trial(
            state=state,
            values=values,
            params=params,
            distributions=distributions,
            user_attrs=attributes,
        )
        trial.datetime_start, trial.datetime_complete = start, start + timedelta(seconds=8)
        yield trial
        evaluated += state is TrialState.COMPLETE
        number += 1
        start += timedelta(seconds=9)


def _outcome(
    written: Architecture,
    seen: dict[str, int],
    number: int,
    axes: tuple[tuple[str, str, str], ...],
    rng: np.random.Generator,
) -> tuple[dict[str, Json], list[float] | None, TrialState]:
    if written.invalid_reason is not None:
        return {records.REASON: f"invalid: {written.invalid_reason}"}, None, TrialState.PRUNED
    known: dict[str, Json] = {records.GENOTYPE: written.key}
    if seen.setdefault(written.key, number) != number:
        reason = f"duplicate of trial {seen[written.key]}"
        known |= {records.DUPLICATE_OF: seen[written.key], records.REASON: reason}
        return known, None, TrialState.PRUNED
    if rng.random() < 0.02:
        return {**known, records.REASON: "mote: the loss is nan"}, None, TrialState.FAIL
    measured = _measured(written.canonical, rng)
    kept = {name: measured[name] for name, _, _ in axes}
    for name, measurement in kept.items():
        attribute, stored = records.measurement_attribute(name, measurement, identity={})
        known[attribute] = stored
    return known, [float(m.value) for m in kept.values()], TrialState.COMPLETE


def _measured(architecture: Architecture, rng: np.random.Generator) -> dict[str, Measurement]:
    """Return made-up values that grow with the operations, as real ones do."""
    chosen = architecture.space.read(architecture.genotype).values()
    cost = 1.0 + sum(_COST.get(str(operation), 0.0) for operation in chosen)
    good = sum(_GOOD.get(str(operation), 0.0) for operation in chosen)
    mote = 18 + 9 * math.log1p(good) / 2 + rng.normal(0, 0.9)
    latency = 0.35 + cost**0.8 / 9 * rng.uniform(0.8, 1.25)
    losses = [float(value) for value in 2.3 * np.exp(-np.arange(15) / 9) + rng.random(15) / 9]
    record: dict[str, Json] = {"losses": list[Json](losses), "points": list[Json](losses)}
    return {
        "mote": Measurement.exact(mote, "", record),
        "latency_ms": Measurement(
            value=latency, unit="ms", low=latency * 0.985, high=latency * 1.02
        ),
        "params": Measurement.exact(
            round((73_000 + 27_000 * cost) * rng.uniform(0.85, 1.15)), "count"
        ),
        "flops": Measurement.exact(
            round((7.8e6 + 3.9e6 * cost) * rng.uniform(0.85, 1.15)), "multiply-adds"
        ),
        "memory_mb": Measurement.exact(2 + cost * rng.uniform(0.1, 0.2), "MB"),
        "energy_mj": Measurement.exact(latency * rng.uniform(11, 15), "mJ"),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--trials", type=int, default=2000)
    arguments.add_argument("--objectives", type=int, default=4, choices=range(1, 7))
    arguments.add_argument("--out", type=Path, help="Keep the report here.")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made_up_study(Path(folder), given.trials, given.objectives)
        out = given.out or Path(folder) / "report.html"
        start = time.perf_counter()
        command = [sys.executable, "-m", "motemo", "report", folder, "--out", str(out)]
        subprocess.run(command, check=True)  # noqa: S603
        seconds, size = time.perf_counter() - start, out.stat().st_size / 1e6
    print(
        f"{given.trials} evaluated trials, {given.objectives} objectives: "
        f"{seconds:.1f} s, {size:.2f} MB"
    )


if __name__ == "__main__":
    main()
