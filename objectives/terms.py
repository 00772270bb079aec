"""The two terms of MOTE, pure functions of a trace.

Reference: Zhang et al., *MOTE-NAS*, NeurIPS 2024. Higher is better for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Terms:
    """Landscape term (macro view) and speed term (micro view) of one architecture."""

    landscape: float
    speed: float


def landscape_term(landscape_losses: Sequence[float]) -> float:
    """Return the sum over `(G + 1,)` losses of 1 / L: large where the path lies low."""
    return sum(1.0 / loss for loss in landscape_losses)


def speed_term(epoch_losses: Sequence[float], cost: float) -> float:
    """Return the cost of the training, in seconds, over the mean of `(E,)` epoch losses."""
    return cost / fmean(epoch_losses)
