"""`OnnxEncoder`: a feature extractor in an ONNX file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from motemo.errors import DataError, EvaluationError
from motemo.reduction.encoder import Encoder, Form, Progress, batches
from motemo.reduction.resizing import resize_images
from motemo.space import Json

if TYPE_CHECKING:
    import onnx

_WANTED = "An encoder takes one input: float32 (N, 3, H, W), RGB in [0, 1]."
_Run: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class OnnxEncoder(Encoder):
    """The first output of an ONNX model, flattened to `(N, D)`.

    The model takes float32 `(N, 3, H, W)`, RGB in [0, 1]; any other normalisation belongs inside
    it. If it fixes height and width, images are scaled to them; if it fixes the batch, that is
    the batch.

    Attributes:
        path: The file.
        threads: Threads that ONNX Runtime computes with.
        device: `cpu`, or `cuda` (needs onnxruntime-gpu).

    Raises:
        DataError: There is no such file.
    """

    path: Path
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise DataError(f"{self.path}: there is no such file. Give the path of an ONNX model.")

    @property
    def form(self) -> Form:
        """Unit length: which features stand out counts, not how strongly all of them do."""
        return "unit"

    def identity(self) -> dict[str, Json]:
        """File name, and SHA-256 of the file."""
        return {"name": self.path.name, "sha256": hashlib.sha256(self._content).hexdigest()}

    def encode(
        self, images: NDArray[np.uint8], on_progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the features `(N, D)`."""
        run, (batch, _, height, width) = self._open()
        size = (height or images.shape[2], width or images.shape[3])
        sized = {} if batch is None else {"size": batch}
        parts = []
        for pixels in batches(images, on_progress, **sized):
            scaled = resize_images(pixels, size)
            missing = 0 if batch is None else batch - len(scaled)
            filled = np.pad(scaled, ((0, missing), (0, 0), (0, 0), (0, 0)))
            outputs = run(filled.astype(np.float32) / np.float32(255))
            parts.append(self._as_rows(outputs, len(filled))[: len(scaled)])
        return np.concatenate(parts)

    @cached_property
    def _content(self) -> bytes:
        return self.path.read_bytes()

    def _open(self) -> tuple[_Run, tuple[int | None, ...]]:
        """Return the model as a function, and the shape of its input; None is any."""
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        from motemo.onnx.session import open_session

        try:
            model = onnx.load_model_from_string(self._content)
            onnx.load_external_data_for_model(model, str(self.path.parent))
        except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
            raise DataError(f"{self.path}: cannot be read as an ONNX model: {error}.") from error
        shape = self._name_input(model)
        provider = "CUDAExecutionProvider" if self.device == "cuda" else "CPUExecutionProvider"
        try:
            return open_session(model, provider=provider, threads=self.threads), shape
        except EvaluationError as error:
            raise DataError(f"{self.path}: {error}") from error

    def _name_input(self, model: onnx.ModelProto) -> tuple[int | None, ...]:
        """Give the model's input the name that sessions feed; return its shape."""
        import onnx

        from motemo.onnx.names import INPUT

        stored = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in stored]
        if len(inputs) != 1:
            names = ", ".join(value.name for value in inputs) or "none"
            raise DataError(f"{self.path}: inputs: {names}. {_WANTED}")
        [value] = inputs
        kind = value.type.tensor_type
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        if kind.elem_type != onnx.TensorProto.FLOAT or len(shape) != 4 or shape[1] not in (3, None):
            shown = ", ".join("?" if side is None else str(side) for side in shape)
            name = onnx.TensorProto.DataType.Name(kind.elem_type)
            raise DataError(f"{self.path}: its input is {name} ({shown}). {_WANTED}")
        if value.name != INPUT:
            model.graph.node.insert(0, onnx.helper.make_node("Identity", [INPUT], [value.name]))
            value.name = INPUT
        return shape

    def _as_rows(self, outputs: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if outputs.shape[:1] != (count,):
            raise DataError(
                f"{self.path}: its first output has shape {outputs.shape} for {count} images. "
                "An encoder gives one row of features per image."
            )
        return outputs.reshape(count, -1).astype(np.float32)
