"""`flops`: how many multiply-adds one inference of the deployed network takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from motemo.counting import count_operators
from motemo.hardware.deployment import NetworkCost
from motemo.objective import Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Flops(NetworkCost):
    """Fused multiply-adds of the full network for one image. Lower is better.

    Convolutions, linear layers and matrix products count, attention included. The record lists
    them by operator, and apart from them the element operations of everything else (`others`) and
    the operators that could not be counted (`uncounted`).
    """

    name: str = "flops"
    unit: str = field(default="multiply-adds", init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)

    def cost(self, network: nn.Module) -> Measurement:
        """Count the operators."""
        counts = count_operators(network, self.input_shape)
        record: dict[str, Json] = {
            "multiply_adds": dict(counts.multiply_adds),
            "others": dict(counts.others),
            "uncounted": dict(counts.uncounted),
        }
        return Measurement.exact(counts.flops, self.unit, record)
