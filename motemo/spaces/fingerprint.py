"""A short name for what a builder builds, so that a changed builder is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def fingerprint(networks: Iterable[nn.Module]) -> str:
    """Return a digest of the networks' layers in order: kinds, settings, shapes of weights.

    Settings are a module's public attributes, such as a stride, as far as they are numbers, text,
    truth values or functions (by name), or lists of these. Not seen is what `forward` computes, how
    layers are connected, and the values of weights and buffers.
    """
    lines = []
    for network in networks:
        for name, module in network.named_modules():
            settings = {k: v for k, v in vars(module).items() if not k.startswith("_")}
            lines.append(f"{name} {type(module).__name__} {_shown(settings)}")
        lines += [f"{name} {[*weight.shape]}" for name, weight in network.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _shown(value: object) -> str:
    """Return a setting as text that is the same in every process."""
    match value:
        case float():
            return f"{value:.9g}"  # the same on machines that round otherwise
        case None | int() | str():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            return f"{{{', '.join(f'{_shown(k)}: {_shown(v)}' for k, v in value.items())}}}"
        case FunctionType() | BuiltinFunctionType():
            return value.__qualname__
        case _:
            return type(value).__name__
