"""Live progress of a search: how much is done, the best front so far, the time left."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from motemo.front import Front
from motemo.rendering.table import front_table

_SKIPPED = ("duplicate", "infeasible", "invalid", "skipped", "stopped", "failed", "abandoned")
_ROWS = 12
_QUIET_SHARE = 0.1
_QUIET_SECONDS = 15.0


class LiveProgress:
    """A live display on a terminal; elsewhere, a line for each tenth, and every 15 seconds.

    A context manager; `update` before entering it is an error of the caller.

    Attributes:
        started: Whether it has been entered.
    """

    def __init__(self, console: Console) -> None:
        self.started = False
        self._console = console
        self._live: Live | None = None
        self._bar = Progress(
            TextColumn("[bold]searching"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", style="dim"),
            console=console,
        )
        self._task = self._bar.add_task("search", left="")
        self._printed = -1.0
        self._printed_at = time.monotonic()

    def __enter__(self) -> LiveProgress:
        self.started = True
        if self._console.is_terminal:
            self._live = Live(console=self._console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the live display off the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(
        self,
        front: Front,
        *,
        wanted: int,
        trials: Counter[str],
        seconds_left: float | None,
        stopped_early: str | None,
    ) -> None:
        """Show the progress so far.

        Args:
            front: The front so far.
            wanted: Completed evaluations asked for.
            trials: Trials by what became of them.
            seconds_left: Estimated seconds to go, if known.
            stopped_early: Why the search ended short of what was asked for.
        """
        done = trials["completed"] + trials["stopped"]
        left = "" if seconds_left is None else f"{timedelta(seconds=round(seconds_left))} left"
        skipped = ", ".join(f"{trials[name]} {name}" for name in _SKIPPED if trials[name])
        status = f"{len(front)} on the front" + (f"; {skipped}" if skipped else "")
        if self._live is not None:
            self._bar.update(self._task, completed=done, total=max(wanted, done), left=left)
            parts: list[RenderableType] = [self._bar, Text(status, style="dim")]
            if 0 < len(front) <= _ROWS:
                parts.append(front_table(front, architectures=False))
            self._live.update(Group(*parts))
        elif self._is_news(done / wanted):
            self._printed, self._printed_at = done / wanted, time.monotonic()
            self._console.print(
                f"{done}/{wanted} evaluated, {status}" + (f", {left}" if left else ""),
                highlight=False,
            )
        if stopped_early is not None:
            note = f"The search ended early: {stopped_early}."
            self._console.print(note, style="yellow", markup=False, highlight=False)

    def _is_news(self, share: float) -> bool:
        """Whether a tenth more is done than at the last line, everything, or time has passed."""
        late = time.monotonic() - self._printed_at >= _QUIET_SECONDS
        return late or share >= self._printed + _QUIET_SHARE or share >= 1 > self._printed
