"""`params`: how many trainable parameters the deployed network has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from motemo.counting import count_parameters
from motemo.hardware.deployment import check_deployment
from motemo.objective import Direction, Measurement, Objective, Outcome, Stage, evaluate_each
from motemo.space import Architecture, Json, Shape


@dataclass(frozen=True, kw_only=True)
class Params(Objective):
    """Trainable parameters of the full network. Lower is better.

    Attributes:
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes of the deployed network.
    """

    name: str = "params"
    input_shape: Shape = (3, 32, 32)
    classes: int = 10
    unit: str = field(default="count", init=False)
    direction: Direction = field(default=Direction.MINIMIZE, init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)

    def __post_init__(self) -> None:
        check_deployment(self.input_shape, self.classes)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Count each network as written."""
        return evaluate_each(architectures, self._count)

    def _count(self, architecture: Architecture) -> Measurement:
        network = architecture.build(input_shape=self.input_shape, classes=self.classes)
        return Measurement.exact(count_parameters(network), self.unit)

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes."""
        return {"input_shape": list(self.input_shape), "classes": self.classes}
