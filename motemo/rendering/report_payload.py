"""What the script of a report reads besides the front."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.comparison import Comparison
from motemo.rendering.report_progress import Growth
from motemo.rendering.report_trials import Fate, Outcome
from motemo.space import Json


def report_payload(
    fates: Sequence[Fate], growth: Growth | str, trained: Comparison | None
) -> dict[str, Json]:
    """Return the trials that were not evaluated, the growth and the trained finalists."""
    return {
        "others": [_other(fate) for fate in fates if fate.outcome is not Outcome.EVALUATED],
        "growth": None if isinstance(growth, str) else _growth(growth),
        "estimate": "" if trained is None else trained.axis.name,
        "trained": [] if trained is None else _trained(trained),
    }


def _other(fate: Fate) -> dict[str, Json]:
    return {
        "trial": fate.trial,
        "outcome": fate.outcome.value,
        "reason": fate.reason,
        "arch": fate.genotype,
    }


def _growth(growth: Growth) -> dict[str, Json]:
    return {
        "evaluations": [step.evaluations for step in growth.steps],
        "shares": [step.share for step in growth.steps],
    }


def _trained(trained: Comparison) -> list[Json]:
    return [
        {
            "trial": row.finalist.trial,
            "estimate": row.estimate.value,
            "accuracy": row.finalist.val_accuracy,
            "low": row.finalist.val_low,
            "high": row.finalist.val_high,
            "curve": [[epoch.epoch, epoch.val_accuracy] for epoch in row.finalist.curve],
        }
        for row in trained.rows
    ]
