"""The part of a report with drawn architectures."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import quote

import numpy as np

from motemo.errors import MotemoError
from motemo.front import Front, Member
from motemo.pareto import ranked
from motemo.rendering.drawing import architecture_svg
from motemo.rendering.quantities import Scale, label

_MOST_DRAWN = 48
_DRAWN_AT_ONCE = 12
_DRAWN_BYTES = 1_500_000
_OF_A_SPACE = (MotemoError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError)
"""What a space of one's own may raise when it is asked to describe an architecture."""
_PLAIN_IN_URL = " !$()*+,-./:;=?@[]_~{}|^"


def drawings_html(front: Front, scales: Mapping[str, Scale]) -> str:
    """Return drawings of the members, of the most telling ones if there are many."""
    if not front.members:
        return ""
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    figures: list[str] = []
    size = 0
    for member in _telling(front, _MOST_DRAWN):
        figure = _figure(member, index[member.trial], front, scales, hide=len(figures))
        size += len(figure)
        if size > _DRAWN_BYTES:
            break
        figures.append(figure)
    some = len(figures) < len(front)
    which = f"{len(figures)} of {len(front)} members, spread over the front" if some else "All"
    rest = len(figures) - _DRAWN_AT_ONCE
    more = f'<button type="button" class="more" id="draw-more">Show {rest} more</button>'
    return (
        '<section id="drawings"><h2>The architectures</h2>'
        f'<p class="hint">{which}{"" if some else " members of the front"}.</p>'
        f'<div class="gallery">{"".join(figures)}</div>{more if rest > 0 else ""}</section>'
    )


def _telling(front: Front, most: int) -> list[Member]:
    """Return members in the order of the front; if there are many, those spread most widely."""
    if len(front) <= most:
        return list(front)
    values = np.array([[m.measurements[a.name].value for a in front.axes] for m in front])
    rows = ranked(values, [axis.direction for axis in front.axes])[:most]
    return [front.members[row] for row in sorted(rows.tolist())]


def _figure(
    member: Member, index: int, front: Front, scales: Mapping[str, Scale], *, hide: int
) -> str:
    genotype = member.architecture.genotype
    try:
        svg = quote(architecture_svg(member.architecture), safe=_PLAIN_IN_URL)
    except _OF_A_SPACE as error:
        drawn = f'<p class="undrawn">This could not be drawn: {escape(str(error))}</p>'
    else:
        drawn = f'<img src="data:image/svg+xml,{svg}" alt="{escape(f"Drawing of {genotype}")}">'
    values = " · ".join(
        f"{label(a, scales[a.name]).split(' (')[0]} {scales[a.name].number(m.value)} "
        f"{scales[a.name].unit}".rstrip()
        for a in front.axes
        for m in [member.measurements[a.name]]
    )
    hidden = ' class="folded"' if hide >= _DRAWN_AT_ONCE else ""
    return (
        f'<figure data-index="{index}"{hidden}>{drawn}'
        f'<figcaption><button type="button">trial {member.trial}</button><br>{escape(values)}'
        "</figcaption></figure>"
    )
