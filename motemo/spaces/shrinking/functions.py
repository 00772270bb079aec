"""What functions and methods do to sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import fx

from motemo.spaces.shrinking.calls import (
    BATCH,
    Arguments,
    Axes,
    Call,
    Cost,
    NewSize,
    kept,
)
from motemo.spaces.shrinking.indexing import item
from motemo.spaces.shrinking.reshaping import (
    expand,
    flatten,
    is_one,
    permute,
    reshape,
    transpose,
    unsqueeze,
)
from motemo.spaces.shrinking.sizes import constant

Handler: TypeAlias = Callable[[Call], Any]
"""Returns the axes of what a call gives."""


def _same(call: Call) -> Any:  # noqa: ANN401
    axes = call.first
    if axes is None or len(axes) != call.result.dim():
        return call.unknown()
    return kept(call, axes, call.result)


def _broadcast(call: Call) -> Axes:
    """Operands are aligned at the last axis; an axis of 1 fits all."""
    result: Axes = [constant(1)] * call.result.dim()
    for axes in call.tensors():
        start = len(result) - len(axes)
        for place, axis in enumerate(axes, start):
            if call.sizes.size(axis) == 1 and not call.sizes.free(axis):
                continue
            if call.sizes.size(result[place]) == 1:
                result[place] = axis
            elif call.sizes.size(axis) == 1:
                call.sizes.freeze(axis)
            else:
                call.sizes.unify(result[place], axis)
    return result


def _concatenate(call: Call) -> Axes:
    parts = call.argument(0, "tensors")
    axes = [call.axes(part) for part in parts]
    place = call.argument(1, "dim", 0) % call.result.dim()
    joined = tuple(term for its in axes for term in its[place])
    for its in axes[1:]:
        for other, (one, two) in enumerate(zip(axes[0], its, strict=True)):
            if other != place:
                call.sizes.unify(one, two)
    return [*axes[0][:place], joined, *axes[0][place + 1 :]]


def _reduce(call: Call) -> Any:  # noqa: ANN401
    axes = call.first
    places = call.argument(1, "dim")
    if places is None or isinstance(places, fx.Node) or not isinstance(call.result, torch.Tensor):
        return call.unknown()
    gone = {place % len(axes) for place in ([places] if isinstance(places, int) else places)}
    if call.result.dim() == len(axes):
        return [constant(1) if i in gone else axis for i, axis in enumerate(axes)]
    return [axis for i, axis in enumerate(axes) if i not in gone]


def _chunk(call: Call) -> list[Axes]:
    axes: Axes = call.first
    place = call.argument(2, "dim", 0) % len(axes)
    parts = call.sizes.split(axes[place], [part.shape[place] for part in call.result])
    return [[*axes[:place], part, *axes[place + 1 :]] for part in parts]


def _split(call: Call) -> list[Axes]:
    parts = _chunk(call)
    wanted = call.argument(1, "split_size_or_sections")
    place = call.argument(2, "dim", 0)
    if isinstance(wanted, int | list | tuple) and not call.node.kwargs.keys() - {"dim"}:

        def written(args: Arguments, new: NewSize) -> Arguments:
            sizes = [new(part[place]) for part in parts]
            section = sizes[0] if isinstance(wanted, int) else sizes
            return (args[0], section, *args[2:])

        call.followed.literals[call.node.name] = written
    return parts


def _unbind(call: Call) -> list[Axes]:
    axes: Axes = call.first
    place = call.argument(1, "dim", 0) % len(axes)
    call.sizes.freeze(axes[place])
    return [[*axes[:place], *axes[place + 1 :]]] * len(call.result)


def _stack(call: Call) -> Axes:
    parts = call.argument(0, "tensors")
    axes: Axes = list(call.axes(parts[0]))
    for part in parts[1:]:
        for one, two in zip(axes, call.axes(part), strict=True):
            call.sizes.unify(one, two)
    axes.insert(call.argument(1, "dim", 0) % (len(axes) + 1), constant(len(parts)))
    return axes


def _product(call: Call) -> Any:  # noqa: ANN401
    one, other = (call.axes(argument) for argument in call.node.args[:2])
    if one is None or other is None or len(one) != len(other) or len(one) < 2:
        return call.unknown()
    call.sizes.unify(one[-1], other[-2])
    for a, b in zip(one[:-2], other[:-2], strict=True):
        if not is_one(call, a) and not is_one(call, b):
            call.sizes.unify(a, b)
    outer = [b if is_one(call, a) else a for a, b in zip(one[:-2], other[:-2], strict=True)]
    call.followed.costs.append(Cost(1 / BATCH, (*outer, one[-2], one[-1], other[-1])))
    return [*outer, one[-2], other[-1]]


def _dot_product_attention(call: Call) -> Axes:
    query, key, value = (
        call.axes(call.argument(i, n)) for i, n in enumerate(("query", "key", "value"))
    )
    call.sizes.unify(query[-1], key[-1])
    for i in range(-len(query), -2):
        call.sizes.unify(query[i], key[i])
        call.sizes.unify(query[i], value[i])
    rows = (*query[:-2], query[-2], key[-2])
    call.followed.costs += [
        Cost(1 / BATCH, (*rows, query[-1])),
        Cost(1 / BATCH, (*rows, value[-1])),
    ]
    return [*query[:-1], value[-1]]


_ELEMENTWISE = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid"),
    *("hardswish", "hardsigmoid", "hardtanh", "softplus", "tanh", "log_sigmoid", "softmax"),
    *("log_softmax", "clamp", "clip", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "square"),
    *("contiguous", "clone", "detach", "float", "to", "type", "half", "bfloat16", "dropout"),
    *("dropout2d", "interpolate", "avg_pool2d", "max_pool2d", "adaptive_avg_pool2d", "pad"),
    *("adaptive_max_pool2d", "normalize", "roll", "flip", "avg_pool1d", "max_pool1d"),
    *("adaptive_avg_pool1d", "boolean_dispatch", "fn"),
)
_ARITHMETIC = (
    *("add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul", "div", "truediv"),
    *("itruediv", "true_divide", "pow", "maximum", "minimum", "where", "lerp"),
)

# By the name of the function or method, underscores aside. What is not here freezes what it sees.
OPERATORS: dict[str, Handler] = {
    **dict.fromkeys(_ELEMENTWISE, _same),
    **dict.fromkeys(_ARITHMETIC, _broadcast),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "std", "var"), _reduce),
    **dict.fromkeys(("view", "reshape"), reshape),
    **dict.fromkeys(("matmul", "bmm"), _product),
    "permute": permute,
    "transpose": transpose,
    "swapaxes": transpose,
    "flatten": flatten,
    "unsqueeze": unsqueeze,
    "expand": expand,
    "chunk": _chunk,
    "split": _split,
    "unbind": _unbind,
    "stack": _stack,
    "getitem": item,
    "scaled_dot_product_attention": _dot_product_attention,
}
