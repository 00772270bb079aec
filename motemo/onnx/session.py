"""ONNX Runtime sessions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from motemo.errors import DeviceError, EvaluationError
from motemo.onnx.names import INPUT, OUTPUT
from motemo.space import Shape

VERSION: str = onnxruntime.__version__
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
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


@final
@dataclass(frozen=True)
class Session:
    """A loaded model: a function from images `(N, C, H, W)` to logits `(N, K)`.

    Attributes:
        inner: ONNX Runtime's session.
        provider: Its execution provider.
    """

    inner: Any
    provider: str

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Compute on images in this host's memory, of the floating-point type of the model."""
        logits: NDArray[Any] = self.inner.run(None, {INPUT: images})[0]
        return logits

    def bind(self, images: NDArray[Any]) -> Callable[[], None]:
        """Return what computes on these images again and again, and waits for the end.

        On a GPU, images and logits stay in its memory: no copy is in a run.
        """
        if self.provider == CUDA:
            return self._bind_on_gpu(images)

        def run() -> None:
            self.inner.run(None, {INPUT: images})

        return run

    def _bind_on_gpu(self, images: NDArray[Any]) -> Callable[[], None]:
        binding = self.inner.io_binding()
        placed = onnxruntime.OrtValue.ortvalue_from_numpy(images, "cuda", 0)
        binding.bind_ortvalue_input(INPUT, placed)
        binding.bind_output(OUTPUT, "cuda", 0)

        def run() -> None:
            self.inner.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return run


def open_session(model: onnx.ModelProto, *, provider: str = CPU, threads: int = 1) -> Session:
    """Load a model.

    With one thread, the CPU provider computes on the thread that calls.

    Raises:
        DeviceError: The execution provider is not installed here.
        EvaluationError: ONNX Runtime refuses the model.
    """
    return _open(model.SerializeToString(), provider, _options(threads))


def optimised(model: onnx.ModelProto, *, threads: int = 1) -> bytes:
    """Return a model as the CPU provider rewrites it for this processor.

    Loading it, with `open_optimised`, takes a third of the time; it then computes the same.

    Raises:
        EvaluationError: ONNX Runtime refuses the model.
    """
    options = _options(threads)
    with tempfile.TemporaryDirectory(prefix="motemo-") as folder:
        file = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(file)
        _open(model.SerializeToString(), CPU, options)
        return file.read_bytes()


def open_optimised(content: bytes, *, threads: int = 1) -> Session:
    """Load what `optimised` returned."""
    options = _options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _open(content, CPU, options)


def _options(threads: int) -> Any:  # noqa: ANN401  (onnxruntime has no types)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return options


def _open(content: bytes, provider: str, options: Any) -> Session:  # noqa: ANN401
    require_provider(provider)
    exact = {"use_tf32": "0"} if provider == CUDA else {}
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[(provider, exact)])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise EvaluationError(f"ONNX Runtime cannot load the model: {error}") from error
    if session.get_providers()[0] != provider:
        raise DeviceError(
            f"ONNX Runtime has {provider} but cannot start it here and would fall back to "
            f"{session.get_providers()[0]}. Check the driver and the libraries it needs."
        )
    return Session(session, provider)


def example_images(input_shape: Shape, *, batch: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """Return random images in [0, 1), float32 `(batch, C, H, W)`."""
    rng = np.random.default_rng(seed)
    return rng.random((batch, *input_shape), dtype=np.float32)
