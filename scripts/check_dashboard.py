"""Check that the dashboard does not disturb a search that it follows.

    python scripts/check_dashboard.py --minutes 5

Two searches, each with `motemo dashboard` on it and clients that ask it all the time: one process
over SQLite, then four workers over PostgreSQL. These must hold:

- No trial fails, no process of the search ends with an error or speaks of a locked storage.
- Every request is answered, the dashboard ends in order on Ctrl-C, and it has reported no trouble.
- The study has no attribute that the search has not written.
- In the end the dashboard shows every finished trial, each with its note.

`--alone` runs the searches without it, to compare how many trials they come to. Exit status 1 if
something does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # children are forked: no thread pool before that

import optuna
from optuna.trial import TrialState
from servers import storages

import motemo
from motemo.objective import Outcome, Stage, evaluate_each
from motemo.space import Json
from motemo.storage import load_study

CASES = {"sqlite": 1, "journal": 4, "postgresql": 4}
STEP = 8
PAUSE_SECONDS = 0.2
SETTLE_SECONDS = 15.0  # the longest for which the dashboard shows what it has read before


@dataclass(frozen=True, kw_only=True)
class Slowed(motemo.Objective):
    """Multiply-adds, counted after a pause."""

    seconds: float
    name: str = "slow_flops"
    unit: str = "multiply-adds"
    direction: motemo.Direction = motemo.Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = field(default=False, init=False)

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        """Evaluate one architecture after the other."""
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> Outcome:
        time.sleep(self.seconds * random.uniform(0.2, 1.8))  # noqa: S311  (no secret)
        [outcome] = motemo.Flops().evaluate([architecture])
        return outcome

    def identity(self) -> dict[str, Json]:
        """Nothing changes its values."""
        return {}


def search(url: str, workers: int, arguments: argparse.Namespace) -> None:
    """Search until the time is over, in steps, alone or as one of several workers."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, wanted = motemo.NasBench201(), 0
    objectives = [Slowed(seconds=arguments.seconds), motemo.Params()]
    end = time.monotonic() + arguments.minutes * 60
    while time.monotonic() < end:
        wanted += STEP
        run = motemo.search if workers == 1 else motemo.work
        run(space, objectives, trials=wanted, storage=url, sampler=arguments.sampler)


def start(url: str, workers: int, log: Path, arguments: argparse.Namespace) -> int:
    """Start one process of the search; what it says goes to a file. Return its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 2)
        search(url, workers, arguments)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


@contextmanager
def dashboard(url: str, faults: list[str]) -> Iterator[str]:
    """Yield the address of a study's page in `motemo dashboard`; end it by Ctrl-C."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "motemo", "dashboard", url, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None  # noqa: S101  (for the type checker)
    with process.stderr:
        said = process.stderr.readline()
        address = next((word for word in said.split() if word.startswith("http")), None)
        if address is None:
            raise SystemExit(f"the dashboard did not start: {said}{process.stderr.read()}")
        yield address
        process.send_signal(signal.SIGINT)
        status, rest = process.wait(timeout=300), process.stderr.read().strip()
    if status or rest != "ended":
        faults.append(f"the dashboard ended with status {status} and said: {rest}")


@dataclass
class Client:
    """Asks a dashboard for this and that, as several open pages would."""

    page: str
    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def get(self, path: str) -> bytes:
        """Return an answer, b"" if there is none."""
        begin = time.monotonic()
        try:
            with urllib.request.urlopen(self._root + path, timeout=120) as answer:  # noqa: S310
                body: bytes = answer.read()
        except OSError as error:
            self.faults.append(f"{path}: {error}")
            return b""
        self.seconds.append(time.monotonic() - begin)
        self.answers[path.split("?")[0].strip("/").split("/")[0]] += 1
        return body

    @property
    def _root(self) -> str:
        return self.page.split("/dashboard")[0]

    @property
    def _number(self) -> str:
        return self.page.rsplit("/", 1)[1]

    def study(self, after: int = 0) -> dict[str, Any]:
        """Return what the dashboard says of the study, from a trial on."""
        found: dict[str, Any] = json.loads(
            self.get(f"/api/studies/{self._number}?after={after}") or "{}"
        )
        return found

    def ask_until(self, ended: threading.Event) -> None:
        """Ask all the time."""
        finished = 0
        while not ended.wait(PAUSE_SECONDS):
            trials = self.study(after=random.choice((0, finished))).get("trials", [])  # noqa: S311
            self.get("/api/studies")
            self.get(f"/dashboard/studies/{self._number}")
            for trial in random.sample(trials, min(3, len(trials))):
                finished = max(finished, trial["number"])
                for artifact in trial["artifacts"]:
                    self.get(
                        f"/artifacts/{self._number}/{trial['trial_id']}/{artifact['artifact_id']}"
                    )


