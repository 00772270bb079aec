"""What every rendering says about a front besides its numbers: headline, settings, best, line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from motemo.front import Axis, Front, Member
from motemo.objective import Direction
from motemo.pareto import non_dominated
from motemo.space import Json

_FACTS = ("space", "data", "device", "sampler", "seed")
_LARGEST_STRETCH = 1.6
NOTHING_YET = "No architecture has been evaluated yet."


def headline(front: Front) -> str:
    """Say how many architectures are on the front, of how many."""
    if not front.evaluated:
        return NOTHING_YET
    verb = "is" if len(front) == 1 else "are"
    noun = "architecture" if len(front.evaluated) == 1 else "architectures"
    return f"{len(front)} of {len(front.evaluated)} evaluated {noun} {verb} on the front."


def constraint_note(front: Front) -> str:
    """Say which constraints hold, or that none of the architectures keeps them."""
    bounds = ", ".join(str(constraint) for constraint in front.constraints)
    if not front.feasible:
        return (
            f"Infeasible: none keeps {bounds}. Shown are trade-offs between the violation and the "
            "objectives."
        )
    return f"Constraints: {bounds}." if bounds else ""


def keeps_constraints(member: Member, front: Front) -> bool:
    """Return whether an architecture keeps every constraint of the front."""
    return all(c.violation(member.measurements[c.objective].value) <= 0 for c in front.constraints)


def better_word(axis: Axis) -> str:
    """Return `higher` or `lower`: where the better values of an objective are."""
    return "higher" if axis.direction is Direction.MAXIMIZE else "lower"


def best_value(axis: Axis, members: Sequence[Member]) -> float | None:
    """Return the best value of one objective, None without members."""
    values = [member.measurements[axis.name].value for member in members]
    choose = max if axis.direction is Direction.MAXIMIZE else min
    return choose(values, default=None)


def staircase(members: Sequence[Member], x: Axis, y: Axis) -> list[Member]:
    """Return the members that no other one dominates in two objectives, best `x` first.

    Joined by steps, along x and then along y, they bound what can be had in this plane.
    """
    points = [[m.measurements[a.name].value for a in (x, y)] for m in members]
    mask = non_dominated(np.array(points).reshape(-1, 2), [x.direction, y.direction])
    sign = -1 if x.direction is Direction.MAXIMIZE else 1
    kept = [member for member, keep in zip(members, mask, strict=True) if keep]
    return sorted(kept, key=lambda m: sign * m.measurements[x.name].value)


def best_so_far(front: Front, axis: Axis) -> list[Member]:
    """Return the architectures that were the best in one objective when they were evaluated."""
    best: list[Member] = []
    for member in front.evaluated:
        eligible = not front.feasible or keeps_constraints(member, front)
        if eligible and (not best or best_value(axis, [*best, member]) != best_value(axis, best)):
            best.append(member)
    return best


def view(values: Sequence[float], *, front: Sequence[float]) -> tuple[float, float] | None:
    """Return the range of one objective that is worth looking at, None without values.

    It holds the whole front and nearly everything else; a few architectures that failed to learn
    or are absurdly dear shall not squeeze the rest into a corner.
    """
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return None
    inner = [*np.quantile(finite, (0.05, 0.95)), *(value for value in front if np.isfinite(value))]
    low, high = float(min(inner)), float(max(inner))
    span = (high - low) or abs(high) * 0.1 or 1.0
    if max(finite) - min(finite) <= span * _LARGEST_STRETCH:
        low, high = min(low, *finite), max(high, *finite)
    margin = ((high - low) or span) * 0.08
    return low - margin, high + margin


def facts(settings: Mapping[str, Json] | None) -> list[tuple[str, str]]:
    """Return the few settings that name a search, as text: space, data, sampler, seed, ..."""
    given = {**_from_objectives(settings or {}), **(settings or {})}
    return [(key, describe(given[key])) for key in _FACTS if given.get(key) is not None]


def _from_objectives(settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return the data and the device that the objectives name in their identities."""
    found: dict[str, Json] = {}
    objectives = settings.get("objectives")
    for objective in objectives if isinstance(objectives, list) else []:
        identity = objective.get("identity") if isinstance(objective, dict) else None
        for key in ("data", "device"):
            part = identity.get(key) if isinstance(identity, dict) else None
            if isinstance(part, dict) and "name" in part:
                processor = part.get("processor")
                found[key] = f"{part['name']} ({processor})" if processor else part["name"]
    return found


def all_settings(settings: Mapping[str, Json] | None) -> list[tuple[str, str]]:
    """Return every setting as text, nested ones by dotted names."""
    rows: list[tuple[str, str]] = []
    for key, value in (settings or {}).items():
        if isinstance(value, dict) and value:
            rows += [(f"{key}.{name}", text) for name, text in all_settings(value)]
        else:
            rows.append((key, describe(value)))
    return rows


def describe(value: Json) -> str:
    """Return a setting as text; an object by its name if it has one."""
    if isinstance(value, dict):
        name = value.get("name")
        inner = ", ".join(f"{key}={describe(item)}" for key, item in value.items())
        return describe(name) if name is not None else inner or "none"
    if isinstance(value, list):
        return ", ".join(map(describe, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
