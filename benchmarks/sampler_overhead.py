"""Milliseconds a trial that samplers and storages cost: 6 genes of 5 choices, 3 objectives.

    python benchmarks/sampler_overhead.py
    python benchmarks/sampler_overhead.py --storage memory --storage sqlite --trials 300

Every study is filled by Optuna's own `study.optimize` with an objective that costs nothing, so that
what is timed is the sampler and the storage. On each storage the studies of all samplers grow in
turns, 20 trials at a time: whatever else the machine does hits all alike, and the ratio to Optuna's
own NSGA-II says more than the times. `journal` is Optuna's journal file with motemo's lock;
`postgresql` is a server that is started for this (needs the extra `dev`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.storages import BaseStorage, InMemoryStorage
from servers import KINDS, storages

from motemo.files import write_atomically
from motemo.host import host_identity
from motemo.samplers import by_name
from motemo.storage import open_storage

SEED = 0
CHUNK = 20
YARDSTICK = "Optuna's NSGA-II"
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    YARDSTICK: lambda: NSGAIISampler(seed=SEED),
    "motemo": lambda: by_name.motemo(seed=SEED),
    "pymoo_nsga2": lambda: by_name.pymoo_nsga2(seed=SEED),
    "nsga2": lambda: by_name.nsga2(seed=SEED),
    "random": lambda: by_name.random(seed=SEED),
}


def objective(trial: optuna.Trial) -> tuple[float, float, float]:
    """Return three values that pull in different directions."""
    a, b, c, d, e, f = (trial.suggest_categorical(f"gene_{i}", range(5)) for i in range(6))
    return a + 2.0 * b + c * d + e**0.5, a**1.5 + b**1.5 + c + d + e + f, float(abs(f - a) + c)


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Callable[[str], BaseStorage]]:
    """Yield what opens a new, empty storage of a kind by a name."""
    if kind == "memory":
        yield lambda name: InMemoryStorage()
    else:
        with storages(kind, folder) as url:
            yield lambda name: open_storage(url(name))


def measure(kind: str, trials: int, names: list[str]) -> dict[str, dict[str, float]]:
    """Return milliseconds a trial by sampler, by the wall clock and of this process's CPU."""
    wall, cpu = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    with tempfile.TemporaryDirectory() as folder, opened(kind, Path(folder)) as create:
        studies = {
            name: optuna.create_study(
                storage=create(f"study_{number}"),
                directions=["maximize", "minimize", "minimize"],
                sampler=SAMPLERS[name](),
            )
            for number, name in enumerate(names)
        }
        for _ in range(trials // CHUNK):
            for name, study in studies.items():
                start, spent = time.perf_counter(), time.process_time()
                study.optimize(objective, n_trials=CHUNK)
                wall[name] += time.perf_counter() - start
                cpu[name] += time.process_time() - spent
    done = trials // CHUNK * CHUNK
    return {
        name: {
            "wall_ms": round(1000 * wall[name] / done, 2),
            "cpu_ms": round(1000 * cpu[name] / done, 2),
            "wall_ratio": round(wall[name] / wall[YARDSTICK], 2),
        }
        for name in names
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ("memory", *KINDS)
    parser.add_argument("--storage", action="append", choices=kinds, help="default: all")
    others = [name for name in SAMPLERS if name != YARDSTICK]
    parser.add_argument("--sampler", action="append", choices=others, help="default: all")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    by_name.motemo(seed=SEED)  # imports
    figures = {}
    for kind in arguments.storage or kinds:
        figures[kind] = measure(kind, arguments.trials, [YARDSTICK, *(arguments.sampler or others)])
        print(f"\n{kind}, {arguments.trials} trials")
        print(f"{'sampler':18}{'wall ms':>9}{'CPU ms':>9}{'wall ratio':>12}")
        for name, row in figures[kind].items():
            print(f"{name:18}{row['wall_ms']:9}{row['cpu_ms']:9}{row['wall_ratio']:12}", flush=True)
    if arguments.out is not None:
        packages = ("motemo", "optuna", "pymoo", "numpy", "scipy")
        document = {
            "date": datetime.now(UTC).date().isoformat(),
            "seed": SEED,
            "trials": arguments.trials,
            "device": {k: v for k, v in host_identity().items() if k != "host"},
            "versions": {
                "python": platform.python_version(),
                **{package: metadata.version(package) for package in packages},
            },
            "per_trial": figures,
        }
        write_atomically(arguments.out, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
