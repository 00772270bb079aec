"""Which genes matter for good values, by Optuna's importance evaluators."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from motemo.front import Axis, Front
from motemo.objective import Direction

FEWEST = 20
"""Evaluated architectures below which nothing is said."""
_FEWEST_GOOD = 5
_GOOD_SHARE = 0.1


@dataclass(frozen=True)
class Importance:
    """How much each gene matters for one objective.

    Attributes:
        shares: By gene; they add up to 1. Higher matters more.
        reason: Why there are none, empty if there are.
    """

    shares: dict[str, float]
    reason: str = ""


def good_share(evaluated: int) -> float:
    """Return which share of the architectures counts as good: a tenth, but at least five."""
    return max(_GOOD_SHARE, _FEWEST_GOOD / evaluated)


def importance_of(study: optuna.Study, front: Front, axis: Axis) -> Importance:
    """Return how much each gene matters for good values of one objective.

    Good are the best tenth of what was evaluated. A gene matters if its values are distributed
    otherwise among these than among all.

    Reference: Watanabe et al., *PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces*, IJCAI 2023, https://arxiv.org/abs/2304.10255.

    Args:
        study: The study of the front.
        front: The front.
        axis: The objective.
    """
    sign = -1.0 if axis.direction is Direction.MAXIMIZE else 1.0
    costs = {m.trial: sign * m.measurements[axis.name].value for m in front.evaluated}
    if len(costs) < FEWEST:
        return Importance({}, f"needs {FEWEST} evaluated architectures; there are {len(costs)}")
    if len(set(costs.values())) == 1:
        return Importance({}, "all evaluated architectures have the same value")

    def cost(trial: FrozenTrial) -> float:
        return costs.get(trial.number, math.nan)

    evaluator = PedAnovaImportanceEvaluator(target_quantile=good_share(len(costs)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that low is good, which it is; small regimes
            shares = get_param_importances(study, evaluator=evaluator, target=cost)
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
        return Importance({}, f"cannot be computed: {error}")
    if not shares or not all(map(math.isfinite, shares.values())):
        return Importance({}, "cannot be computed: no gene has more than one value")
    return Importance(shares)
