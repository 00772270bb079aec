"""Every example runs, as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
SAYS = {
    "quickstart": "ready to be trained",
    "optuna_study": "on motemo's front",
    "pymoo_problem": "trained architectures are on the front",
    "own_loss": "denoisers to train",
    "own_space": "each equal to its torch network",
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert SAYS[example.stem] in completed.stdout


def test_every_example_is_expected_to_say_something() -> None:
    assert {example.stem for example in EXAMPLES} == set(SAYS)
