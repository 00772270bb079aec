"""Activations of a network as they are computed, be they modules, functions or in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from motemo.errors import EvaluationError

_BENDING = frozenset(
    {"relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_"}
    | {"elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish", "hardswish"}
)
_LOWER_BOUND = {"hardtanh": "min_val", "hardtanh_": "min_val", "clamp": "min", "clamp_": "min"} | {
    "clamp_min": "min",
    "clamp_min_": "min",
}
"""Functions that are rectifiers if bounded from below by zero, and the name of that bound."""

Positional = tuple[Any, ...]
Named = dict[str, Any]


def is_rectifier(function: Callable[..., object], args: Positional, named: Named) -> bool:
    """Return whether a call of torch is an activation that bends at zero, as ReLU does."""
    name = getattr(function, "__name__", "")
    if name not in _LOWER_BOUND:
        return name in _BENDING
    bound = args[1] if len(args) > 1 else named.get(_LOWER_BOUND[name])
    return isinstance(bound, int | float) and bound == 0


class _Watch(TorchFunctionMode):
    """Shows the sign pattern of the input of each rectifier, `(N, units)` bool."""

    def __init__(self, images: int, see: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self.images, self.see, self.seen = images, see, 0

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Positional = (),
        kwargs: Named | None = None,
    ) -> object:
        named = kwargs or {}
        if is_rectifier(func, args, named):
            value = args[0] if args else named["input"]
            if value.dim() > 1 and len(value) == self.images:  # not one of a weight
                self.seen += 1
                self.see((value.detach() > 0).flatten(1))  # before it is overwritten in place
        return func(*args, **named)


def each_activation(
    network: nn.Module, images: torch.Tensor, see: Callable[[torch.Tensor], None]
) -> None:
    """Run the network once, and show `see` the pattern of every rectifier in turn.

    Counted are ReLU and its kin (ReLU6, leaky and parametric ReLU, ELU, GELU, SiLU, ...); one used
    twice counts twice. A pattern is `(N, units)` bool: where the input is above zero.

    Raises:
        EvaluationError: There is none.
    """
    watch = _Watch(len(images), see)
    with torch.no_grad(), watch:
        network(images)
    if not watch.seen:
        raise EvaluationError("the network has no ReLU or similar activation")
