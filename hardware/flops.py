"""`flops`: how many multiply-adds one inference of the deployed network takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from motemo.counting import count_operators
from motemo.hardware.deployment import check_deployment
from motemo.objective import Direction, Measurement, Objective, Outcome, Stage, evaluate_each
from motemo.space import Architecture, Json, Shape


@dataclass(frozen=True, kw_only=True)
class Flops(Objective):
    """Fused multiply-adds of the full network for one image. Lower is better.

    Convolutions, linear layers and matrix products count, attention included. The record lists
    them by operator, and apart from them the element operations of everything else (`others`) and
    the operators that could not be counted (`uncounted`).

    Attributes:
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes of the deployed network.
    """

    name: str = "flops"
    input_shape: Shape = (3, 32, 32)
    classes: int = 10
    unit: str = field(default="multiply-adds", init=False)
    direction: Direction = field(default=Direction.MINIMIZE, init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)

    def __post_init__(self) -> None:
        check_deployment(self.input_shape, self.classes)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Count each network as written."""
        return evaluate_each(architectures, self._count)

    def _count(self, architecture: Architecture) -> Measurement:
        network = architecture.build(input_shape=self.input_shape, classes=self.classes)
        counts = count_operators(network, self.input_shape)
        record: dict[str, Json] = {
            "multiply_adds": dict(counts.multiply_adds),
            "others": dict(counts.others),
            "uncounted": dict(counts.uncounted),
        }
        return Measurement.exact(counts.flops, self.unit, record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes."""
        return {"input_shape": list(self.input_shape), "classes": self.classes}
