"""How the hypervolume grew over the evaluations of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motemo.front import Axis, Front, Member
from motemo.objective import Direction
from motemo.pareto import hypervolume, non_dominated
from motemo.rendering.summary import keeps_constraints

_MARGIN = 0.1
_MOST_STEPS = {4: 120, 5: 60}
_FEW_STEPS = 30


@dataclass(frozen=True)
class Step:
    """The hypervolume from one evaluation on.

    Attributes:
        evaluations: How many architectures had been evaluated then, this one included.
        share: Share of the box that the front dominated, 0 to 1. Higher is better.
    """

    evaluations: int
    share: float


@dataclass(frozen=True)
class Growth:
    """How the hypervolume grew.

    Attributes:
        steps: Where it changed; the most telling ones if there are many.
        best: The corner of the box that is best, by objective: the best values found.
        reference: The corner that is worst: a tenth beyond the worst values on the final front;
            of all that was evaluated, where the front has one value only.
        thinned: Whether there were more steps.
    """

    steps: tuple[Step, ...]
    best: dict[str, float]
    reference: dict[str, float]
    thinned: bool


def growth_of(front: Front) -> Growth | str:
    """Return how the hypervolume grew, or why that cannot be said.

    Only architectures that keep the constraints count. The box spans from the best values found
    to a little beyond the worst ones on the final front; steps are at most 120, fewer for more
    than four objectives, whose volumes are dear to compute.
    """
    if not front.feasible:
        return "No architecture keeps the constraints, so that there is nothing to grow."
    if not front.members or not front.axes:
        return "Nothing has been evaluated yet."
    signs = [-1.0 if a.direction is Direction.MAXIMIZE else 1.0 for a in front.axes]
    eligible = [(n, m) for n, m in enumerate(front.evaluated, 1) if keeps_constraints(m, front)]
    costs = _values([member for _, member in eligible], front.axes) * signs
    ends = _values(front.members, front.axes) * signs
    best, worst = ends.min(axis=0), ends.max(axis=0)
    worst = np.where(worst > best, worst, costs.max(axis=0))
    span = np.where(worst > best, worst - best, 1.0)
    scaled = (costs - best) / (span * (1 + _MARGIN))
    changes = _changes(scaled)
    kept = _thinned(changes, _MOST_STEPS.get(max(len(signs), 4), _FEW_STEPS))
    counts = [number for number, _ in eligible]
    steps = tuple(Step(counts[row], _share(scaled[: row + 1])) for row in kept)
    last = Step(len(front.evaluated), steps[-1].share) if steps else Step(1, 0.0)
    corner = best + span * (1 + _MARGIN)
    return Growth(
        (*steps, last),
        _by_name(front.axes, best * signs),
        _by_name(front.axes, corner * signs),
        thinned=len(kept) < len(changes),
    )


def _values(members: Sequence[Member], axes: Sequence[Axis]) -> NDArray[np.float64]:
    return np.array([[float(m.measurements[a.name].value) for a in axes] for m in members])


def _changes(scaled: NDArray[np.float64]) -> list[int]:
    """Return the rows that entered the front when they came, within the box."""
    archive = np.empty((0, scaled.shape[1]))
    rows = []
    for row, point in enumerate(scaled):
        if (point >= 1).any() or (archive <= point).all(axis=1).any():
            continue
        archive = np.vstack([archive[~(archive >= point).all(axis=1)], point])
        rows.append(row)
    return rows


def _thinned(rows: Sequence[int], most: int) -> list[int]:
    """Return at most so many of the rows, the first and the last among them."""
    if len(rows) <= most:
        return list(rows)
    places = np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))
    return [rows[place] for place in places]


def _share(scaled: NDArray[np.float64]) -> float:
    width = scaled.shape[1]
    if width == 1:
        return float(1 - scaled.min())
    directions = [Direction.MINIMIZE] * width
    inside = scaled[(scaled < 1).all(axis=1)]
    return hypervolume(inside[non_dominated(inside, directions)], directions, [1.0] * width)


def _by_name(axes: Sequence[Axis], corner: NDArray[np.float64]) -> dict[str, float]:
    return {axis.name: float(value) for axis, value in zip(axes, corner, strict=True)}
