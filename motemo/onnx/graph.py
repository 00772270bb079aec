"""ONNX graphs from torch networks.

torch's own exporter takes seconds a network, which a search cannot afford. Networks of the
operators in the two tables at the end are therefore written directly, node by node, from their
`torch.fx` trace, in milliseconds; any other network goes through torch's exporter.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from motemo.errors import EvaluationError
from motemo.onnx.names import INPUT, IR_VERSION, OPSET, OUTPUT
from motemo.space import Shape
from motemo.threads import single_threaded


def build_onnx(
    network: nn.Module,
    input_shape: Shape,
    *,
    batch: int | str = 1,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return the network as an ONNX model, in evaluation mode, with its weights.

    Args:
        network: Maps images `(N, C, H, W)` to logits `(N, K)`. Left as it was.
        input_shape: Shape of one image, (C, H, W).
        batch: The batch size, or a name such as `"N"` for a free one.
        metadata: Entries of the model's metadata.

    Raises:
        EvaluationError: Neither way could export it.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        try:
            model = _write_directly(network, input_shape, batch=batch)
        except _UnsupportedError:
            model = _write_with_torch(network, input_shape, batch=batch)
    finally:
        for module, training in modes.items():
            module.training = training
    helper.set_model_props(model, dict(metadata or {}))
    return model


class _UnsupportedError(Exception):
    """The network has an operator that is in neither table."""


def _write_with_torch(
    network: nn.Module, input_shape: Shape, *, batch: int | str
) -> onnx.ModelProto:
    size = batch if isinstance(batch, int) else 2
    shapes = None if isinstance(batch, int) else ({0: torch.export.Dim(batch)},)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns of its own ageing
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                network,
                (torch.zeros(size, *input_shape),),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:
            summary = str(error).strip().splitlines()[0]
            raise EvaluationError(f"ONNX export failed: {summary}") from error
        finally:
            logging.disable(level)
    if program is None:
        raise EvaluationError("ONNX export failed: torch's exporter returned nothing")
    return program.model_proto


def _write_directly(network: nn.Module, input_shape: Shape, *, batch: int | str) -> onnx.ModelProto:
    try:
        traced = fx.Tracer().trace(network)  # no GraphModule: nobody needs its Python code
    except Exception as error:  # tracing runs the user's own forward, which may raise anything
        raise _UnsupportedError(str(error)) from error
    _require_same(network, traced, input_shape)
    graph = _Graph(network)
    for node in traced.nodes:
        graph.add(node)
    shape = [batch, *input_shape]
    proto = helper.make_graph(
        graph.nodes,
        type(network).__name__,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, None])],
        graph.weights,
    )
    return helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="motemo",
    )


def _require_same(network: nn.Module, traced: fx.Graph, input_shape: Shape) -> None:
    """Refuse a trace that computes something else: `fx` does not see `x += y` overwrite x."""
    images = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0))
    interpreter = _NotesShapes(network, graph=traced)
    with torch.inference_mode(), single_threaded():
        if not torch.allclose(network(images), interpreter.run(images), rtol=1e-4, atol=1e-6):
            raise _UnsupportedError("the trace computes something else")


class _NotesShapes(fx.Interpreter):
    """Runs a trace and notes the shape of every tensor at its node."""

    def run_node(self, n: fx.Node) -> object:
        """Return what the node computes."""
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


@dataclass
class _Graph:
    """An ONNX graph in the making."""

    network: nn.Module
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[fx.Node, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of tensors for a batch of one image, by name."""

    def add(self, node: fx.Node) -> None:
        """Add what one traced node does."""
        match node.op:
            case "placeholder":
                if INPUT in self.names.values():
                    raise _UnsupportedError("more than one input")
                self.names[node] = INPUT
            case "output":
                if not isinstance(node.args[0], fx.Node):
                    raise _UnsupportedError("not exactly one output")
                self.emit("Identity", [self.names[node.args[0]]], name=OUTPUT)
            case "call_module":
                module = self.network.get_submodule(str(node.target))
                convert = _MODULES.get(type(module))
                if convert is None or node.kwargs:
                    raise _UnsupportedError(type(module).__name__)
                if getattr(module, "inplace", False):
                    _require_sole_user(node)
                self.names[node] = convert(self, module, self._input(node.args[0]))
            case "call_function" | "call_method":
                convert_call = _CALLS.get(node.target)
                if convert_call is None:
                    raise _UnsupportedError(str(node.target))
                self.names[node] = convert_call(self, node)
            case "get_attr":
                value = operator.attrgetter(str(node.target))(self.network)
                if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
                    raise _UnsupportedError(f"the attribute {node.target}")
                self.names[node] = self.weight(value)
            case _:
                raise _UnsupportedError(node.op)
        if node in self.names and "shape" in node.meta:
            self.shapes[self.names[node]] = node.meta["shape"]

    def _input(self, value: object) -> str:
        if not isinstance(value, fx.Node):
            raise _UnsupportedError(f"argument {value!r}")
        return self.names[value]

    def operand(self, value: object) -> str:
        """Return the name of a tensor, or of a constant for a number."""
        if isinstance(value, int | float):
            return self.weight(np.asarray(value, dtype=np.float32))
        return self._input(value)

    def emit(
        self,
        kind: str,
        inputs: Iterable[str],
        attributes: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
    ) -> str:
        """Add one operator and return the name of its output."""
        name = name or f"t{len(self.nodes)}"
        node = helper.make_node(kind, [*inputs], [name])
        for key, value in (attributes or {}).items():
            node.attribute.append(helper.make_attribute(key, value))
        self.nodes.append(node)
        return name

    def weight(self, value: torch.Tensor | NDArray[Any]) -> str:
        """Add a constant tensor and return its name."""
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name


