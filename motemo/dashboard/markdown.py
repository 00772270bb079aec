"""Markdown in which what others wrote stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_GAP = "&emsp;"  # the dashboard leaves none between columns
_BACKTICKS = re.compile("`+")


def plain(text: str) -> str:
    """Return text for one line of Markdown that none of its characters changes."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def code_block(text: str) -> str:
    """Return a block of code; its fence is longer than any run of backticks in the text."""
    fence = "`" * max([3, *(len(run) + 1 for run in _BACKTICKS.findall(text))])
    return f"{fence}text\n{text}\n{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the first column is aligned to the left, all others to the right.

    Args:
        header: Heads of the columns, Markdown.
        rows: Cells, Markdown without line ends.
    """
    rule = ["---", *("---:" for _ in header[1:])]
    spaced = ([first, *(f"{_GAP}{cell}" for cell in others)] for first, *others in (header, *rows))
    head, *body = (f"| {' | '.join(cells)} |" for cells in spaced)
    return "\n".join((head, f"| {' | '.join(rule)} |", *body))
