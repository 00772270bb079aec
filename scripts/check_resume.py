"""Check that a search killed at random moments ends like one that was never interrupted.

    python scripts/check_resume.py --studies 10 --trials 24
    python scripts/check_resume.py --storage postgresql

For each study: one search runs to its end; a second one, with the same seed, runs in a process
that is killed with SIGKILL again and again at random moments, and is started again each time. Then
all trials of both are compared: numbers, states, parameters, values, constraints, attributes.
In both modes, what was stored at a kill must stand unchanged in the end. With --latency the
measured objective takes part too: then the two searches may differ, and only that is checked, and
that no trial is left open. Exit status 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # children are forked: no thread pool before that

import optuna
from optuna.storages import RDBStorage
from servers import KINDS, storages

import motemo
from motemo.data.pipeline import load_data
from motemo.errors import MotemoError
from motemo.objectives.recipe import Recipe
from motemo.storage import load_study, open_storage

CLOCKS = ("epoch_seconds",)


def run_search(url: str, *, trials: int, seed: int, latency: bool, sampler: str) -> None:
    """Run or continue a small search with real training."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    data = load_data("digits", classes=4, images_per_class=12)
    objectives: list[motemo.Objective] = [
        motemo.Mote(data=data, recipe=Recipe(epochs=1, landscape_images=16), seed=seed),
        motemo.Params(classes=4),
        motemo.Flops(classes=4),
    ]
    if latency:
        objectives.append(motemo.Latency(device=motemo.cpu(), classes=4))
    motemo.search(
        motemo.NasBench201(),
        objectives,
        trials=trials,
        constraints=["params<=900k"],
        storage=url,
        seed=seed,
        sampler=sampler,
        population=6 if sampler.startswith("nsga") else None,
    )


Stored = dict[tuple[int, str], Any]
"""What a study holds of each trial: its attributes, by trial number and name."""


def run_with_kills(
    url: str,
    rng: random.Random,
    *,
    longest: float,
    **search: Any,  # noqa: ANN401  (arguments of run_search)
) -> list[Stored]:
    """Run a search, killing its process after random times; return what each kill left."""
    left: list[Stored] = []
    while True:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run_search(url, **search)
                status = 0
            finally:
                os._exit(status)
        patience = longest * (1 + len(left) / 20)  # where the machine is slow, it ends as well
        deadline = time.monotonic() + rng.uniform(0.02, patience)
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                if status:
                    raise SystemExit(f"the search itself failed with status {status}")
                return left
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left.append(stored(url))


def trials_of(url: str, *, clocks: bool = False) -> list[dict[str, Any]]:
    """Return all that a study holds of its trials, without dates and, unless asked for, clocks."""
    storage = open_storage(url, must_exist=True)
    trials = load_study(storage, "motemo").get_trials(deepcopy=False)
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()  # a connection must not live on in forked children
    return [
        {
            "number": trial.number,
            "state": trial.state.name,
            "params": trial.params,
            "values": trial.values,
            "constraints": trial.constraints,
            "system_attrs": trial.system_attrs,
            "user_attrs": {
                k: v if clocks else _without_clocks(v) for k, v in trial.user_attrs.items()
            },
        }
        for trial in trials
    ]


def stored(url: str) -> Stored:
    """Return all user attributes of all trials."""
    try:
        trials = trials_of(url, clocks=True)
    except MotemoError:  # killed before the study was made
        return {}
    return {(t["number"], name): v for t in trials for name, v in t["user_attrs"].items()}


def _without_clocks(attribute: Any) -> Any:  # noqa: ANN401  (any attribute of a trial)
    if not isinstance(attribute, dict) or "record" not in attribute:
        return attribute
    record = {k: v for k, v in attribute["record"].items() if k not in CLOCKS}
    return {**attribute, "record": record}


def differences(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[str]:
    """Say where two studies differ."""
    found = [] if len(first) == len(second) else [f"{len(first)} and {len(second)} trials"]
    for a, b in zip(first, second, strict=False):
        found += [f"trial {a['number']}: {k} {a[k]} != {b[k]}" for k in a if a[k] != b[k]]
    return found


def check_study(
    create: Callable[[str], str], seed: int, arguments: argparse.Namespace
) -> tuple[int, list[str]]:
    """Compare one killed study with an uninterrupted one; return kills and differences."""
    whole, killed = (create(f"{name}_{seed}") for name in ("whole", "killed"))
    search = {
        "trials": arguments.trials,
        "seed": seed,
        "latency": arguments.latency,
        "sampler": arguments.sampler,
    }
    rng = random.Random(seed)  # noqa: S311  (moments of kills, no secret)
    left = run_with_kills(killed, rng, longest=arguments.longest, **search)
    trials, final = trials_of(killed), stored(killed)
    found = [f"trial {t['number']} is left {t['state']}" for t in _open(trials)]
    for kill in left:
        changed = [place for place, value in kill.items() if final.get(place) != value]
        found += [f"trial {number}: {name} was stored and changed" for number, name in changed]
    if not arguments.latency:
        never = random.Random(0)  # noqa: S311
        run_with_kills(whole, never, longest=1e9, **search)
        found += differences(trials_of(whole), trials)
    return len(left), found


def _open(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [t for t in trials if t["state"] in ("RUNNING", "WAITING")]


def _warm_up(folder: Path, sampler: str) -> None:
    """Import and load here what every child needs, so that one that is killed soon gets far."""
    run_search(f"sqlite:///{folder}/warm.db", trials=1, seed=0, latency=True, sampler=sampler)


def main() -> int:
    """Run the check and print what it found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--storage", choices=KINDS, default="sqlite")
    parser.add_argument("--sampler", default="nsga2")
    parser.add_argument("--longest", type=float, default=2.0, help="most seconds before a kill")
    parser.add_argument("--latency", action="store_true", help="measure latency too")
    arguments = parser.parse_args()
    equal = 0
    with (
        tempfile.TemporaryDirectory() as name,
        storages(arguments.storage, Path(name)) as create,
    ):
        _warm_up(Path(name), arguments.sampler)
        for seed in range(arguments.studies):
            kills, found = check_study(create, seed, arguments)
            equal += not found
            print(f"study {seed}: {kills} kills, {len(found)} differences", flush=True)
            for line in found[:5]:
                print(f"  {line}", flush=True)
    print(f"{equal} of {arguments.studies} killed studies ended like uninterrupted ones")
    return 0 if equal == arguments.studies else 1


if __name__ == "__main__":
    sys.exit(main())
