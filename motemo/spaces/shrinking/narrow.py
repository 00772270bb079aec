"""Giving the layers of a followed network other widths."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import fx, nn

from motemo.space import Shape
from motemo.spaces.shrinking.calls import BATCH, Followed, Layer, NewSize
from motemo.spaces.shrinking.follow import follow
from motemo.spaces.shrinking.sizes import Atom, Axis
from motemo.spaces.shrinking.tracing import NotFollowedError, reason_of
from motemo.spaces.shrinking.widths import WidthMap

_Done: TypeAlias = dict[torch.Tensor, torch.Tensor]
"""Weights that are cut, by what they were cut from."""


def narrowed(network: nn.Module, widths: WidthMap, input_shape: Shape) -> nn.Module:
    """Return a network with other widths, which works with images `(N, C, H, W)`.

    Raises:
        NotFollowedError: It cannot be followed, or not be narrowed.
    """
    followed = follow(network, input_shape)
    shared = _sharing(followed.graph)
    try:
        found = narrow(followed, {a: widths(size) for a, size in followed.free().items()})
        with torch.device("meta"), torch.no_grad():
            copy.deepcopy(found).to("meta").train()(torch.empty(BATCH, *input_shape))
    except Exception as error:  # a user's own network may raise anything
        raise NotFollowedError(f"narrowed, it does not work: {reason_of(error)}") from error
    if _sharing(found) != shared:
        raise NotFollowedError("layers that share weights would not share them any more")
    return found


def _sharing(network: nn.Module) -> set[frozenset[str]]:
    """Return the names of each parameter."""
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return {frozenset(its) for its in names.values()}


def narrow(followed: Followed, widths: Mapping[Atom, int]) -> fx.GraphModule:
    """Return the network with these sizes of its free widths; the followed one is used up.

    Weights that change are cut from the old ones, and shared ones stay shared.
    """
    done: _Done = {}

    def new(axis: Axis) -> int:
        return followed.sizes.size(axis, widths)

    for path, layer in followed.layers.items():
        _resize(followed.graph.get_submodule(path), layer, new, done)
    for path, axes in followed.parameters.items():
        parent, _, name = path.rpartition(".")
        _cut(followed.graph.get_submodule(parent), name, [new(axis) for axis in axes], done)
    for path, axes in followed.unflattened.items():
        module = followed.graph.get_submodule(path)
        module.unflattened_size = tuple(new(axis) for axis in axes)  # type: ignore[assignment]
    for node in followed.graph.graph.nodes:
        if node.name in followed.literals:
            node.args = followed.literals[node.name](node.args, new)
    followed.graph.recompile()
    return followed.graph


def _resize(module: nn.Module, layer: Layer, new: NewSize, done: _Done) -> None:
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
            _cut(module.out_proj, "weight", (inputs, inputs), done)
            _cut(module.out_proj, "bias", (inputs,), done)
    for name, shape in shapes.items():
        _cut(module, name, shape, done)


def _cut(module: nn.Module, name: str, shape: Sequence[int], done: _Done) -> None:
    """Keep the first rows of each axis of a parameter or buffer, if there is one."""
    tensor = getattr(module, name)
    if tensor is None or tuple(tensor.shape) == tuple(shape):
        return
    if tensor in done:
        setattr(module, name, done[tensor])
        return
    cut = tensor.detach()[tuple(slice(size) for size in shape)].clone(
        memory_format=torch.contiguous_format
    )
    if isinstance(tensor, nn.Parameter):
        cut = nn.Parameter(cut, requires_grad=tensor.requires_grad)
    done[tensor] = cut
    setattr(module, name, cut)
