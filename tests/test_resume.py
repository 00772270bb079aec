"""A killed search ends like one that was never interrupted: the command that checks it, briefly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent.parent / "scripts" / "check_resume.py"

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes"),
    pytest.mark.slow,
]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--trials", "24", "--sampler", "motemo"],
        ["--sampler", "nsga2"],
        ["--sampler", "random"],
        ["--latency"],
        ["--storage", "journal"],
        ["--storage", "postgresql"],
    ],
    ids=lambda arguments: arguments[-1].lstrip("-"),
)
def test_killed_search_ends_like_an_uninterrupted_one(arguments: list[str]) -> None:
    completed = subprocess.run(
        [sys.executable, str(CHECK), "--studies", "1", "--trials", "14", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "1 of 1 killed studies" in completed.stdout
