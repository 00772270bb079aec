"""What every command does alike: --quiet, --json, and progress."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version

import pytest
import typer
from command_line import Run, run

from motemo.cli.app import app
from motemo.cli.console import be_quiet
from motemo.cli.progress_bar import progress_bar

__all__ = ["run"]
SILENT = {"list"}
"""Commands that have nothing to say beside their result."""


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the options of every command."""
    stack = [("", typer.main.get_command(app))]
    while stack:
        name, command = stack.pop()
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name.strip(), [option for p in command.params for option in p.opts]
        else:
            stack += [(f"{name} {part}", one) for part, one in inner.items()]


@pytest.fixture(autouse=True)
def _heard_again() -> Iterator[None]:
    yield
    be_quiet(False)


@pytest.mark.parametrize(("name", "options"), sorted(commands()))
def test_every_command_can_be_quiet(name: str, options: list[str]) -> None:
    assert ("--quiet" in options) != (name in SILENT)


def test_help_flows_and_examples_stay(run: Run) -> None:
    shown = run("measure", "--help").out
    text = " ".join(shown.split())
    assert "it measures latency_ms too. Data are read only if an objective trains" in text
    lines = [line.strip() for line in shown.splitlines()]
    assert "motemo measure --objective latency_ms --objective mote \\" in lines
    assert not any(line.endswith(" Data") for line in lines)


def test_version(run: Run) -> None:
    shown = run("--version")
    assert (shown.status, shown.out) == (0, f"motemo {version('motemo')}\n")


def test_quiet_leaves_the_result_alone(run: Run) -> None:
    search = ("search", "--objective", "params", "--objective", "flops", "--trials", "3")
    loud = run(*search, "--json", "--out", "loud")
    quiet = run(*search, "--json", "--out", "quiet", "--quiet")
    assert loud.status == quiet.status == 0
    assert "wrote" in loud.err
    assert quiet.err == ""
    members = [json.loads(each.out)["members"] for each in (loud, quiet)]
    assert members[0] == members[1]
    assert members[0]


def test_quiet_does_not_hide_errors(run: Run) -> None:
    failed = run("front", "nowhere", "--quiet")
    assert failed.status == 2
    assert "nowhere" in failed.err


def test_progress_in_a_log_is_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("counting", resumes=True) as tell:
        for done in range(20, 101):
            tell(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "counting: 20 of 100 are there already"
    assert [line.split(",")[0] for line in lines[1:]] == [
        f"counting: {done}/100" for done in range(30, 101, 10)
    ]
    assert lines[-1].endswith("0:00:00 left")
