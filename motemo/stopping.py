"""When a search ends short of what was asked for, and what it evaluates after all then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.constraint import Constraint
from motemo.progress import outcome, paid, tally
from motemo.space import Space

PATIENCE = 200
"""Give up after so many candidates in a row of which none was evaluated."""
FAILURE_PATIENCE = 20
"""Give up after so many failed evaluations in a row."""


def stop_reason(
    trials: Sequence[FrozenTrial], space: Space, wanted: int, *, heed_failures: bool
) -> str | None:
    """Say why the search should end short of what was asked for, or None.

    Args:
        trials: All trials of the study.
        space: The space.
        wanted: Evaluations asked for.
        heed_failures: Whether failures in a row count. Not before this process has evaluated
            something: what made them fail may be mended by now.
    """
    if paid(trials) >= wanted:
        return None
    last = max((t.number for t in trials if _found(t)), default=-1)
    since = [t for t in trials if t.number > last and not records.was_abandoned(t)]
    failures = [t for t in since if t.state is TrialState.FAIL]
    if len(failures) >= FAILURE_PATIENCE and heed_failures:
        reason = failures[-1].user_attrs.get(records.REASON, "unknown")
        return f"{len(failures)} evaluations in a row failed, the last one with: {reason}"
    if _has_tried_all(trials, space):
        return f"all {space.size} architectures of the space have been tried"
    if len(since) >= PATIENCE:
        return (
            f"{len(since)} candidates in a row were not worth evaluating: {_listing(tally(since))}"
        )
    return None


def _has_tried_all(trials: Sequence[FrozenTrial], space: Space) -> bool:
    """Return whether every genotype has been tried."""
    names = [gene.name for gene in space.genes]
    tried = {
        tuple([t.params[name] for name in names])
        for t in trials
        if all(name in t.params for name in names)
    }
    if len(tried) < space.size:
        return False
    # genes that are not active may differ without making another genotype
    written = {space.write(dict(zip(names, values, strict=True))) for values in tried}
    return len(written) >= space.size


def needs_rescue(trials: Sequence[FrozenTrial]) -> bool:
    """Whether nothing was evaluated, so that the least violating candidates should be."""
    return not any(trial.state is TrialState.COMPLETE for trial in trials)


def least_violating(
    trials: Sequence[FrozenTrial], constraints: Sequence[Constraint], limit: int
) -> list[FrozenTrial]:
    """Return up to `limit` infeasible trials that have not been rescued, best first."""
    rescued = {trial.user_attrs.get(records.RESCUES) for trial in trials}
    infeasible = [t for t in trials if outcome(t) == "infeasible" and t.number not in rescued]
    return sorted(infeasible, key=lambda trial: _violation(trial, constraints))[:limit]


def enqueue_rescue(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue an infeasible candidate to be evaluated after all, with what is measured of it."""
    measured = records.measurement_attributes(trial.user_attrs)
    study.enqueue_trial(trial.params, user_attrs={records.RESCUES: trial.number, **measured})


def _violation(trial: FrozenTrial, constraints: Sequence[Constraint]) -> tuple[int, float, int]:
    """Return a sort key: bounds of which nothing is known, total violation, number."""
    measured = records.read_measurements(trial.user_attrs)
    known = [c for c in constraints if c.objective in measured]
    total = sum(c.relative_violation(measured[c.objective].value) for c in known)
    return len(constraints) - len(known), total, trial.number


def _found(trial: FrozenTrial) -> bool:
    """Whether the search itself found it worth evaluating, and did not fail."""
    paid_for = outcome(trial) in ("completed", "stopped")
    return paid_for and records.RESCUES not in trial.user_attrs


def _listing(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