def _require_sole_user(node: fx.Node) -> None:
    """Refuse an operator that overwrites a tensor which another operator reads too."""
    overwritten = node.args[0]
    if not isinstance(overwritten, fx.Node) or len(overwritten.users) > 1:
        raise _UnsupportedError("overwriting in place")


def _pair(value: Any) -> list[int]:  # noqa: ANN401  (torch's modules take an int or a pair)
    return [int(v) for v in value] if isinstance(value, Sequence) else [int(value)] * 2


def _padding(value: Any) -> list[int]:  # noqa: ANN401
    if isinstance(value, str):
        raise _UnsupportedError(f"padding {value!r}")
    return _pair(value) * 2


def _conv(graph: _Graph, module: nn.Conv2d, x: str) -> str:
    if module.padding_mode != "zeros":
        raise _UnsupportedError(f"padding mode {module.padding_mode!r}")
    weights = [graph.weight(w) for w in (module.weight, module.bias) if w is not None]
    attributes = {
        "kernel_shape": _pair(module.kernel_size),
        "strides": _pair(module.stride),
        "pads": _padding(module.padding),
        "dilations": _pair(module.dilation),
        "group": module.groups,
    }
    return graph.emit("Conv", [x, *weights], attributes)


def _batch_norm(graph: _Graph, module: nn.BatchNorm2d, x: str) -> str:
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        raise _UnsupportedError("batch normalisation without running statistics")
    scale = module.weight if module.affine else torch.ones_like(mean)
    shift = module.bias if module.affine else torch.zeros_like(mean)
    weights = [graph.weight(w) for w in (scale, shift, mean, variance)]
    return graph.emit("BatchNormalization", [x, *weights], {"epsilon": module.eps})


def _layer_norm(graph: _Graph, module: nn.LayerNorm, x: str) -> str:
    shape = module.normalized_shape
    scale = torch.ones(shape) if module.weight is None else module.weight
    weights = [graph.weight(w) for w in (scale, module.bias) if w is not None]
    attributes = {"axis": -len(shape), "epsilon": module.eps}
    return graph.emit("LayerNormalization", [x, *weights], attributes)


