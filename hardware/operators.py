"""Which operators a network runs, as a runtime sees them: by kind, attributes and shapes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import onnx
from onnx import helper

from motemo.errors import EvaluationError
from motemo.onnx.graph import build_onnx
from motemo.space import Shape

if TYPE_CHECKING:
    from torch import nn

_FREE = ("Identity", "Flatten", "Reshape", "Constant")
_FOLDED = ("BatchNormalization",)
_ACTIVATIONS = ("Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "LeakyRelu")
_FOUR_BYTES = 4

_Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Operator:
    """One operator of a network for one image; equal operators cost the same.

    Attributes:
        name: Kind, attributes and shapes, as one word for people and files.
        multiply_adds: Of convolutions and matrix products; 0 for others.
        bytes_moved: Inputs, weights and outputs, each once, as float32.
    """

    name: str
    multiply_adds: int
    bytes_moved: int


def operators(network: nn.Module, input_shape: Shape) -> Counter[Operator]:
    """Return how often each operator runs in one inference of a network.

    Counted is what a runtime that optimises graphs is left with: what only renames a tensor is
    gone, equal operators on the same input run once, and the normalisation after a convolution is
    folded into it. An activation that can be fused with the convolution before it, since nobody
    else reads that, is an operator of another name. Dead branches count: ONNX Runtime runs them.

    Raises:
        EvaluationError: The network cannot be written as a graph, or a shape is not known.
    """
    graph = onnx.shape_inference.infer_shapes(build_onnx(network, input_shape)).graph
    weights = {w.name: tuple(w.dims) for w in graph.initializer}
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    nodes = _merged(graph.node)
    convolved = _read_once_after_convolution(nodes)
    found: Counter[Operator] = Counter()
    for node in nodes:
        if node.op_type not in (*_FREE, *_FOLDED):
            found[_operator(node, shapes, weights, fused=node.input[0] in convolved)] += 1
    return found


def _merged(nodes: Collection[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return nodes with the names of what computes the same replaced by one of them."""
    same: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    kept = []
    for node in nodes:
        inputs = [same.get(name, name) for name in node.input]
        if node.op_type == "Identity":
            same[node.output[0]] = inputs[0]
            continue
        merged = helper.make_node(node.op_type, inputs, list(node.output))
        merged.attribute.extend(node.attribute)
        attributes = tuple(a.SerializeToString() for a in node.attribute)
        key = (node.op_type, tuple(inputs), attributes)
        if key in first:
            same[node.output[0]] = first[key]
        else:
            first[key] = node.output[0]
            kept.append(merged)
    return kept


def _read_once_after_convolution(nodes: Collection[onnx.NodeProto]) -> set[str]:
    """Return the tensors that a (normalised) convolution gives and one operator reads."""
    readers = Counter(name for node in nodes for name in node.input)
    convolved: set[str] = set()
    for node in nodes:
        if node.op_type == "Conv" or (node.op_type in _FOLDED and node.input[0] in convolved):
            convolved.update(name for name in node.output if readers[name] == 1)
    return convolved


def _operator(node: onnx.NodeProto, shapes: _Shapes, weights: _Shapes, *, fused: bool) -> Operator:
    try:
        inputs = [shapes[name] for name in node.input if name not in weights]
        outputs = [shapes[name] for name in node.output]
    except KeyError as error:
        raise EvaluationError(
            f"the shape of {error} in the ONNX graph is not known, so {node.op_type} cannot be "
            "looked up"
        ) from error
    constants = [weights[name] for name in node.input if name in weights]
    attributes = " ".join(
        f"{a.name}={_text(helper.get_attribute_value(a))}"
        for a in sorted(node.attribute, key=lambda a: a.name)
    )
    kind = f"{node.op_type}+" if fused and node.op_type in _ACTIVATIONS else node.op_type
    sizes = ",".join(map(_text, inputs)) + "->" + ",".join(map(_text, outputs))
    moved = sum(math.prod(shape) for shape in (*inputs, *outputs, *constants))
    return Operator(
        " ".join(filter(None, (kind, sizes, attributes))),
        _multiply_adds(node.op_type, outputs[0], constants, inputs),
        _FOUR_BYTES * moved,
    )


def _multiply_adds(
    kind: str,
    output: tuple[int, ...],
    constants: list[tuple[int, ...]],
    inputs: list[tuple[int, ...]],
) -> int:
    if kind == "Conv" and constants:
        return math.prod(output) * math.prod(constants[0][1:])
    if kind in ("MatMul", "Gemm"):
        return math.prod(output) * inputs[0][-1]
    return 0


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return "x".join(map(_text, value))
    return value.decode() if isinstance(value, bytes) else f"{value}"