def wait_for_study(url: str) -> optuna.Study:
    """Return the study once it has a trial."""
    for _ in range(600):
        try:
            study = load_study(url, "motemo")
            if study.get_trials(deepcopy=False):
                return study
        except motemo.MotemoError:
            pass
        time.sleep(0.1)
    raise SystemExit("the search did not begin")


def watched(url: str, pids: set[int], clients: int) -> tuple[list[str], dict[str, Any]]:
    """Follow a search until it has ended; return what went wrong, and figures."""
    faults: list[str] = []
    with dashboard(url, faults) as page:
        asking, ended = [Client(page) for _ in range(clients)], threading.Event()
        threads = [threading.Thread(target=c.ask_until, args=(ended,)) for c in asking]
        for thread in threads:
            thread.start()
        faults += wait_for(pids)
        ended.set()
        for thread in threads:
            thread.join()
        time.sleep(SETTLE_SECONDS)
        shown = Client(page).study()["trials"]
    faults += [fault for client in asking for fault in client.faults]
    trials = load_study(url, "motemo").get_trials(deepcopy=False)
    if [t["state"].upper() for t in shown] != [t.state.name for t in trials]:
        faults.append(f"the dashboard shows {len(shown)} trials, the study has {len(trials)}")
    faults += [f"trial {t['number']} has no note" for t in shown if not t["note"]["body"]]
    seconds = sorted(second for client in asking for second in client.seconds)
    return faults, {
        "requests": len(seconds),
        "of these": dict(sum((client.answers for client in asking), Counter())),
        "median seconds of an answer": round(seconds[len(seconds) // 2], 3),
        "longest": round(seconds[-1], 2),
    }


def wait_for(pids: set[int]) -> list[str]:
    """Wait for processes of the search; return which failed."""
    ended = {pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}
    return [f"a process of the search ended with {status}" for status in ended.values() if status]


def check(kind: str, arguments: argparse.Namespace) -> list[str]:
    """Run one case and print its figures; return what went wrong."""
    workers = CASES[kind]
    with tempfile.TemporaryDirectory() as name, storages(kind, Path(name)) as create:
        url, log = create("study"), Path(name) / "said.txt"
        pids = {start(url, workers, log, arguments) for _ in range(workers)}
        study = wait_for_study(url)
        alone: dict[str, Any] = {}
        faults, figures = (
            (wait_for(pids), alone)
            if arguments.alone
            else watched(url, pids, clients=arguments.clients)
        )
        states = Counter(trial.state for trial in study.get_trials(deepcopy=False))
        if states[TrialState.FAIL]:
            faults.append(f"{states[TrialState.FAIL]} trials failed")
        if "locked" in log.read_text().lower():
            faults.append(f"the search speaks of a lock:\n{log.read_text()[-2000:]}")
        attributes = study._storage.get_study_system_attrs(study._study_id)
        faults += [f"attribute {k}" for k in attributes if k.startswith(("dashboard", "artifacts"))]
    print(f"{kind}, {workers} at work, {arguments.minutes:g} minutes")
    for title, figure in {"trials": {s.name: n for s, n in states.items()}, **figures}.items():
        print(f"  {title}: {figure}")
    for fault in faults:
        print(f"  WRONG: {fault}")
    return faults


def main() -> int:
    """Run the check and print what it found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--storage", choices=[*CASES], action="append", help="repeat it")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each search")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one evaluation, on average")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--sampler", default="nsga2")
    parser.add_argument("--alone", action="store_true", help="without the dashboard")
    arguments = parser.parse_args()
    found = [check(kind, arguments) for kind in arguments.storage or ("sqlite", "postgresql")]
    faults = sum(map(len, found))
    print(f"{faults} faults" if faults else "no failed trial, no locked storage")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
