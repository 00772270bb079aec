"""Genes in a column: name, where the value stands among its choices, value."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Setting, Settings
from motemo.rendering.svg import Piece, escaped, text, text_width

_ROW, _GAP, _DOT = 26.0, 18.0, 13.0
_RULE, _CHOSEN = 'stroke="currentColor" stroke-opacity=".14"', "#3a7fc8"
_BOLD = 1.1
"""How much wider bold letters are."""
_MOST_ROWS = 16
_MOST_DOTS = 9
"""More choices than that are a line with one dot."""


def draw_settings(settings: Settings) -> Piece:
    """Return the genes in one column, or many of them in several; the title is not drawn."""
    rows = settings.settings
    columns = -(-len(rows) // _MOST_ROWS)
    each = -(-len(rows) // max(columns, 1))
    drawn, x, height = "", 0.0, 0.0
    for first in range(0, len(rows), max(each, 1)):
        column = _draw_column(rows[first : first + each])
        drawn += f'<g transform="translate({x:.1f} 0)">{column.elements}</g>'
        x += column.width + 2 * _GAP
        height = max(height, column.height)
    return Piece(drawn, max(x - 2 * _GAP, 0.0), height)


def _draw_column(rows: Sequence[Setting]) -> Piece:
    names = max(text_width(row.name) for row in rows) + _GAP
    values = names + max(_scale_width(row) for row in rows) + _GAP
    width = values + _BOLD * max(text_width(row.value) for row in rows)
    drawn = []
    for number, row in enumerate(rows):
        y = (number + 0.5) * _ROW
        choices = escaped(", ".join(row.choices))
        drawn += [
            f'<path {_RULE} d="M0 {number * _ROW:.1f}h{width:.1f}"/>' if number else "",
            f"<g><title>{escaped(row.name)}: {escaped(row.value)} of {choices}</title>",
            text(0, y, row.name, anchor="start"),
            _scale(row, names, y),
            text(values, y, row.value, style="name", anchor="start"),
            "</g>",
        ]
    return Piece("".join(drawn), width, len(rows) * _ROW)


def _scale_width(row: Setting) -> float:
    return _DOT * min(len(row.choices), _MOST_DOTS)


def _scale(row: Setting, x: float, y: float) -> str:
    """Return a dot for each choice, or for many a line, and a mark where the value is."""
    count, width = len(row.choices), _scale_width(row)
    step = width / count
    places = [x + (n + 0.5) * step for n in range(count)]
    dots = [f'<circle cx="{place:.1f}" cy="{y:.1f}" r="3" opacity=".22"/>' for place in places]
    if count > _MOST_DOTS:
        dots = [f'<path {_RULE} d="M{x:.1f} {y:.1f}h{width:.1f}"/>']
    chosen = places[row.choices.index(row.value)]
    return f'{"".join(dots)}<circle cx="{chosen:.1f}" cy="{y:.1f}" r="5" fill="{_CHOSEN}"/>'
