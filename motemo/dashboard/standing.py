"""Where an evaluated architecture stands among all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from motemo.front import Front
from motemo.objective import Direction


@dataclass(frozen=True)
class Standing:
    """How one architecture compares with all that were evaluated.

    Attributes:
        on_front: Whether it is a member of the front.
        broken: The bounds that it breaks.
        dominated_by: Trials of the members that are at least as good in every objective and
            better in one.
        ranks: Its place in each objective, by name, 1 for the best; equal values share a place.
    """

    on_front: bool
    broken: tuple[str, ...]
    dominated_by: tuple[int, ...]
    ranks: Mapping[str, int]


def standings(front: Front) -> dict[int, Standing]:
    """Return the standing of everything that was evaluated, by trial number."""
    names = [axis.name for axis in front.axes]
    signs = np.array([-1.0 if a.direction is Direction.MAXIMIZE else 1.0 for a in front.axes])
    costs = {m.trial: signs * [m.measurements[n].value for n in names] for m in front.evaluated}
    if not costs:
        return {}
    members = [member.trial for member in front]
    best = np.array([costs[trial] for trial in members])
    ordered = np.sort(np.array(list(costs.values())), axis=0)
    found = {}
    for member in front.evaluated:
        own = costs[member.trial]
        better = np.flatnonzero((best <= own).all(axis=1) & (best < own).any(axis=1))
        places = [np.searchsorted(ordered[:, k], value) + 1 for k, value in enumerate(own)]
        found[member.trial] = Standing(
            on_front=member.trial in members,
            broken=tuple(
                str(bound)
                for bound in front.constraints
                if bound.violation(member.measurements[bound.objective].value) > 0
            ),
            dominated_by=tuple(members[k] for k in better),
            ranks=dict(zip(names, map(int, places), strict=True)),
        )
    return found
