"""`Front`: the answer of a search, the architectures that no other one dominates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from motemo.constraint import Constraint, check_constraints
from motemo.objective import Direction, Measurement
from motemo.pareto import non_dominated
from motemo.space import Architecture, Json


@dataclass(frozen=True)
class Axis:
    """One objective of a front: how it is called and which values are better."""

    name: str
    unit: str
    direction: Direction


@dataclass(frozen=True)
class Member:
    """One evaluated architecture.

    Attributes:
        trial: Number of the trial that evaluated it.
        architecture: The canonical architecture that was evaluated.
        measurements: One measurement per axis, by name.
    """

    trial: int
    architecture: Architecture
    measurements: Mapping[str, Measurement]


@dataclass(frozen=True)
class Front:
    """Evaluated architectures and those among them that no other one dominates.

    Attributes:
        axes: The objectives, in order.
        members: The non-dominated architectures, best in the first objective first.
        evaluated: All architectures with a value for every objective, by trial number.
        constraints: The bounds that the search was given.
        feasible: Whether the members keep all constraints; if nothing did, they are
            non-dominated in the objectives and in how much they violate the constraints.
        settings: The settings of the search, as stored in its study.
    """

    axes: tuple[Axis, ...]
    members: tuple[Member, ...]
    evaluated: tuple[Member, ...]
    constraints: tuple[Constraint, ...] = ()
    feasible: bool = True
    settings: Mapping[str, Json] | None = None

    @classmethod
    def of(
        cls,
        evaluated: Sequence[Member],
        *,
        axes: Sequence[Axis],
        constraints: Sequence[Constraint] = (),
        settings: Mapping[str, Json] | None = None,
    ) -> Front:
        """Return the front of evaluated architectures.

        Members must keep all constraints. If no architecture does, `feasible` is false, and the
        total violation (each as a share of its bound) is one more objective to minimise.

        Raises:
            ConstraintError: A constraint is on none of the axes.
        """
        check_constraints(constraints, [axis.name for axis in axes])
        kept = [member for member in evaluated if _violation(member, constraints) <= 0]
        feasible = bool(kept) or not evaluated
        eligible = kept if feasible else evaluated
        values = [
            [*(m.measurements[a.name].value for a in axes), _violation(m, constraints)]
            for m in eligible
        ]
        directions = [*(axis.direction for axis in axes), Direction.MINIMIZE]
        mask = non_dominated(np.array(values), directions)
        members = [member for member, keep in zip(eligible, mask, strict=True) if keep]
        return cls(
            axes=tuple(axes),
            members=tuple(sorted(members, key=lambda m: _order(m, axes))),
            evaluated=tuple(sorted(evaluated, key=lambda m: m.trial)),
            constraints=tuple(constraints),
            feasible=feasible,
            settings=settings,
        )

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def within(self, *constraints: str) -> Front:
        """Return the front under further constraints, such as `"latency_ms<=5"`.

        Raises:
            ConstraintError: A constraint is malformed or on none of the axes.
        """
        added = [Constraint.parse(text) for text in constraints]
        return Front.of(
            self.evaluated,
            axes=self.axes,
            constraints=[*self.constraints, *(c for c in added if c not in self.constraints)],
            settings=self.settings,
        )


def _violation(member: Member, constraints: Sequence[Constraint]) -> float:
    return sum(c.relative_violation(member.measurements[c.objective].value) for c in constraints)


def _order(member: Member, axes: Sequence[Axis]) -> tuple[float, ...]:
    signs = (-1.0 if axis.direction is Direction.MAXIMIZE else 1.0 for axis in axes)
    values = (member.measurements[axis.name].value for axis in axes)
    return (*(s * v for s, v in zip(signs, values, strict=True)), float(member.trial))
