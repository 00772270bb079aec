"""How much memory the tensors of an ONNX graph take while it runs, by liveness."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import onnx
from onnx import helper

from motemo.errors import EvaluationError


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Bytes that a graph needs at once, if its nodes run one by one in the stored order.

    Attributes:
        weights: Bytes of the graph's initialisers; they stay.
        activations: Most bytes of other tensors that are live at once: the input images, the
            inputs and outputs of the running node, and what a later node still reads.
        node: The node at which that is so (the first one), as `operator(inputs) -> outputs`.
        shapes: Shapes of the activations that are live there, by name.
    """

    weights: int
    activations: int
    node: str
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    itemsize: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.itemsize


def peak_memory(model: onnx.ModelProto) -> PeakMemory:
    """Return the weights and the largest sum of live activations.

    Nothing is overwritten in place, no two operators are fused, no tensor is a view of another,
    no operator needs scratch memory, and what nobody reads any more is freed at once.

    Raises:
        EvaluationError: A tensor's shape is not known, as with a free batch size.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    weights = {w.name: _Tensor(tuple(w.dims), _itemsize(w.data_type)) for w in graph.initializer}
    tensors = _activations(graph, constant=weights.keys())
    outputs = [output.name for output in graph.output]
    last_use = {name: index for index, node in enumerate(graph.node) for name in node.input}
    last_use |= dict.fromkeys(outputs, len(graph.node))
    live = {i.name: tensors[i.name] for i in graph.input if i.name in tensors}
    peak, peak_node, peak_live = sum(t.size for t in live.values()), "the input", dict(live)
    for index, node in enumerate(graph.node):
        live |= {name: _known(tensors, name) for name in node.output if name}
        size = sum(tensor.size for tensor in live.values())
        if size > peak:
            peak, peak_node, peak_live = size, _text(node), dict(live)
        live = {name: t for name, t in live.items() if last_use.get(name, -1) > index}
    return PeakMemory(
        weights=sum(tensor.size for tensor in weights.values()),
        activations=peak,
        node=peak_node,
        shapes={name: tensor.shape for name, tensor in peak_live.items()},
    )


def _activations(graph: onnx.GraphProto, *, constant: Iterable[str]) -> dict[str, _Tensor]:
    """Return every tensor of known shape that is not constant."""
    values = [*graph.input, *graph.value_info, *graph.output]
    known = {}
    for value in values:
        tensor = value.type.tensor_type
        sizes = [d.dim_value for d in tensor.shape.dim if d.HasField("dim_value")]
        if tensor.HasField("shape") and len(sizes) == len(tensor.shape.dim):
            known[value.name] = _Tensor(tuple(sizes), _itemsize(tensor.elem_type))
    return {name: tensor for name, tensor in known.items() if name not in set(constant)}


def _known(tensors: dict[str, _Tensor], name: str) -> _Tensor:
    if name not in tensors:
        raise EvaluationError(
            f"The shape of {name!r} in the ONNX graph is not known, so its memory cannot be "
            "counted. Export with a fixed batch size and operators whose shapes can be inferred."
        )
    return tensors[name]


def _itemsize(element_type: int) -> int:
    return int(helper.tensor_dtype_to_np_dtype(element_type).itemsize)


def _text(node: onnx.NodeProto) -> str:
    return f"{node.op_type}({', '.join(node.input)}) -> {', '.join(node.output)}"
