"""The two terms of MOTE, pure functions of a trace.

Reference: Zhang et al., *MOTE-NAS*, NeurIPS 2024. Higher is better for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from motemo.errors import EvaluationError


@dataclass(frozen=True)
class Terms:
    """Landscape term (macro view) and speed term (micro view) of one architecture."""

    landscape: float
    speed: float


def landscape_term(landscape_losses: Sequence[float]) -> float:
    """Return the sum over `(G + 1,)` losses of 1 / L: large where the path lies low.

    Raises:
        EvaluationError: A loss is not positive.
    """
    _require_positive(landscape_losses)
    return sum(1.0 / loss for loss in landscape_losses)


def speed_term(epoch_losses: Sequence[float], cost: float) -> float:
    """Return the cost of the training, in seconds, over the mean of `(E,)` epoch losses.

    Raises:
        EvaluationError: A loss is not positive.
    """
    _require_positive(epoch_losses)
    return cost / fmean(epoch_losses)


def _require_positive(losses: Sequence[float]) -> None:
    """Raise unless the reciprocals of all losses tell which is better."""
    if min(losses) <= 0:
        raise EvaluationError(
            f"a loss is {min(losses):.6g}, and the terms of MOTE take reciprocals; train on a loss "
            "that stays above zero"
        )
