"""Giving the layers of a followed network other widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from motemo.spaces.shrinking.calls import Followed, Layer
from motemo.spaces.shrinking.sizes import Atom, Axis


def narrow(followed: Followed, widths: Mapping[Atom, int]) -> fx.GraphModule:
    """Return the network with these sizes of its free widths; the followed one is used up.

    Weights that change are cut from the old ones.
    """

    def new(axis: Axis) -> int:
        return followed.sizes.size(axis, widths)

    for path, layer in followed.layers.items():
        _resize(followed.graph.get_submodule(path), layer, new)
    for path, axes in followed.parameters.items():
        parent, _, name = path.rpartition(".")
        _cut(followed.graph.get_submodule(parent), name, [new(axis) for axis in axes])
    for path, axes in followed.unflattened.items():
        module = followed.graph.get_submodule(path)
        module.unflattened_size = tuple(new(axis) for axis in axes)  # type: ignore[assignment]
    for node in followed.graph.graph.nodes:
        if node.name in followed.literals:
            node.args = followed.literals[node.name](node.args, new)
    followed.graph.recompile()
    return followed.graph


def _resize(module: nn.Module, layer: Layer, new: Any) -> None:  # noqa: ANN401
    inputs, outputs, groups = new(layer.inputs), new(layer.outputs), new(layer.groups)
    shapes: dict[str, tuple[int, ...]] = {}
    match module:
        case nn.modules.conv._ConvNd():
            module.in_channels, module.out_channels, module.groups = inputs, outputs, groups
            rows, columns = outputs, inputs // groups
            if module.transposed:
                rows, columns = inputs, outputs // groups
            shapes = {"weight": (rows, columns, *module.kernel_size), "bias": (outputs,)}
        case nn.Linear():
            module.in_features, module.out_features = inputs, outputs
            shapes = {"weight": (outputs, inputs), "bias": (outputs,)}
        case nn.modules.batchnorm._NormBase():
            module.num_features = inputs
            names = ("weight", "bias", "running_mean", "running_var")
            shapes = dict.fromkeys(names, (inputs,))
        case nn.GroupNorm():
            module.num_channels = inputs
            shapes = dict.fromkeys(("weight", "bias"), (inputs,))
        case nn.LayerNorm():
            module.normalized_shape = (*module.normalized_shape[:-1], inputs)
            shapes = dict.fromkeys(("weight", "bias"), module.normalized_shape)
        case nn.PReLU():
            module.num_parameters = inputs
            shapes = {"weight": (inputs,)}
        case nn.MultiheadAttention():
            module.embed_dim = module.kdim = module.vdim = inputs
            module.head_dim = inputs // module.num_heads
            shapes = {"in_proj_weight": (3 * inputs, inputs), "in_proj_bias": (3 * inputs,)}
            module.out_proj.in_features = module.out_proj.out_features = inputs
            _cut(module.out_proj, "weight", (inputs, inputs))
            _cut(module.out_proj, "bias", (inputs,))
    for name, shape in shapes.items():
        _cut(module, name, shape)


def _cut(module: nn.Module, name: str, shape: Any) -> None:  # noqa: ANN401
    """Keep the first rows of each axis of a parameter or buffer, if there is one."""
    tensor = getattr(module, name)
    if tensor is None or tuple(tensor.shape) == tuple(shape):
        return
    cut = tensor.detach()[tuple(slice(size) for size in shape)].clone(
        memory_format=torch.contiguous_format
    )
    if isinstance(tensor, nn.Parameter):
        setattr(module, name, nn.Parameter(cut, requires_grad=tensor.requires_grad))
    else:
        module.register_buffer(name, cut)
