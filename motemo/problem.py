"""A search as a pymoo problem, for people who run pymoo's own `minimize`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from motemo import genetic, records
from motemo.constraint import Constraint, check_constraints
from motemo.errors import SettingsError
from motemo.front import Axis, Front, Member
from motemo.genome import Row, SpaceGenomes
from motemo.objective import Direction, Failure, Measurement, Objective, Skipped, Stage
from motemo.search_loop import check_names
from motemo.space import Architecture, Space

_UNUSABLE = 1e9
"""Violation of what has no value at all: more than any bound is exceeded by."""


@dataclass
class Evaluation:
    """What is known of one architecture.

    Attributes:
        architecture: The canonical architecture; as written if it is invalid.
        measurements: What was measured, by objective.
        reason: Why it has no values for all objectives: `invalid`, `infeasible`, `skipped` or
            `failed`, and what exactly; None if it has.
    """

    architecture: Architecture
    measurements: dict[str, Measurement] = field(default_factory=dict)
    reason: str | None = None


class NasProblem(Problem):  # type: ignore[misc]
    """The search of a space for its Pareto front, as a pymoo problem.

        problem = motemo.NasProblem(space, objectives, ["latency_ms<=5"])
        minimize(problem, NSGA2(pop_size=16, **problem.operators()), ("n_gen", 10), seed=0)
        front = problem.front()

    A genome has one integer per gene, the index of its value in the choices. pymoo minimises:
    objectives to be maximised are negated.

    Constraints on them are `g <= 0`, the violation as a share of the bound, and one more says
    whether an architecture has values at all. Objectives are evaluated stage by stage, and an
    architecture that breaks a bound never reaches the dearer ones. Values that are not known are
    infinite in F: such architectures are infeasible.

    Each key is evaluated once, whatever is run on the problem and however often.

    Args:
        space: Where to search.
        objectives: What to optimise; names must differ.
        constraints: Bounds such as `"latency_ms<=5"`, each on one of the objectives.

    Raises:
        SettingsError: There is no objective, or two have one name.
        ConstraintError: A constraint is malformed or on something that is not measured.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        constraints: Sequence[str] = (),
    ) -> None:
        self.space, self.objectives = space, tuple(objectives)
        check_names(self.objectives)
        texts = [constraints] if isinstance(constraints, str) else constraints
        self.constraints = tuple(Constraint.parse(text) for text in texts)
        check_constraints(self.constraints, [objective.name for objective in self.objectives])
        self._genomes = SpaceGenomes(space)
        bounds = self._genomes.proposals.bounds
        self._evaluations: dict[str, Evaluation] = {}
        super().__init__(
            n_var=len(space.genes),
            n_obj=len(self.objectives),
            n_ieq_constr=1 + len(self.constraints),
            xl=bounds.low,
            xu=bounds.high,
            vtype=int,
        )

    def operators(self) -> dict[str, Any]:
        """Return sampling, crossover, mutation and duplicate elimination for a genetic algorithm.

        Valid architectures are drawn, uniform crossover, and another choice for each gene with
        probability 1 / genes. Duplicates by key, and invalid architectures, are eliminated.
        """
        return genetic.operators(self._genomes.proposals)

    def architecture(self, genome: Row) -> Architecture:
        """Return the architecture that a row of pymoo's X writes."""
        return self._genomes.architecture(genome)

    @property
    def evaluations(self) -> Mapping[str, Evaluation]:
        """What is known of each architecture by key, in the order in which they came."""
        return MappingProxyType(self._evaluations)

    def front(self) -> Front:
        """Return the front of everything that was evaluated.

        The trial number of a member is the position of its evaluation, counted from 0. The front
        is empty if nothing kept the bounds as far as the dearest objectives.
        """
        names = [objective.name for objective in self.objectives]
        return Front.of(
            [
                Member(number, e.architecture, {name: e.measurements[name] for name in names})
                for number, e in enumerate(self._evaluations.values())
                if len(e.measurements) == len(names)
            ],
            axes=[Axis(o.name, o.unit, o.direction) for o in self.objectives],
            constraints=self.constraints,
            settings=records.settings_of(self.space, self.objectives, self.constraints),
        )

    def _evaluate(
        self,
        x: NDArray[np.float64],
        out: dict[str, NDArray[np.float64]],
        *args: object,
        **kwargs: object,
    ) -> None:
        """Fill F and G for the genomes `(n, g)`, as pymoo asks for them."""
        keys = [self._enter(self.architecture(row)) for row in x]
        self._carry_through([self._evaluations[key] for key in dict.fromkeys(keys)])
        out["F"] = np.array([self._costs(self._evaluations[key]) for key in keys])
        out["G"] = np.array([self._violations(self._evaluations[key]) for key in keys])

    def _enter(self, architecture: Architecture) -> str:
        """Make sure that an architecture is among the evaluations, and return its key."""
        key, invalid = architecture.key, architecture.invalid_reason
        if key not in self._evaluations and invalid is None:
            self._evaluations[key] = Evaluation(architecture.canonical)
        elif key not in self._evaluations:
            self._evaluations[key] = Evaluation(architecture, reason=f"invalid: {invalid}")
        return key

    def _carry_through(self, evaluations: Sequence[Evaluation]) -> None:
        """Measure what is missing, cheap before dear; what an interrupt left is taken up."""
        for stage in Stage:
            for objective in (o for o in self.objectives if o.stage is stage):
                waiting = [
                    e
                    for e in evaluations
                    if e.reason is None and objective.name not in e.measurements
                ]
                for chunk in [waiting] if objective.batched else [[e] for e in waiting]:
                    _measure(chunk, objective)
            for evaluation in evaluations:
                evaluation.reason = evaluation.reason or self._broken_bounds(evaluation)

    def _broken_bounds(self, evaluation: Evaluation) -> str | None:
        measured = evaluation.measurements
        broken = [
            f"{c.objective} is {measured[c.objective].value:.6g}, not {c}"
            for c in self.constraints
            if c.objective in measured and c.violation(measured[c.objective].value) > 0
        ]
        return f"infeasible: {'; '.join(broken)}" if broken else None

    def _costs(self, evaluation: Evaluation) -> list[float]:
        """Return the value of each objective, lower is better."""
        measured = evaluation.measurements
        return [
            (-1.0 if o.direction is Direction.MAXIMIZE else 1.0) * measured[o.name].value
            if o.name in measured
            else math.inf
            for o in self.objectives
        ]

    def _violations(self, evaluation: Evaluation) -> list[float]:
        """Return whether there can be values, and the share by which each bound is exceeded."""
        measured = evaluation.measurements
        usable = evaluation.reason is None or evaluation.reason.startswith("infeasible")
        return [
            0.0 if usable else _UNUSABLE,
            *(
                c.violation(measured[c.objective].value) / (abs(c.bound) or 1.0)
                if c.objective in measured
                else 0.0
                for c in self.constraints
            ),
        ]


def _measure(evaluations: Sequence[Evaluation], objective: Objective) -> None:
    if not evaluations:
        return
    outcomes = objective.evaluate([evaluation.architecture for evaluation in evaluations])
    if len(outcomes) != len(evaluations):
        raise SettingsError(
            f"The objective {objective.name!r} returned {len(outcomes)} outcomes for "
            f"{len(evaluations)} architectures; it must return one each, in order."
        )
    for evaluation, outcome in zip(evaluations, outcomes, strict=True):
        if isinstance(outcome, Failure):
            evaluation.reason = f"failed: {objective.name}: {outcome.reason}"
        elif isinstance(outcome, Skipped):
            evaluation.reason = f"skipped: {objective.name}: {outcome.reason}"
        elif not math.isfinite(outcome.value):
            evaluation.reason = f"failed: {objective.name}: the value is {outcome.value}"
        else:
            evaluation.measurements[objective.name] = outcome
