"""`memory_mb`: how much memory the tensors of one inference need at once, counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from motemo.hardware.deployment import NetworkCost, check_batch
from motemo.objective import Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class Memory(NetworkCost):
    """Megabytes (10^6 bytes) of weights and of the activations live at the peak. Lower is better.

    Counted by liveness on the ONNX graph, float32, nodes one by one in their stored order, nothing
    in place and nothing fused. The record holds both parts, and which node runs at the peak with
    the shapes of what is live there.

    Attributes:
        batch: Images of one inference.
    """

    name: str = "memory_mb"
    batch: int = 1
    unit: str = field(default="MB", init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_batch(self.batch)

    def cost(self, network: nn.Module) -> Measurement:
        """Export the network and follow its tensors."""
        from motemo.onnx.activations import peak_memory
        from motemo.onnx.graph import build_onnx

        peak = peak_memory(build_onnx(network, self.input_shape, batch=self.batch))
        record: dict[str, Json] = {
            "weights_mb": peak.weights / 1e6,
            "activations_mb": peak.activations / 1e6,
            "peak_node": peak.node,
            "peak_shapes": {name: list(shape) for name, shape in peak.shapes.items()},
        }
        return Measurement.exact((peak.weights + peak.activations) / 1e6, self.unit, record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape, classes, batch."""
        return {**super().identity(), "batch": self.batch}
