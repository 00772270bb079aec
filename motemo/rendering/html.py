"""A front as one self-contained, interactive page. The one file that imports plotly.

The page holds plotly.js itself and loads nothing. Its content security policy allows no network
at all and no script but the two that it was written with, so that even a genotype or a setting
that looks like a script stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TypeAlias

from plotly.offline import get_plotlyjs

from motemo.front import Axis, Front, Member
from motemo.rendering.page import (
    TRIAL,
    header_html,
    parallel_html,
    scatter_html,
    settings_html,
    table_html,
)
from motemo.rendering.page_script import SCRIPT
from motemo.rendering.page_style import STYLE
from motemo.rendering.quantities import Scale, fold, label, scales
from motemo.rendering.summary import (
    best_so_far,
    best_value,
    better_word,
    keeps_constraints,
    staircase,
    view,
)
from motemo.space import Json

_HOVER_CHARACTERS = 40
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}

_Object: TypeAlias = dict[str, Json]


def to_html(front: Front) -> str:
    """Return the page: scatter plot of any two objectives, parallel coordinates, table, settings.

    Works offline in any current browser; about 5 MB, nearly all of it plotly.js.
    """
    by_name = scales(front)
    title = f"Pareto front: {', '.join(axis.name for axis in front.axes)}"
    body = (
        header_html(front),
        scatter_html(front, by_name),
        parallel_html(front),
        table_html(front, by_name),
        settings_html(front),
    )
    scripts = (str(get_plotlyjs()), SCRIPT)
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            f'content="{escape(_content_security_policy(scripts))}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>",
            *body,
            "</main>",
            f'<script type="application/json" id="payload">{_embed(_payload(front))}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        )
    )


def _content_security_policy(scripts: Sequence[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _embed(content: _Object) -> str:
    """Return JSON that cannot end the script element it stands in; it is plain ASCII."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character, code in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, code)
    return text


def _payload(front: Front) -> _Object:
    """Return what the script draws; numbers are in the units that people read."""
    by_name = scales(front)
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    members = [index[member.trial] for member in front]
    return {
        "trial": TRIAL,
        "axes": [_axis(axis, front, scale=by_name[axis.name]) for axis in front.axes],
        "points": [
            _point(member, i, front, scales=by_name) | {"front": i in set(members)}
            for i, member in enumerate(front.evaluated)
        ],
        "members": list[Json](members),
        "line": {key: [index[m.trial] for m in found] for key, found in _lines(front).items()},
        "bounds": [
            {"axis": k, "value": _number(c.bound / by_name[a.name].factor)}
            for c in front.constraints
            for k, a in enumerate(front.axes)
            if c.objective == a.name
        ],
    }


def _lines(front: Front) -> dict[str, list[Member]]:
    """Return the staircase in each plane, and the best so far over trials, by axis indices."""
    lines = {
        f"{i},{j}": staircase(front.members, x, y)
        for i, x in enumerate(front.axes)
        for j, y in enumerate(front.axes)
        if i != j
    }
    return lines | {f"{TRIAL},{j}": best_so_far(front, y) for j, y in enumerate(front.axes)}


def _axis(axis: Axis, front: Front, *, scale: Scale) -> _Object:
    values = [m.measurements[axis.name].value for m in front]
    best = best_value(axis, front.members)
    worst = min(values, default=None) if best == max(values, default=None) else max(values)
    ends = [
        e for m in front for e in (m.measurements[axis.name].low, m.measurements[axis.name].high)
    ]
    shown = view([m.measurements[axis.name].value for m in front.evaluated], front=ends)
    return {
        "name": axis.name,
        "short": label(axis, scale).split(" (")[0],
        "label": label(axis, scale),
        "unit": scale.unit,
        "better": better_word(axis),
        "view": None if shown is None else [end / scale.factor for end in shown],
        "best": "" if best is None else scale.number(best),
        "worst": "" if worst is None else scale.number(worst),
    }


def _point(member: Member, index: int, front: Front, *, scales: Mapping[str, Scale]) -> _Object:
    found = [(member.measurements[axis.name], scales[axis.name]) for axis in front.axes]
    return {
        "index": index,
        "trial": member.trial,
        "arch": member.architecture.genotype,
        "lines": list[Json](fold(member.architecture.genotype, _HOVER_CHARACTERS)),
        "keeps": keeps_constraints(member, front),
        "values": [_number(m.value / scale.factor) for m, scale in found],
        "below": [_number(max(0.0, m.value - m.low) / scale.factor) for m, scale in found],
        "above": [_number(max(0.0, m.high - m.value) / scale.factor) for m, scale in found],
        "texts": [scale.full(m) for m, scale in found],
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
