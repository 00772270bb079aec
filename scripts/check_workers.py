"""Check that workers which are killed lose nothing and evaluate nothing twice.

    python scripts/check_workers.py --storage postgresql --trials 100

Four workers share one study. Every few seconds one of them is killed with SIGKILL, and another is
started in its place. The objective writes each evaluation that it begins and ends to a file of its
own, which the study knows nothing of. When all workers have ended by themselves, these must hold:

- The study has all the evaluations that were asked for, and no trial is left open.
- No candidate of a killed worker is lost: another trial has it, unless workers died of it three
  times, which is counted and printed.
- No key was evaluated twice, the evaluations that a kill interrupted apart.
- What the study calls complete was evaluated.

Exit status 1 if one does not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # children are forked: no thread pool before that

import optuna
from optuna.trial import TrialState
from servers import KINDS, storages
from torch import nn

import motemo
from motemo import records
from motemo.objective import Outcome, Stage, evaluate_each
from motemo.space import Choice, Json, Shape
from motemo.storage import load_study


def _network(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    return nn.Flatten()


SPACE = motemo.FunctionSpace(
    name="small",  # so small that workers often ask for the same
    genes=tuple(motemo.Gene(name, tuple(range(5))) for name in "abcd"),
    build_network=_network,
)


@dataclass(frozen=True, kw_only=True)
class Logged(motemo.Objective):
    """The sum of the genes; it takes its time, and writes down when it begins and ends."""

    log: Path
    seconds: float
    name: str = "logged"
    unit: str = ""
    direction: motemo.Direction = motemo.Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = field(default=False, init=False)

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        """Evaluate one architecture after the other."""
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> motemo.Measurement:
        self._write("begin", architecture.key)
        time.sleep(self.seconds * random.uniform(0.2, 1.8))  # noqa: S311  (no secret)
        self._write("end", architecture.key)
        values = architecture.space.read(architecture.genotype)
        return motemo.Measurement.exact(sum(map(int, values.values())), self.unit)

    def _write(self, what: str, key: str) -> None:
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{what} {os.getpid()} {key}\n".encode())
        os.close(handle)

    def identity(self) -> dict[str, Json]:
        """Nothing changes its values."""
        return {}


def start_worker(url: str, log: Path, arguments: argparse.Namespace) -> int:
    """Start a worker in a process of its own; return its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        random.seed(os.getpid())
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        motemo.work(
            SPACE,
            [Logged(log=log, seconds=arguments.seconds), motemo.Params()],
            storage=url,
            trials=arguments.trials,
            sampler=arguments.sampler,
            seed=arguments.seed,
        )
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def run(url: str, log: Path, arguments: argparse.Namespace) -> set[int]:
    """Run workers until all have ended by themselves; return those that were killed."""
    rng = random.Random(arguments.seed)  # noqa: S311  (moments of kills, no secret)
    workers = {start_worker(url, log, arguments) for _ in range(arguments.workers)}
    killed: set[int] = set()
    next_kill = time.monotonic() + arguments.every
    deadline = time.monotonic() + arguments.longest
    while workers:
        time.sleep(0.01)
        if time.monotonic() > deadline:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            raise SystemExit(f"the workers had not ended after {arguments.longest:.0f} s")
        for worker in list(workers):
            ended, status = os.waitpid(worker, os.WNOHANG)
            if ended:
                workers.remove(worker)
                if status:
                    raise SystemExit(f"a worker failed with status {status}")
        if workers and time.monotonic() > next_kill:
            victim = rng.choice(sorted(workers))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            killed.add(victim)
            workers.remove(victim)
            workers.add(start_worker(url, log, arguments))
            next_kill = time.monotonic() + arguments.every * rng.uniform(0.5, 1.5)
    return killed


def faults(url: str, log: Path, killed: set[int], wanted: int) -> tuple[list[str], dict[str, Any]]:
    """Return what went wrong, and figures."""
    trials = load_study(url, "motemo").get_trials(deepcopy=False)
    lines = [line.split(maxsplit=2) for line in log.read_text().splitlines()]
    begun = [(int(pid), key) for what, pid, key in lines if what == "begin"]
    ended = {key for what, _, key in lines if what == "end"}
    last = dict(begun)
    interrupted = Counter(key for pid, key in last.items() if pid in killed)
    paid = Counter(key for _, key in begun)
    states = Counter(trial.state.name for trial in trials)
    complete = [t.user_attrs[records.GENOTYPE] for t in trials if t.state is TrialState.COMPLETE]
    found = [
        f"trial {t.number} is left {t.state.name}" for t in trials if not t.state.is_finished()
    ]
    if len(complete) < wanted:
        found.append(f"{len(complete)} of {wanted} evaluations")
    found += [f"{key} is lost" for key in lost(trials)]
    for key, times in paid.items():
        if times - interrupted[key] > 1:
            found.append(f"{key} was evaluated {times} times, {interrupted[key]} of them killed")
    found += [f"{k} is complete {n} times" for k, n in Counter(complete).items() if n > 1]
    found += [f"{key} is complete, and never ended" for key in complete if key not in ended]
    duplicates = sum(records.DUPLICATE_OF in t.user_attrs for t in trials)
    given_up = sum("not tried again" in t.user_attrs.get(records.REASON, "") for t in trials)
    return found, {
        "trials": dict(states),
        "duplicates": duplicates,
        "evaluations begun": len(begun),
        "of them begun again after a kill": sum(times - 1 for times in paid.values()),
        "retries": sum(records.RETRIES in t.user_attrs for t in trials),
        "given up": given_up,
    }


def lost(trials: Sequence[optuna.trial.FrozenTrial]) -> list[str]:
    """Return the keys of killed workers that nobody took up."""
    held = records.first_trial_of_each_claim(SPACE, trials)
    keys = {records.trial_key(SPACE, t) for t in trials if records.was_abandoned(t)}
    return [key for key in keys if key is not None and key not in held]


def warm_up(log: Path) -> None:
    """Import here what every child needs, so that one that is killed soon gets far."""
    motemo.search(SPACE, [Logged(log=log, seconds=0), motemo.Params()], trials=2)


def main() -> int:
    """Run the check and print what it found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--storage", choices=KINDS[1:], default="postgresql")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two kills")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one evaluation, on average")
    parser.add_argument("--longest", type=float, default=900.0, help="most seconds in all")
    parser.add_argument("--sampler", default="nsga2")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        storages(arguments.storage, Path(name)) as create,
    ):
        url, log = create("study"), Path(name) / "evaluations.txt"
        warm_up(Path(name) / "warm.txt")
        killed = run(url, log, arguments)
        found, figures = faults(url, log, killed, arguments.trials)
    print(f"{arguments.storage}: {len(killed)} kills in {time.monotonic() - begin:.0f} s")
    for title, figure in figures.items():
        print(f"  {title}: {figure}")
    for line in found:
        print(f"  WRONG: {line}")
    print("nothing lost, nothing evaluated twice" if not found else f"{len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
