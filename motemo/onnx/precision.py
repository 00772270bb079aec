"""ONNX models in other precisions than float32."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from motemo.errors import EvaluationError
from motemo.onnx.names import INPUT

PRECISIONS = ("float32", "float16", "int8", "int8_dynamic")
_QUANTIZED = ["Conv", "MatMul", "Gemm", "Relu", "Clip"]
"""Products, and what ONNX Runtime fuses with them. It adds and pools slower in int8 than in
float32."""


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose weights, activations, images and logits are float16.

    Batch normalisation is folded into the convolutions; what cannot be folded stays float32, as
    variances are often beyond float16.

    Raises:
        EvaluationError: ONNX Runtime cannot convert it.
    """
    with _files(model) as (source, target):
        from onnxruntime.quantization.preprocess import quant_pre_process
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

        quant_pre_process(source, target, skip_symbolic_shape=True)
        half: onnx.ModelProto = convert_float_to_float16(
            onnx.load(target),
            keep_io_types=False,
            max_finite_val=float(np.finfo(np.float16).max),
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, "BatchNormalization"],
        )
        return half


def quantize(model: onnx.ModelProto, images: NDArray[np.float32]) -> onnx.ModelProto:
    """Return a copy with int8 weights, per channel, and uint8 activations of fixed scales.

    Batch normalisation is first folded into the convolutions. Convolutions, matrix products and
    the activations right behind them are quantised. On an x86 processor without VNNI, products of
    8 bits may saturate.

    Args:
        model: If it takes batches of any size, calibration is quicker.
        images: `(N, C, H, W)`; the scales are those of their smallest and largest activations.

    Raises:
        EvaluationError: ONNX Runtime cannot quantise it.
    """
    with _files(model) as (source, target):
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.preprocess import quant_pre_process

        folded = source.with_name("folded.onnx")
        quant_pre_process(source, folded, skip_symbolic_shape=True)
        quantize_static(
            folded,
            target,
            _Batches(images, batch_size(model) or len(images)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


def quantize_dynamically(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with int8 weights, per channel, and activations that are scaled as they come.

    Made for matrix products: ONNX Runtime's convolutions of this kind are slow.

    Raises:
        EvaluationError: ONNX Runtime cannot quantise it.
    """
    with _files(model) as (source, target):
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(target)


def batch_size(model: onnx.ModelProto) -> int | None:
    """Return how many images a model takes at once, None if any number."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    return first.dim_value or None


def with_batch_size(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """Return a copy of a model for any number of images that takes so many at once."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    del copy.graph.value_info[:]  # shapes of any number
    return copy


class _Batches:
    """Calibration images, as ONNX Runtime reads them."""

    def __init__(self, images: NDArray[np.float32], size: int) -> None:
        starts = range(0, len(images), size)
        self._batches: Iterator[dict[str, Any]] = iter(
            [{INPUT: images[start : start + size]} for start in starts]
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None."""
        return next(self._batches, None)


@contextmanager
def _files(model: onnx.ModelProto) -> Iterator[tuple[Path, Path]]:
    """Yield the file of a model and one to write, both gone in the end.

    What a conversion raises becomes an EvaluationError. What it warns of is silenced: biases that
    are quantised per tensor, and a dynamic quantisation without ONNX Runtime's own preparation.
    """
    path = [*sys.path]  # onnxruntime.transformers adds its own folder
    level = logging.root.manager.disable
    silent = logging.NullHandler()
    logging.root.addHandler(silent)  # else `logging.warning` would set up the root logger for good
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="motemo-") as folder:
            source = Path(folder) / "float32.onnx"
            onnx.save(model, source)
            yield source, source.with_name("converted.onnx")
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise EvaluationError(f"ONNX Runtime cannot convert the model: {error}") from error
    finally:
        logging.disable(level)
        logging.root.removeHandler(silent)
        sys.path[:] = path
