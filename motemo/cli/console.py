"""What the command line says, on standard output and standard error."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from motemo.front import Front

out_console = Console(emoji=False)
err_console = Console(stderr=True, emoji=False)
note_console = Console(stderr=True, emoji=False)
"""For notes and progress: what --quiet silences."""

_PREPARING = ("motemo.objectives.hybrid", "motemo.objectives.mote")
"""Modules that say when they score a reference, or fit constants to a space."""


def note(text: str) -> None:
    """Say what was done, on standard error."""
    note_console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """Say what to look out for, on standard error."""
    err_console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def be_quiet(quiet: bool) -> bool:
    """Silence notes and progress, or let them be heard; return which."""
    note_console.quiet = quiet
    return quiet


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


def write_json(document: object) -> None:
    """Write a document to standard output; what is no number becomes null."""
    text = json.dumps(_without_nan(document), indent=2, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def _without_nan(document: object) -> object:
    if isinstance(document, Mapping):
        return {str(name): _without_nan(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_without_nan(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def show(front: Front) -> None:
    """Print a front on standard output."""
    from motemo.rendering.table import print_front

    print_front(front, out_console)


def fail(message: str, status: int) -> None:
    """Say what went wrong and end with a status."""
    err_console.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(status)
