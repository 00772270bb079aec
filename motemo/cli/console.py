"""What the command line says, on standard output and standard error."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from motemo.front import Front

out_console = Console(emoji=False)
err_console = Console(stderr=True, emoji=False)

_PREPARING = ("motemo.objectives.hybrid", "motemo.objectives.mote")
"""Modules that say when they score a reference, or fit constants to a space."""


def note(text: str) -> None:
    """Say what was done, on standard error."""
    err_console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def show_preparations() -> None:
    """Say when an objective prepares itself, which can take minutes before the first result."""
    for name in _PREPARING:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        if not any(isinstance(handler, _Notes) for handler in logger.handlers):
            logger.addHandler(_Notes())


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def show(front: Front) -> None:
    """Print a front on standard output."""
    from motemo.rendering.table import print_front

    print_front(front, out_console)


def fail(message: str, status: int) -> None:
    """Say what went wrong and end with a status."""
    err_console.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(status)
