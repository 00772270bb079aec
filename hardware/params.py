"""`params`: how many trainable parameters the deployed network has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from motemo.counting import count_parameters_by_module
from motemo.hardware.deployment import NetworkCost
from motemo.objective import Measurement, Stage

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Params(NetworkCost):
    """Trainable parameters of the full network. Lower is better.

    The record lists them by the kind of module that holds them.
    """

    name: str = "params"
    unit: str = field(default="count", init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)

    def cost(self, network: nn.Module) -> Measurement:
        """Count the parameters."""
        counts = count_parameters_by_module(network)
        return Measurement.exact(sum(counts.values()), self.unit, {"by_module": {**counts}})
