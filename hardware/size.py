"""`size_mb`: how large the ONNX file of the deployed network is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from motemo.errors import SettingsError
from motemo.hardware.deployment import NetworkCost
from motemo.objective import Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    import onnx
    from torch import nn

_PRECISIONS = ("float32", "float16", "int8")


@final
@dataclass(frozen=True, kw_only=True)
class Size(NetworkCost):
    """Megabytes (10^6 bytes) of the ONNX file, without metadata. Lower is better.

    The record tells the weights from the rest, which is the graph.

    Attributes:
        precision: `float32` as exported, `float16`, or `int8`: weights of convolutions and matrix
            products in 8 bits per channel, activations quantised dynamically.

    Raises:
        SettingsError: There is no such precision.
    """

    name: str = "size_mb"
    precision: str = "float32"
    unit: str = field(default="MB", init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision not in _PRECISIONS:
            raise SettingsError(
                f"Unknown precision {self.precision!r} for {self.name}. "
                f"Allowed: {', '.join(_PRECISIONS)}."
            )

    def cost(self, network: nn.Module) -> Measurement:
        """Export the network and count the bytes."""
        from motemo.onnx.graph import build_onnx

        model = _converted(build_onnx(network, self.input_shape), self.precision)
        size = model.ByteSize()
        weights = sum(weight.ByteSize() for weight in model.graph.initializer)
        record: dict[str, Json] = {"weights_mb": weights / 1e6, "graph_mb": (size - weights) / 1e6}
        return Measurement.exact(size / 1e6, self.unit, record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape, classes, precision."""
        return {**super().identity(), "precision": self.precision}


def _converted(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    from motemo.onnx.precision import quantize_dynamically, to_float16

    match precision:
        case "float16":
            return to_float16(model)
        case "int8":
            return quantize_dynamically(model)
    return model
