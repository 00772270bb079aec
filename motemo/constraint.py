"""Constraints on objectives, such as `latency_ms<=5`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from motemo.errors import ConstraintError

_FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=)\s*([^\s]+?)\s*([kMG]?)\s*")
_SUFFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Constraint:
    """A bound on one objective.

    Attributes:
        objective: Name of the objective.
        operator: `<=` or `>=`.
        bound: The bound, in the objective's unit.
    """

    objective: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read `NAME<=NUMBER` or `NAME>=NUMBER`; the number may end in k, M or G.

        Raises:
            ConstraintError: The text has another form.
        """
        match = _FORM.fullmatch(text)
        name, operator, number, suffix = match.groups() if match else ("", "", "", "")
        bound = _number(number) * _SUFFIXES[suffix]
        if not math.isfinite(bound):
            raise ConstraintError(
                f"Malformed constraint {text!r}. Write NAME<=NUMBER or NAME>=NUMBER, as in "
                "'latency_ms<=5' or 'params<=1.5M'."
            )
        return cls(name, operator, bound)

    def __str__(self) -> str:
        bound = f"{self.bound:.15g}"
        return f"{self.objective}{self.operator}" + (
            bound if float(bound) == self.bound else repr(self.bound)
        )

    def violation(self, value: float) -> float:
        """Return how far a value is on the wrong side of the bound: feasible if <= 0."""
        return value - self.bound if self.operator == "<=" else self.bound - value

    def relative_violation(self, value: float) -> float:
        """Return the violation as a share of the bound, 0 if feasible."""
        return max(0.0, self.violation(value)) / (abs(self.bound) or 1.0)


def _number(text: str) -> float:
    """Return the number that a text spells, NaN if it spells none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def check_constraints(constraints: Collection[Constraint], objectives: Collection[str]) -> None:
    """Raise unless every constraint is on one of the objectives, and none stands twice.

    Raises:
        ConstraintError: A constraint names an objective that is not measured, or is repeated.
    """
    for constraint in constraints:
        if constraint.objective not in objectives:
            raise ConstraintError(
                f"The constraint '{constraint}' is on {constraint.objective!r}, which is not "
                f"measured. Measured: {', '.join(objectives)}. Add it as an objective or drop "
                "the constraint."
            )
    texts = [str(constraint) for constraint in constraints]
    for text in texts:
        if texts.count(text) > 1:
            raise ConstraintError(f"The constraint '{text}' is given more than once. Give it once.")
