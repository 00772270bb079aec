"""Check that every registered space can be searched from the command line, as it is by default.

    python scripts/check_searches.py --data digits --data rd.npz --trials 4

For each space and each data it runs `motemo search` in a process of its own, without any further
option, and prints how many architectures were evaluated, the processor seconds of all its processes
and the memory of the largest one. Exit status 1 if a search fails or evaluates less than it should.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from motemo.registry import SPACES


class Searched(NamedTuple):
    """What a search took, and how many it evaluated, or why it failed."""

    evaluated: int
    processor_seconds: float
    memory_gb: float
    failure: str


def search(space: str, data: str, trials: int, out: Path) -> Searched:
    """Search a space in a process of its own."""
    command = [sys.executable, "-m", "motemo", "search", "--space", space, "--data", data]
    command += ["--trials", str(trials), "--out", str(out), "--json", "--quiet"]
    with (out.parent / "front.json").open("w+") as front, (out.parent / "err").open("w+") as errors:
        process = subprocess.Popen(command, stdout=front, stderr=errors)  # noqa: S603  (no shell)
        _, status, usage = os.wait4(process.pid, 0)
        front.seek(0)
        errors.seek(0)
        evaluated = json.load(front)["evaluated_count"] if status == 0 else 0
        failure = errors.read().strip() if status else ""
    seconds = usage.ru_utime + usage.ru_stime
    return Searched(evaluated, seconds, usage.ru_maxrss / 1e6, failure)


def main() -> None:
    """Search every space on every data set that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", action="append", help="repeat it; default: all")
    parser.add_argument("--data", action="append", help="repeat it; default: digits")
    parser.add_argument("--trials", type=int, default=4)
    arguments = parser.parse_args()

    print(f"{'space':16} {'data':20} evaluated  CPU s  GB")
    short = False
    for data in arguments.data or ["digits"]:
        for space in arguments.space or [entry.name for entry in SPACES]:
            with TemporaryDirectory() as folder:
                found = search(space, data, arguments.trials, Path(folder) / "run")
            short |= found.evaluated < arguments.trials
            figures = f"{found.evaluated:9} {found.processor_seconds:6.0f} {found.memory_gb:4.1f}"
            print(f"{space:16} {Path(data).name:20} {figures}  {found.failure}", flush=True)
    sys.exit(int(short))


if __name__ == "__main__":
    main()
