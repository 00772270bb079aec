"""ONNX Runtime sessions. The one file that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from motemo.errors import DeviceError, EvaluationError
from motemo.onnx.graph import INPUT
from motemo.space import Shape

VERSION: str = onnxruntime.__version__
onnxruntime.set_default_logger_severity(3)  # errors only: its warnings name no remedy


def require_provider(provider: str) -> None:
    """Raise unless ONNX Runtime has an execution provider here.

    Raises:
        DeviceError: It has not.
    """
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise DeviceError(
            f"ONNX Runtime here has no {provider}. Available: {', '.join(available)}. Install an "
            "ONNX Runtime build with that provider, or choose another device."
        )


def open_session(
    model: onnx.ModelProto, *, provider: str = "CPUExecutionProvider", threads: int = 1
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Load a model and return a function from images `(N, C, H, W)` to logits `(N, K)`.

    With one thread, it computes on the thread that calls it.

    Raises:
        DeviceError: The execution provider is not installed here.
        EvaluationError: ONNX Runtime refuses the model.
    """
    require_provider(provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    exact = {"use_tf32": "0"} if provider == "CUDAExecutionProvider" else {}
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=[(provider, exact)]
        )
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise EvaluationError(f"ONNX Runtime cannot load the model: {error}") from error
    if session.get_providers()[0] != provider:
        raise DeviceError(
            f"ONNX Runtime has {provider} but cannot start it here and would fall back to "
            f"{session.get_providers()[0]}. Check the driver and the libraries it needs."
        )

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs: list[NDArray[np.float32]] = session.run(None, {INPUT: images})
        return outputs[0]

    return run


def example_images(input_shape: Shape, *, batch: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """Return random images in [0, 1), float32 `(batch, C, H, W)`."""
    rng = np.random.default_rng(seed)
    return rng.random((batch, *input_shape), dtype=np.float32)
