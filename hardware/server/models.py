"""Reading ONNX models that came from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]

from motemo.errors import EvaluationError
from motemo.onnx.names import INPUT, OUTPUT

_DOMAINS = ("", "ai.onnx")


def read_model(content: bytes) -> onnx.ModelProto:
    """Return a model that is whole in itself: it can open no file and load no code.

    Raises:
        EvaluationError: It is no ONNX model, not from images to logits, keeps weights in other
            files, or has operators that are not ONNX's own (one of them, `EPContext`, opens files).
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise EvaluationError("what arrived is no ONNX model") from error
    _require_network(model.graph)
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto):
            if message.data_location != onnx.TensorProto.DEFAULT or message.external_data:
                raise EvaluationError(
                    f"the weight {message.name!r} lies outside the model; a device accepts only "
                    "models that hold all their weights"
                )
        elif isinstance(message, onnx.NodeProto) and message.domain not in _DOMAINS:
            raise EvaluationError(
                f"the operator {message.op_type} is of the domain {message.domain!r}; a device "
                "accepts only ONNX's own operators"
            )
    return model


def _require_network(graph: onnx.GraphProto) -> None:
    weights = {weight.name for weight in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    ends = [(value.name, len(value.type.tensor_type.shape.dim)) for value in inputs]
    ends += [(value.name, len(value.type.tensor_type.shape.dim)) for value in graph.output]
    if not graph.node:
        raise EvaluationError("what arrived is no ONNX model: it has no graph")
    if ends != [(INPUT, 4), (OUTPUT, 2)]:
        raise EvaluationError(
            f"a device needs a network from {INPUT} (N, C, H, W) to {OUTPUT} (N, K); got inputs "
            f"and outputs {ends}"
        )


def _messages(message: Message) -> Iterator[Message]:
    """Yield a message and all that is in it, at any depth."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else value)
