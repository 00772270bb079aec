"""What modules do to sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from motemo.spaces.shrinking.calls import Axes, Call, Cost, Layer, constants, kept
from motemo.spaces.shrinking.reshaping import reshaped
from motemo.spaces.shrinking.sizes import Axis, constant


def module_axes(call: Call, module: nn.Module) -> Any:  # noqa: ANN401  (axes, maybe nested)
    """Return the axes of what a module gives; one without weights changes no width."""
    axes, result = call.first, call.result
    if axes is None or _is_altered(module):
        return call.unknown()
    for kinds, handler in MODULES:
        if isinstance(module, kinds):
            return handler(call, module)
    has_weights = any(True for _ in module.parameters())
    if has_weights or not isinstance(result, torch.Tensor) or len(axes) != result.dim():
        return call.unknown()
    return kept(call, axes, result)


def _is_altered(module: nn.Module) -> bool:
    """Return whether something besides torch computes its weights or what it gives."""
    return any(
        is_parametrized(one) or one._forward_pre_hooks or one._forward_hooks
        for one in module.modules()
    )


def _convolution(call: Call, conv: Any) -> Any:  # noqa: ANN401
    axes: Axes = call.first
    if len(axes) != conv.weight.dim():
        return call.unknown()  # without a batch
    call.sizes.freeze(*axes[2:])
    layer = _layer(call, axes[1], lambda: _grouped(call, axes[1], conv))
    window = math.prod(conv.kernel_size)
    seen = call.value(call.node.args[0]) if conv.transposed else call.result
    pixels = math.prod(seen.shape[2:])
    call.followed.costs.append(Cost(window * pixels, (layer.inputs, layer.outputs), layer.groups))
    return [axes[0], layer.outputs, *constants(call.result)[2:]]


def _grouped(call: Call, channels: Axis, conv: Any) -> Layer:  # noqa: ANN401
    groups, out = conv.groups, conv.out_channels
    if groups == 1:
        return Layer(channels, call.followed.choose(out))
    if groups == conv.in_channels and not conv.transposed:
        times = out // groups
        return Layer(channels, call.sizes.product([constant(times), channels]), channels)
    call.sizes.factor(channels, (groups, conv.in_channels // groups), places=[1])
    per_group = call.followed.choose(out // groups)
    return Layer(channels, call.sizes.product([constant(groups), per_group]), constant(groups))


def _layer(call: Call, channels: Axis, make: Callable[[], Layer]) -> Layer:
    """Return the axes of a module; one that is called twice sees the same widths twice."""
    path = str(call.node.target)
    if path in call.followed.layers:
        call.sizes.unify(call.followed.layers[path].inputs, channels)
    else:
        call.followed.layers[path] = make()
    return call.followed.layers[path]


def _linear(call: Call, linear: nn.Linear) -> Axes:
    axes: Axes = call.first
    layer = _layer(
        call, axes[-1], lambda: Layer(axes[-1], call.followed.choose(linear.out_features))
    )
    rows = (constant(1), *axes[1:-1])
    call.followed.costs.append(Cost(1, (*rows, layer.inputs, layer.outputs)))
    return [*axes[:-1], layer.outputs]


def _per_channel(call: Call, _module: nn.Module) -> Axes:
    axes: Axes = call.first
    _layer(call, axes[1], lambda: Layer(axes[1], axes[1]))
    return axes


def _prelu(call: Call, module: nn.PReLU) -> Any:  # noqa: ANN401
    return call.first if module.num_parameters == 1 else _per_channel(call, module)


def _group_norm(call: Call, norm: nn.GroupNorm) -> Axes:
    axes: Axes = call.first
    per_group = norm.num_channels // norm.num_groups
    call.sizes.factor(axes[1], (norm.num_groups, per_group), places=[1])
    return _per_channel(call, norm)


def _layer_norm(call: Call, norm: nn.LayerNorm) -> Axes:
    axes: Axes = call.first
    for axis in axes[-len(norm.normalized_shape) : -1]:
        call.sizes.freeze(axis)
    _layer(call, axes[-1], lambda: Layer(axes[-1], axes[-1]))
    return axes


def _self_attention(call: Call, attention: nn.MultiheadAttention) -> Any:  # noqa: ANN401
    names = ("query", "key", "value")
    taken = [call.axes(call.argument(i, name)) for i, name in enumerate(names)]
    plain = attention.in_proj_weight is not None and attention.bias_k is None
    if not plain or any(axes is None or len(axes) != 3 for axes in taken):
        return call.unknown()
    channels = taken[0][-1]
    for axes in taken[1:]:
        call.sizes.unify(channels, axes[-1])
    heads = attention.num_heads
    call.sizes.factor(channels, (heads, attention.embed_dim // heads), places=[1])
    layer = _layer(call, channels, lambda: Layer(channels, channels))
    tokens = [axes[1] if attention.batch_first else axes[0] for axes in taken]
    call.followed.costs += [
        Cost(2, (tokens[0], channels, channels)),
        *(Cost(1, (its, channels, channels)) for its in tokens[1:]),
        Cost(2, (tokens[0], tokens[1], channels)),
    ]
    weights = constants(call.result[1]) if call.result[1] is not None else None
    return [[*taken[0][:-1], layer.outputs], weights]


def _flatten_module(call: Call, module: nn.Flatten) -> Axes:
    return reshaped(call, call.first, call.result)


def _unflatten_module(call: Call, module: nn.Unflatten) -> Axes:
    axes: Axes = call.first
    place = int(module.dim) % len(axes)
    count = call.result.dim() - len(axes) + 1
    parts = call.sizes.factor(axes[place], call.result.shape[place : place + count])
    known = call.followed.unflattened.setdefault(str(call.node.target), parts)
    for one, other in zip(known, parts, strict=True):
        call.sizes.unify(one, other)
    return [*axes[:place], *parts, *axes[place + 1 :]]


def _shuffle(call: Call, module: nn.ChannelShuffle) -> Axes:
    axes: Axes = call.first
    per_group = call.sizes.size(axes[1]) // module.groups
    call.sizes.factor(axes[1], (module.groups, per_group), places=[1])
    return axes


MODULES: Sequence[tuple[Any, Callable[[Call, Any], Any]]] = (
    (nn.modules.conv._ConvNd, _convolution),  # the common class has no other name
    (nn.Linear, _linear),
    (nn.modules.batchnorm._NormBase, _per_channel),
    (nn.PReLU, _prelu),
    (nn.GroupNorm, _group_norm),
    (nn.LayerNorm, _layer_norm),
    (nn.MultiheadAttention, _self_attention),
    (nn.Flatten, _flatten_module),
    (nn.Unflatten, _unflatten_module),
    (nn.ChannelShuffle, _shuffle),
)