def _gelu(graph: _Graph, module: nn.GELU, x: str) -> str:
    """Write the Gaussian error linear unit by its definition, `x / 2 * (1 + erf(x / sqrt(2)))`."""
    if module.approximate != "none":
        raise _UnsupportedError("an approximate GELU")
    erf = graph.emit("Erf", [graph.emit("Div", [x, graph.operand(math.sqrt(2))])])
    doubled = graph.emit("Mul", [x, graph.emit("Add", [erf, graph.operand(1.0)])])
    return graph.emit("Mul", [doubled, graph.operand(0.5)])


def _avg_pool(graph: _Graph, module: nn.AvgPool2d, x: str) -> str:
    if module.divisor_override is not None:
        raise _UnsupportedError("average pooling with a divisor of its own")
    attributes = {
        "kernel_shape": _pair(module.kernel_size),
        "strides": _pair(module.stride),
        "pads": _padding(module.padding),
        "ceil_mode": int(module.ceil_mode),
        "count_include_pad": int(module.count_include_pad),
    }
    return graph.emit("AveragePool", [x], attributes)


def _max_pool(graph: _Graph, module: nn.MaxPool2d, x: str) -> str:
    attributes = {
        "kernel_shape": _pair(module.kernel_size),
        "strides": _pair(module.stride),
        "pads": _padding(module.padding),
        "dilations": _pair(module.dilation),
        "ceil_mode": int(module.ceil_mode),
    }
    return graph.emit("MaxPool", [x], attributes)


def _global_pool(graph: _Graph, module: nn.AdaptiveAvgPool2d, x: str) -> str:
    if module.output_size not in (1, (1, 1)):
        raise _UnsupportedError(f"adaptive pooling to {module.output_size}")
    return graph.emit("GlobalAveragePool", [x])


def _flatten(graph: _Graph, module: nn.Flatten, x: str) -> str:
    if module.start_dim < 1 or module.end_dim != -1:
        raise _UnsupportedError(f"flattening dimensions {module.start_dim} to {module.end_dim}")
    if module.start_dim == 1:
        return graph.emit("Flatten", [x], {"axis": 1})
    return _reshape(graph, x, [*graph.shapes[x][1 : module.start_dim], -1])


def _unflatten(graph: _Graph, module: nn.Unflatten, x: str) -> str:
    shape = graph.shapes[x]
    if not isinstance(module.dim, int) or module.dim % len(shape) == 0:
        raise _UnsupportedError(f"unflattening dimension {module.dim}")
    dim = module.dim % len(shape)
    sizes = [int(size) for size in module.unflattened_size]
    return _reshape(graph, x, [*shape[1:dim], *sizes, *shape[dim + 1 :]])


def _reshape(graph: _Graph, x: str, sizes: Sequence[int]) -> str:
    """Reshape all but the batch; 0 keeps its size."""
    return graph.emit("Reshape", [x, graph.weight(np.array([0, *sizes], dtype=np.int64))])


def _zero_pad(graph: _Graph, module: nn.ZeroPad2d, x: str) -> str:
    left, right, top, bottom = module.padding
    others = [0] * (len(graph.shapes[x]) - 2)
    pads = np.array([*others, top, left, *others, bottom, right], dtype=np.int64)
    return graph.emit("Pad", [x, graph.weight(pads)])


def _channel_shuffle(graph: _Graph, module: nn.ChannelShuffle, x: str) -> str:
    """Turn the channels from (group, channel) to (channel, group); 0 keeps the batch size."""
    resolution = graph.shapes[x][2:]
    grouped, ungrouped = (
        graph.weight(np.array([0, *channels, *resolution], dtype=np.int64))
        for channels in ((module.groups, -1), (-1,))
    )
    turned = graph.emit(
        "Transpose", [graph.emit("Reshape", [x, grouped])], {"perm": [0, 2, 1, 3, 4]}
    )
    return graph.emit("Reshape", [turned, ungrouped])


