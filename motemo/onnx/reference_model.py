"""A small network as an ONNX graph, the same on every machine, made without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from motemo.onnx.names import INPUT, IR_VERSION, OPSET, OUTPUT

_CHANNELS, _SIZE, _CLASSES = 32, 32, 10


def reference_model(*, batch: int = 1) -> onnx.ModelProto:
    """Return two 3x3 convolutions and a classifier, 10 million multiply-adds an image.

    Maps images `(batch, 3, 32, 32)` to logits `(batch, 10)`.
    """
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = rng.normal(scale=0.1, size=shape).astype(np.float32)
        return numpy_helper.from_array(values, name)

    kernel: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", [INPUT, "w1", "b1"], ["c1"], **kernel),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], **kernel),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (batch, 3, _SIZE, _SIZE))],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (batch, _CLASSES))],
        [
            weights("w1", _CHANNELS, 3, 3, 3),
            weights("b1", _CHANNELS),
            weights("w2", _CHANNELS, _CHANNELS, 3, 3),
            weights("b2", _CHANNELS),
            weights("w3", _CHANNELS, _CLASSES),
            weights("b3", _CLASSES),
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
