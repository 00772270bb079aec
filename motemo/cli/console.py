"""What the command line says, on standard output and standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from motemo.front import Front

out_console = Console(emoji=False)
err_console = Console(stderr=True, emoji=False)


def note(text: str) -> None:
    """Say what was done, on standard error."""
    err_console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def show(front: Front) -> None:
    """Print a front on standard output."""
    from motemo.rendering.table import print_front

    print_front(front, out_console)


def fail(message: str, status: int) -> None:
    """Say what went wrong and end with a status."""
    err_console.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(status)
