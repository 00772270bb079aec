"""Pieces of SVG: boxes, texts and lines, everything escaped, and how wide a text is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias

from motemo.drawing import Kind, Operation

FONT = 13.0
"""Height of the letters of a box, in pixels; `small` ones have 11."""
SMALL = 11.0
_WIDTHS = {0.36: "iljI.,:;|'! ", 0.43: "tfr()[]/-", 0.72: "ABCDEFGHJKLNOPQRSTUVXYZ", 1.0: "mwMW@%"}
_WIDTH_OF = {letter: width for width, letters in _WIDTHS.items() for letter in letters}
"""Widths of letters, in their height; most have 0.64."""
_FULL_WIDTH = 0x2E80
"""From this character on, letters may be as wide as they are high."""
_MOST = 64
"""Letters of a text that are shown; the rest is in its tooltip."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INK = "#14202b"
"""Text on colours, which are the same on light and on dark ground."""
_COLOURS: Mapping[Kind, str] = {
    "conv_1": "#dcebfa",
    "conv_3": "#b3d7f8",
    "conv_5": "#80b5ee",
    "conv_7": "#5191d6",
    "separable_3": "#b4e2c1",
    "separable_5": "#74c690",
    "dilated_3": "#e3ccf5",
    "dilated_5": "#c49ae6",
    "attention": "#c7bdf7",
    "average": "#ffe08a",
    "maximum": "#ffbf80",
    "skip": "#dfe3e8",
}
_PAINTS: Mapping[Kind, str] = {
    "plain": 'fill="none" stroke="currentColor" stroke-opacity=".45"',
    "node": 'fill="currentColor" fill-opacity=".09" stroke="currentColor" stroke-opacity=".28"',
    "none": 'fill="none" stroke="currentColor" stroke-opacity=".45" stroke-dasharray="3 3"',
}
"""Boxes in the colour of the text around the picture."""
Style: TypeAlias = Literal["", "small", "name", "title"]
_STYLES: Mapping[Style, str] = {
    "": "",
    "small": ' font-size="11" opacity=".75"',
    "name": ' font-weight="600"',
    "title": ' font-size="11" font-weight="600" letter-spacing=".06em" opacity=".75"',
}
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Piece:
    """A part of a picture: SVG elements, and how many pixels they take from (0, 0)."""

    elements: str
    width: float
    height: float


def escaped(content: str) -> str:
    """Return a text as it stands in SVG; what no XML can hold is replaced."""
    return escape(_NOT_XML.sub("\ufffd", content))


def shortened(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"


def text_width(text: str, size: float = FONT) -> float:
    """Return how many pixels a text takes at most, in the wider of the common fonts."""
    return size * sum(
        _WIDTH_OF.get(letter, 1.0 if ord(letter) >= _FULL_WIDTH else 0.64)
        for letter in shortened(text)
    )


def text(x: float, y: float, content: str, *, style: Style = "", anchor: str = "middle") -> str:
    """Return a line of text whose middle is at height `y`."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em" text-anchor="{anchor}"{_STYLES[style]}>'
        f"{escaped(shortened(content))}</text>"
    )


def box(operation: Operation, x: float, y: float, *, width: float, height: float) -> str:
    """Return an operation as a rounded box around its label; `x`, `y` are its upper left."""
    paint = _PAINTS.get(operation.kind) or _solid(_COLOURS[operation.kind])
    ink = "" if operation.kind in _PAINTS else f' fill="{_INK}"'
    return (
        f'<g class="box {operation.kind}"{ink}>'
        f"<title>{escaped(operation.name or operation.label)}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{min(7.0, height / 2):.1f}" {paint}/>'
        f"{text(x + width / 2, y + height / 2, operation.label)}</g>"
    )


def lines(paths: str, *, faint: bool = False) -> str:
    """Return lines, such as those of `curve` and `snake`, in the colour of the text."""
    if not paths:
        return ""
    opacity = ".3" if faint else ".6"
    return (
        f'<g class="lines" fill="none" stroke="currentColor" stroke-width="1.3" '
        f'opacity="{opacity}">{paths}</g>'
    )


def curve(points: Sequence[Point]) -> str:
    """Return a line from left to right, level at each of its points, with an arrow at its end."""
    (x, y), *others = points
    path = f"M{x:.1f} {y:.1f}"
    for next_x, next_y in others:
        bend = (x + next_x) / 2
        if next_y == y:
            path += f"H{next_x:.1f}" if next_x > x else ""
        else:
            path += f"C{bend:.1f} {y:.1f} {bend:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}"
        x, y = next_x, next_y
    return f'<path d="{path}"/>{_arrow(x, y)}'


def snake(start: Point, end: Point, *, gap: float) -> str:
    """Return a line from the end of one row to the beginning of the next, through the gap.

    Args:
        start: Where the row ends.
        end: Where the next one begins, further down.
        gap: Height between the two at which the line goes back.
    """
    (x, y), (to_x, to_y) = start, end
    return (
        f'<path d="M{x:.1f} {y:.1f}h4q6 0 6 6V{gap - 6:.1f}q0 6 -6 6'
        f'H{to_x - 8:.1f}q-6 0 -6 6V{to_y - 6:.1f}q0 6 6 6h8"/>{_arrow(to_x, to_y)}'
    )


def _arrow(x: float, y: float) -> str:
    return (
        f'<path class="arrow" fill="currentColor" stroke="none" d="M{x:.1f} {y:.1f}l-6 -3.5v7z"/>'
    )


def _solid(colour: str) -> str:
    return f'fill="{colour}" stroke="{_INK}" stroke-opacity=".28"'
