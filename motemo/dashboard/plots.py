"""Plots of a search, as Plotly figures: the front with its spreads, and how the search went."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from motemo.front import Axis, Front, Member
from motemo.rendering.quantities import Scale, label, scales
from motemo.rendering.report_progress import Growth, growth_of
from motemo.rendering.summary import best_so_far, better_word
from motemo.space import Json

_FRONT, _FAINT = "#0072B2", "#9AA3AD"
_MOST_PAIRS = 3
_MOST_OBJECTIVES = 4
_DIGITS = 5
_NOT_IN_IDS = re.compile("[^A-Za-z0-9_.-]")


def plots(front: Front) -> dict[str, Json]:
    """Return figures by a name that can stand in an HTML id, most telling first.

    The first objective against each of the next, and the hypervolume over the evaluations; with
    one objective, the best value so far. Without a hypervolume where nothing keeps the bounds.
    """
    if not front.evaluated:
        return {}
    by_name = scales(front)
    first, *others = front.axes
    found = {
        f"front-{axis.name}": _plane(front, axis, first, by_name) for axis in others[:_MOST_PAIRS]
    }
    if not others:
        found[f"best-{first.name}"] = _best(front, first, by_name[first.name])
    elif len(front.axes) <= _MOST_OBJECTIVES:
        growth = growth_of(front)
        if isinstance(growth, Growth):
            found["hypervolume"] = _hypervolume(growth)
    return {_NOT_IN_IDS.sub("-", name): figure for name, figure in found.items()}


def _plane(front: Front, x: Axis, y: Axis, by_name: Mapping[str, Scale]) -> Json:
    members = {member.trial for member in front}
    rest = [member for member in front.evaluated if member.trial not in members]
    traces: list[Json] = [
        _points(rest, x, y, by_name) | {"name": "evaluated", "marker": {"color": _FAINT}},
        _points(front.members, x, y, by_name)
        | {
            "name": "front",
            "marker": {"color": _FRONT, "size": 6},
            "error_x": _bars(front.members, x, by_name[x.name]),
            "error_y": _bars(front.members, y, by_name[y.name]),
        },
    ]
    return _figure(
        traces,
        title=f"Front: {y.name} and {x.name}, with spreads (95 %)",
        x=_title(x, by_name[x.name]),
        y=_title(y, by_name[y.name]),
    )


def _points(
    members: Sequence[Member], x: Axis, y: Axis, by_name: Mapping[str, Scale]
) -> dict[str, Json]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": _values(members, x, by_name[x.name]),
        "y": _values(members, y, by_name[y.name]),
        "text": [f"trial {member.trial}" for member in members],
        "hovertemplate": "%{text}<br>%{x}, %{y}<extra></extra>",
    }


def _values(members: Sequence[Member], axis: Axis, scale: Scale) -> list[Json]:
    return [_short(m.measurements[axis.name].value / scale.factor) for m in members]


def _bars(members: Sequence[Member], axis: Axis, scale: Scale) -> Json:
    found = [member.measurements[axis.name] for member in members]
    return {
        "type": "data",
        "symmetric": False,
        "visible": any(m.low < m.high for m in found),
        "array": [_short((m.high - m.value) / scale.factor) for m in found],
        "arrayminus": [_short((m.value - m.low) / scale.factor) for m in found],
    }


def _best(front: Front, axis: Axis, scale: Scale) -> Json:
    best = best_so_far(front, axis)
    last = front.evaluated[-1].trial
    x: list[Json] = [*(member.trial for member in best), last]
    y = [*_values(best, axis, scale), *_values(best[-1:], axis, scale)]
    line: Json = {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"shape": "hv"}}
    return _figure([line], title="Best value so far", x="trial", y=_title(axis, scale))


def _hypervolume(growth: Growth) -> Json:
    line: Json = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [step.evaluations for step in growth.steps],
        "y": [_short(step.share) for step in growth.steps],
        "line": {"shape": "hv"},
    }
    return _figure(
        [line],
        title="Hypervolume: share of the box around the present front",
        x="evaluations",
        y="hypervolume (higher is better)",
    )


def _short(value: float) -> float:
    """Return a number with so few digits that a plot of thousands stays small."""
    return float(f"{value:.{_DIGITS}g}")


def _title(axis: Axis, scale: Scale) -> str:
    return f"{label(axis, scale)}, {better_word(axis)} is better"


def _figure(traces: list[Json], *, title: str, x: str, y: str) -> Json:
    return {
        "data": traces,
        "layout": {
            "title": {"text": escape(title)},
            "xaxis": {"title": {"text": escape(x)}},
            "yaxis": {"title": {"text": escape(y)}},
            "legend": {"orientation": "h", "y": 1.08},
        },
    }
