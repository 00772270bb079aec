"""How far a long command is, with the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

from motemo.cli.console import note, note_console

Tell: TypeAlias = Callable[[int, int], None]
"""Takes how much is done and how much there is."""

_TENTHS = 10


@contextmanager
def progress_bar(what: str, *, resumes: bool = False) -> Iterator[Tell]:
    """Show a bar on a terminal, elsewhere a line for each tenth; both with the time left.

    Args:
        what: What goes on: `measuring`.
        resumes: Whether the first call comes before any work, and says what is done already: that
            is no sign of how fast it goes.
    """
    if note_console.is_terminal:
        with _bar(what, resumes) as tell:
            yield tell
    else:
        yield _Lines(what, resumes)


@contextmanager
def _bar(what: str, resumes: bool) -> Iterator[Tell]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=note_console, transient=True, speed_estimate_period=600)
    task = bar.add_task(what, total=None)
    first = resumes

    def tell(done: int, wanted: int) -> None:
        nonlocal first
        if first:
            _say_done(what, done, wanted)
            bar.reset(task, total=wanted, completed=done)
        else:
            bar.update(task, completed=done, total=wanted)
        first = False

    with bar:
        yield tell


def _say_done(what: str, done: int, wanted: int) -> None:
    if done:
        note(f"{what}: {done:,} of {wanted:,} are there already")


class _Lines:
    """Notes for a log: one for each tenth."""

    def __init__(self, what: str, resumes: bool) -> None:
        self._what = what
        self._before: int | None = None if resumes else 0
        self._shown = 0
        self._started = time.monotonic()

    def __call__(self, done: int, wanted: int) -> None:
        if self._before is None:
            _say_done(self._what, done, wanted)
            self._before, self._shown = done, _TENTHS * done // max(1, wanted)
        tenth = _TENTHS * done // max(1, wanted)
        if tenth > self._shown:
            self._shown = tenth
            seconds = time.monotonic() - self._started
            left = round(seconds * (wanted - done) / max(1, done - self._before))
            note(f"{self._what}: {done:,}/{wanted:,}, {timedelta(seconds=left)} left")