def _upsample(graph: _Graph, module: nn.Upsample, x: str) -> str:
    if module.mode != "bilinear" or module.align_corners or module.size is None:
        raise _UnsupportedError(f"resizing by {module.mode!r}")
    resolution = graph.weight(np.array(_pair(module.size), dtype=np.int64))
    return graph.emit("Resize", [x, "", "", resolution], {"mode": "linear", "axes": [2, 3]})


def _linear(graph: _Graph, module: nn.Linear, x: str) -> str:
    parameters = dict(module.named_parameters())
    product = graph.emit("MatMul", [x, graph.weight(parameters["weight"].T)])
    if "bias" not in parameters:
        return product
    return graph.emit("Add", [product, graph.weight(parameters["bias"])])


def _unchanged(graph: _Graph, module: nn.Module, x: str) -> str:
    return x


def _clip(low: float, high: float) -> Callable[[_Graph, nn.Module, str], str]:
    def convert(graph: _Graph, module: nn.Module, x: str) -> str:
        return graph.emit("Clip", [x, graph.operand(low), graph.operand(high)])

    return convert


def _silu(graph: _Graph, module: nn.Module, x: str) -> str:
    return graph.emit("Mul", [x, graph.emit("Sigmoid", [x])])


def _plain(kind: str, attributes: Mapping[str, object] | None = None) -> _ConvertModule:
    def convert(graph: _Graph, module: nn.Module, x: str) -> str:
        return graph.emit(kind, [x], attributes)

    return convert


def _binary(kind: str) -> _ConvertCall:
    def convert(graph: _Graph, node: fx.Node) -> str:
        if node.kwargs or len(node.args) != 2:
            raise _UnsupportedError(str(node.kwargs))
        return graph.emit(kind, [graph.operand(value) for value in node.args])

    return convert


def _in_place_add(graph: _Graph, node: fx.Node) -> str:
    _require_sole_user(node)
    return _binary("Add")(graph, node)


def _relu_call(graph: _Graph, node: fx.Node) -> str:
    if node.kwargs.get("inplace") or len(node.args) != 1:
        raise _UnsupportedError(str(node.kwargs))
    return graph.emit("Relu", [graph.operand(node.args[0])])


def _flatten_call(graph: _Graph, node: fx.Node) -> str:
    given = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
    if {"start_dim": 0, "end_dim": -1} | given != {"start_dim": 1, "end_dim": -1}:
        raise _UnsupportedError(f"flattening {given}")
    return graph.emit("Flatten", [graph.operand(node.args[0])], {"axis": 1})


def _cat_call(graph: _Graph, node: fx.Node) -> str:
    given = dict(zip(("tensors", "dim"), node.args, strict=False)) | node.kwargs
    tensors = given.pop("tensors", None)
    axis = given.pop("dim", 0)
    if not isinstance(tensors, Sequence) or given:
        raise _UnsupportedError("concatenation of a computed list")
    return graph.emit("Concat", [graph.operand(t) for t in tensors], {"axis": axis})


def _getitem_call(graph: _Graph, node: fx.Node) -> str:
    """Write `x[:, i]` and `x[:, start:stop]`: one, or some, along the second dimension."""
    x, index = node.args
    if not isinstance(index, tuple) or len(index) != 2 or index[0] != slice(None):
        raise _UnsupportedError(f"indexing by {index}")
    part = index[1]
    if isinstance(part, int):
        return graph.emit("Gather", [graph.operand(x), graph.weight(np.array(part))], {"axis": 1})
    if not isinstance(part, slice) or part.step not in (None, 1):
        raise _UnsupportedError(f"indexing by {index}")
    ends = (part.start or 0, np.iinfo(np.int64).max if part.stop is None else part.stop)
    if not all(isinstance(end, int) for end in ends):
        raise _UnsupportedError(f"indexing by {index}")
    start, stop, axis = (graph.weight(np.array([n], dtype=np.int64)) for n in (*ends, 1))
    return graph.emit("Slice", [graph.operand(x), start, stop, axis])


