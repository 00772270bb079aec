"""Evaluating the candidates of a batch: cheap before dear, and never the same one twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeAlias

import optuna
from optuna.trial import TrialState

from motemo import host_lock, records
from motemo.constraint import Constraint
from motemo.errors import SettingsError
from motemo.objective import (
    Failure,
    Measurement,
    Objective,
    Outcome,
    Skipped,
    Stage,
    Watchable,
)
from motemo.space import Architecture, Space

CandidateWatch: TypeAlias = Callable[
    [Objective, Mapping[str, Measurement], Sequence[float]], str | None
]
"""Judges the training of a candidate: from the objective that trains, what is measured of the
candidate and its losses so far to the reason to stop, or None."""


@dataclass
class Candidate:
    """One trial on its way through the stages.

    Attributes:
        trial: The running trial.
        architecture: What it asks for: the canonical architecture, or the written one if invalid.
        claim: What only one trial may evaluate (`records.claim`); empty if invalid.
        measurements: What is known so far, by objective.
        duplicate_of: Number of the earlier trial with the same key.
        rescued: Evaluate it although it is infeasible.
        pruned: Why it goes no further, or None.
        failed: Why it has no value, or None.
    """

    trial: optuna.Trial
    architecture: Architecture
    claim: str = ""
    measurements: dict[str, Measurement] = field(default_factory=dict)
    duplicate_of: int | None = None
    rescued: bool = False
    pruned: str | None = None
    failed: str | None = None

    @property
    def alive(self) -> bool:
        """Whether it is still to be evaluated."""
        return self.pruned is None and self.failed is None

    def values(self, objectives: Sequence[Objective]) -> tuple[float, ...]:
        """Return its point values in order."""
        return tuple(float(self.measurements[o.name].value) for o in objectives)


def take_candidate(trial: optuna.Trial, space: Space, objectives: Sequence[Objective]) -> Candidate:
    """Let a trial choose its architecture, and take up what it has measured already."""
    written = space.suggest(trial)
    attributes = trial.user_attrs
    measured = records.reusable_measurements(attributes, objectives)
    candidate = Candidate(trial, written, measurements=measured)
    candidate.rescued = records.RESCUES in attributes
    if written.invalid_reason is not None:
        candidate.pruned = f"invalid: {written.invalid_reason}"
    else:
        candidate.architecture = written.canonical
        candidate.claim = records.claim(candidate.architecture.genotype, attributes)
        if records.GENOTYPE not in attributes:
            trial.set_user_attr(records.GENOTYPE, candidate.architecture.genotype)
    return candidate


def mark_duplicates(candidates: Sequence[Candidate], first: Mapping[str, int]) -> None:
    """Prune every candidate whose claim a trial with a lower number holds.

    Args:
        candidates: The candidates of a batch.
        first: The lowest trial number of each claim in the study.
    """
    for candidate in candidates:
        if first.get(candidate.claim, candidate.trial.number) < candidate.trial.number:
            mark_duplicate(candidate, first)


def mark_duplicate(candidate: Candidate, holders: Mapping[str, int]) -> None:
    """Prune a candidate whose claim another trial holds.

    Args:
        candidate: The candidate.
        holders: Number of the trial that holds each claim, among the others.
    """
    if candidate.alive and candidate.claim in holders:
        candidate.duplicate_of = holders[candidate.claim]
        candidate.pruned = f"duplicate of trial {candidate.duplicate_of}"


def reuse_completed(candidate: Candidate, space: Space, objectives: Sequence[Objective]) -> None:
    """Take over what a completed trial has measured of the same key.

    If that trial has the same parameters altogether, the candidate is pruned as its duplicate.
    """
    if not candidate.alive:
        return
    for trial in candidate.trial.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        if trial.user_attrs.get(records.GENOTYPE) != candidate.architecture.genotype:
            continue
        found = records.reusable_measurements(trial.user_attrs, objectives)
        if _other_parameters(trial.params, space) == _other_parameters(
            candidate.trial.params, space
        ):
            candidate.duplicate_of = trial.number
            candidate.pruned = f"duplicate of trial {trial.number}"
            return
        for objective in objectives:
            if objective.name in found and objective.name not in candidate.measurements:
                candidate.measurements[objective.name] = found[objective.name]
                records.write_measurement(candidate.trial, objective, found[objective.name])


def _other_parameters(params: Mapping[str, object], space: Space) -> dict[str, object]:
    genes = {gene.name for gene in space.genes}
    return {name: value for name, value in params.items() if name not in genes}


def evaluate(
    candidates: Sequence[Candidate],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    *,
    on_measured: Callable[[], None] = lambda: None,
    watch: CandidateWatch | None = None,
) -> None:
    """Measure the candidates, stage by stage, and prune the infeasible after each stage.

    Every measurement is stored with its trial at once, and none is made twice. Trainings are
    stopped early where `watch` says so.
    """
    for stage in Stage:
        for objective in (o for o in objectives if o.stage is stage):
            waiting = [c for c in candidates if c.alive and objective.name not in c.measurements]
            for chunk in [waiting] if objective.batched else [[c] for c in waiting]:
                _measure(chunk, objective, watch)
                on_measured()
        for candidate in candidates:
            if candidate.alive:
                _apply_constraints(candidate, constraints)


def _measure(
    candidates: Sequence[Candidate], objective: Objective, watch: CandidateWatch | None
) -> None:
    if not candidates:
        return
    with undisturbed(objective):
        outcomes = _outcomes(candidates, objective, watch)
    if len(outcomes) != len(candidates):
        raise SettingsError(
            f"The objective {objective.name!r} returned {len(outcomes)} outcomes for "
            f"{len(candidates)} architectures; it must return one each, in order."
        )
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        checked = _finite(outcome)
        if isinstance(checked, Failure):
            candidate.failed = f"{objective.name}: {checked.reason}"
        elif isinstance(checked, Skipped):
            how = "stopped" if checked.paid else "skipped"
            candidate.pruned = f"{how}: {objective.name}: {checked.reason}"
            records.write_skipped(candidate.trial, objective, checked)
        else:
            candidate.measurements[objective.name] = checked
            records.write_measurement(candidate.trial, objective, checked)


def _outcomes(
    candidates: Sequence[Candidate], objective: Objective, watch: CandidateWatch | None
) -> list[Outcome]:
    architectures = [candidate.architecture for candidate in candidates]
    if watch is None or not isinstance(objective, Watchable):
        return objective.evaluate(architectures)
    by_genotype = {candidate.architecture.genotype: candidate for candidate in candidates}

    def judge(architecture: Architecture, losses: Sequence[float]) -> str | None:
        return watch(objective, by_genotype[architecture.genotype].measurements, losses)

    return objective.evaluate_watched(architectures, judge)


def undisturbed(objective: Objective) -> AbstractContextManager[None]:
    """Keep processes of this host from training, or scoring, while one of them measures."""
    if objective.occupies_host and objective.stage is Stage.MEASURE:
        return host_lock.measuring()
    if objective.occupies_host and objective.stage in (Stage.PROXY, Stage.TRAIN):
        return host_lock.training()
    return nullcontext()


def _finite(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Measurement) and not (
        isinstance(outcome.value, int | float) and math.isfinite(outcome.value)
    ):
        return Failure(f"the value is {outcome.value}")
    return outcome


def _apply_constraints(candidate: Candidate, constraints: Sequence[Constraint]) -> None:
    """Store how far the candidate is from each known bound, and prune it if beyond one."""
    stored = candidate.trial.constraints if constraints else {}
    broken = []
    for constraint in constraints:
        if constraint.objective not in candidate.measurements:
            continue
        value = candidate.measurements[constraint.objective].value
        violation = constraint.violation(value)
        if str(constraint) not in stored:
            candidate.trial.set_constraint(str(constraint), violation)
        if violation > 0:
            broken.append(f"{constraint.objective} is {value:.6g}, not {constraint}")
    if broken and not candidate.rescued:
        candidate.pruned = f"infeasible: {'; '.join(broken)}"


def tell(
    study: optuna.Study,
    candidate: Candidate,
    objectives: Sequence[Objective],
    *,
    skip_if_finished: bool = False,
) -> None:
    """Finish the trial of a candidate: with its values, pruned, or failed."""
    store_reason(candidate)
    if candidate.alive:
        values, state = candidate.values(objectives), None
    else:
        values, state = None, TrialState.FAIL if candidate.failed else TrialState.PRUNED
    study.tell(candidate.trial, values, state, skip_if_finished=skip_if_finished)


def store_reason(candidate: Candidate) -> None:
    """Store why a candidate was pruned or failed; before the trial is told."""
    if candidate.duplicate_of is not None:
        candidate.trial.set_user_attr(records.DUPLICATE_OF, candidate.duplicate_of)
    reason = candidate.failed or candidate.pruned
    if reason is not None:
        candidate.trial.set_user_attr(records.REASON, reason)
