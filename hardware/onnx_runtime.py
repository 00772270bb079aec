"""Devices that run ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from motemo.data.dataset import ImageData
from motemo.device import Timing, TimingProtocol
from motemo.errors import EvaluationError
from motemo.hardware.calibration import calibration_images, settled
from motemo.hardware.gpu import gpu_identity
from motemo.hardware.local_device import Load, Loaded, LocalDevice
from motemo.hardware.output_difference import output_difference
from motemo.hardware.reference_network import INPUT_SHAPE
from motemo.hardware.runtime_settings import check_choice, check_threads_and_batch
from motemo.host import host_identity
from motemo.onnx.precision import (
    PRECISIONS,
    batch_size,
    quantize,
    quantize_dynamically,
    to_float16,
    with_batch_size,
)
from motemo.onnx.reference_model import reference_model
from motemo.onnx.session import (
    CPU,
    CUDA,
    VERSION,
    Session,
    example_images,
    open_optimised,
    open_session,
    optimised,
    require_provider,
)
from motemo.space import Json, Shape

if TYPE_CHECKING:
    import onnx
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeDevice(LocalDevice):
    """ONNX Runtime with one execution provider of this host.

    In other precisions than float32, a figure's record says under `output_difference` how the
    logits differ from float32 (`motemo.hardware.output_difference`). A search's weights are
    untrained, so this is about arithmetic and not about lost accuracy; the latency is that of the
    trained network.

    - `float16`: weights and activations, images and logits too. The CPU provider computes most
      operators in float32 between casts.
    - `int8`: int8 weights and uint8 activations, with scales fixed on the calibration images.
    - `int8_dynamic`: scales found anew at each run.

    Attributes:
        name: Name of the device.
        provider: Execution provider, as ONNX Runtime names it.
        threads: Threads that compute one inference, each on a core of its own.
        batch: Images of one run.
        precision: `float32`, `float16`, `int8` or `int8_dynamic`.
        calibration: Images for `int8` and for the output difference; random ones if None.

    Raises:
        SettingsError: There are fewer cores than threads, or no such batch size or precision.
        DeviceError: The provider is not installed here.
    """

    name: str = "onnxruntime"
    provider: str = CPU
    threads: int = 1
    batch: int = 1
    precision: str = "float32"
    calibration: ImageData | None = None

    def __post_init__(self) -> None:
        check_threads_and_batch(self.threads, self.batch)
        check_choice("precision", self.precision, PRECISIONS)
        require_provider(self.provider)

    def deploy(self, network: nn.Module, input_shape: Shape) -> Load:
        """Write the network as an ONNX graph in the device's precision."""
        from motemo.onnx.graph import build_onnx

        if self.precision != "float32":
            network = settled(network, self._calibration_images(input_shape))
        size = "N" if self.precision == "int8" else self.batch  # "N": calibration is quicker
        return self.deploy_model(build_onnx(network, input_shape, batch=size), input_shape)

    def deploy_reference(self) -> Load:
        """Take the reference network as an ONNX graph, without torch."""
        return self.deploy_model(reference_model(batch=self.batch), INPUT_SHAPE)

    def deploy_model(self, model: onnx.ModelProto, input_shape: Shape) -> Load:
        """Take a network that is a float32 ONNX graph, for batches of this size or of any.

        Raises:
            EvaluationError: It takes batches of another size, or cannot be converted.
        """
        if batch_size(model) not in (None, self.batch):
            raise EvaluationError(
                f"the model takes batches of {batch_size(model)}, the device of {self.batch}"
            )
        images = example_images(input_shape, batch=self.batch)
        converted = with_batch_size(model, self.batch)
        notes: dict[str, Json] = {}
        if self.precision != "float32":
            converted, notes = self._converted(model, input_shape)
        if self.precision == "float16":
            images = images.astype(np.float16)

        open_anew = self._opener(converted)

        def load() -> Loaded:
            run = open_anew().bind(images)
            alone = self.threads == 1 and self.provider == CPU
            return Loaded(run=run, on_calling_thread=alone, notes=notes)

        return load

    def time_model(
        self, model: onnx.ModelProto, *, input_shape: Shape, protocol: TimingProtocol
    ) -> Timing:
        """Time a network that is an ONNX graph already, see `time` and `deploy_model`."""
        return self.time_deployed(self.deploy_model(model, input_shape), protocol)

    def identity(self) -> dict[str, Json]:
        """Runtime, provider, threads, batch, precision, host; calibration where it matters."""
        identity: dict[str, Json] = {
            "name": self.name,
            "runtime": f"onnxruntime {VERSION}",
            "provider": self.provider,
            "threads": self.threads,
            "precision": self.precision,
            "batch": self.batch,
            **host_identity(),
        }
        if self.precision != "float32":
            data = self.calibration
            identity["calibration"] = "random images" if data is None else data.identity()
        return identity | (gpu_identity() if self.provider == CUDA else {})

    def _calibration_images(self, input_shape: Shape) -> NDArray[np.float32]:
        return calibration_images(self.calibration, input_shape, batch=self.batch)

    def _opener(self, model: onnx.ModelProto) -> Callable[[], Session]:
        """Return what opens a session, quickly where the provider can store what it rewrites."""
        if self.provider != CPU:
            return lambda: self._open(model)
        content = optimised(model, threads=self.threads)
        return lambda: open_optimised(content, threads=self.threads)

    def _open(self, model: onnx.ModelProto) -> Session:
        return open_session(model, provider=self.provider, threads=self.threads)

    def _converted(
        self, model: onnx.ModelProto, input_shape: Shape
    ) -> tuple[onnx.ModelProto, dict[str, Json]]:
        """Return a model in the device's precision, and what that changes."""
        images = self._calibration_images(input_shape)
        match self.precision:
            case "float16":
                converted = to_float16(model)
            case "int8":
                converted = quantize(model, images)
            case _:
                converted = quantize_dynamically(model)
        converted = with_batch_size(converted, self.batch)
        exact = self._logits(model, images)
        kind = np.float16 if self.precision == "float16" else np.float32
        reduced = self._logits(converted, images.astype(kind))
        return converted, {"output_difference": output_difference(exact, reduced)}

    def _logits(self, model: onnx.ModelProto, images: NDArray[Any]) -> NDArray[Any]:
        session = self._open(model)
        starts = range(0, len(images), self.batch)
        return np.concatenate([session(images[i : i + self.batch]) for i in starts])


def cpu(
    *,
    name: str = "cpu",
    threads: int = 1,
    batch: int = 1,
    precision: str = "float32",
    calibration: ImageData | None = None,
) -> OnnxRuntimeDevice:
    """Return this host's processor."""
    return OnnxRuntimeDevice(
        name=name, threads=threads, batch=batch, precision=precision, calibration=calibration
    )


def cuda(
    *,
    name: str = "cuda",
    threads: int = 1,
    batch: int = 1,
    precision: str = "float32",
    calibration: ImageData | None = None,
) -> OnnxRuntimeDevice:
    """Return this host's first NVIDIA GPU."""
    return OnnxRuntimeDevice(
        name=name,
        provider=CUDA,
        threads=threads,
        batch=batch,
        precision=precision,
        calibration=calibration,
    )
