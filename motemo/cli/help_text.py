"""Help texts from docstrings, as a terminal of any width wraps them."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def help_text(command: Callable[..., object] | None) -> str:
    """Return a command's docstring with each paragraph in one line, and examples as they are.

    Typer keeps the line breaks of a docstring and wraps what is longer than the terminal, so that
    text that is broken at 100 columns would look ragged in 80.

    Args:
        command: The command; indented lines of its docstring are examples.
    """
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else p.replace("\n", " ") for p in paragraphs)