def _transpose_call(graph: _Graph, node: fx.Node) -> str:
    x, *dims = node.args
    order = [*range(len(graph.shapes[graph.operand(x)]))]
    if node.kwargs or len(dims) != 2 or not all(isinstance(dim, int) for dim in dims):
        raise _UnsupportedError(f"transposing {node.args} {node.kwargs}")
    one, other = (order[dim] for dim in dims if isinstance(dim, int))
    order[one], order[other] = order[other], order[one]
    return _permuted(graph, x, order)


def _permute_call(graph: _Graph, node: fx.Node) -> str:
    x, *order = node.args
    if node.kwargs:
        raise _UnsupportedError(f"permuting by {node.kwargs}")
    return _permuted(graph, x, order)


def _permuted(graph: _Graph, x: object, order: Sequence[object]) -> str:
    """Permute all but the batch, which stays first: shapes are known for one image only."""
    if not all(isinstance(dim, int) and dim >= 0 for dim in order) or order[0] != 0:
        raise _UnsupportedError(f"permuting to {order}")
    return graph.emit("Transpose", [graph.operand(x)], {"perm": order})


def _softmax_call(graph: _Graph, node: fx.Node) -> str:
    return graph.emit("Softmax", [graph.operand(node.args[0])], {"axis": _dimension(node)})


def _mean_call(graph: _Graph, node: fx.Node) -> str:
    axes = graph.weight(np.array([_dimension(node)], dtype=np.int64))
    return graph.emit("ReduceMean", [graph.operand(node.args[0]), axes], {"keepdims": 0})


def _dimension(node: fx.Node) -> int:
    """Return the one dimension that a call works along, and has no other argument beside."""
    given = dict(zip(("dim",), node.args[1:], strict=False)) | node.kwargs
    dim = given.get("dim")
    if not isinstance(dim, int) or len(given) != 1 or len(node.args) > 2:
        raise _UnsupportedError(f"{node.target} with {node.args[1:]} {node.kwargs}")
    return dim


_ConvertModule: TypeAlias = Callable[[_Graph, Any, str], str]
_ConvertCall: TypeAlias = Callable[[_Graph, fx.Node], str]

_MODULES: dict[type[nn.Module], _ConvertModule] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    nn.AvgPool2d: _avg_pool,
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.ZeroPad2d: _zero_pad,
    nn.ChannelShuffle: _channel_shuffle,
    nn.Upsample: _upsample,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
    nn.Identity: _unchanged,
    nn.Dropout: _unchanged,
    nn.ReLU: _plain("Relu"),
    nn.ReLU6: _clip(0.0, 6.0),
    nn.Sigmoid: _plain("Sigmoid"),
    nn.Tanh: _plain("Tanh"),
    nn.SiLU: _silu,
    nn.GELU: _gelu,
    nn.Hardswish: _plain("HardSwish"),
    nn.Hardsigmoid: _plain("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}
_CALLS: dict[object, _ConvertCall] = {
    operator.add: _binary("Add"),
    operator.iadd: _in_place_add,
    torch.add: _binary("Add"),
    operator.mul: _binary("Mul"),
    torch.mul: _binary("Mul"),
    operator.sub: _binary("Sub"),
    operator.matmul: _binary("MatMul"),
    torch.matmul: _binary("MatMul"),
    operator.getitem: _getitem_call,
    "transpose": _transpose_call,
    "permute": _permute_call,
    "softmax": _softmax_call,
    "mean": _mean_call,
    F.relu: _relu_call,
    torch.relu: _relu_call,
    "relu": _relu_call,
    torch.flatten: _flatten_call,
    "flatten": _flatten_call,
    torch.cat: _cat_call,
}
