"""What the script of a page reads about a front; numbers are in the units that people read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from motemo.front import Axis, Front, Member
from motemo.rendering.page import TRIAL
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

_Object: TypeAlias = dict[str, Json]


def front_payload(front: Front) -> _Object:
    """Return axes, all evaluated points, the members among them, and the lines that join them."""
    by_name = scales(front)
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    members = [index[member.trial] for member in front]
    on_front = set(members)
    return {
        "trial": TRIAL,
        "axes": [_axis(axis, front, scale=by_name[axis.name]) for axis in front.axes],
        "points": [
            _point(member, i, front, scales=by_name) | {"front": i in on_front}
            for i, member in enumerate(front.evaluated)
        ],
        "members": list[Json](members),
        "line": {key: [index[m.trial] for m in found] for key, found in _lines(front).items()},
        "bounds": [
            {"axis": k, "value": number(c.bound / by_name[a.name].factor)}
            for c in front.constraints
            for k, a in enumerate(front.axes)
            if c.objective == a.name
        ],
    }


def number(value: float) -> float | None:
    """Return a number as JSON can write it: None if it is not finite."""
    return float(value) if math.isfinite(value) else None


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
        "values": [number(m.value / scale.factor) for m, scale in found],
        "below": [number(max(0.0, m.value - m.low) / scale.factor) for m, scale in found],
        "above": [number(max(0.0, m.high - m.value) / scale.factor) for m, scale in found],
        "texts": [[scale.number(m.value), scale.spread(m)] for m, scale in found],
    }
