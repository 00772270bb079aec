"""A short name for what a builder builds, so that a changed builder is noticed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_PLAIN = re.compile(r"[\w., ()-]+")  # no address of an object
_TELLING = ("kernel_size", "stride", "padding", "dilation", "groups", "num_heads", "p")


def fingerprint(networks: Iterable[nn.Module]) -> str:
    """Return a digest of the networks' layers in order: kinds, strides and the like, weights.

    It says nothing of how layers are connected, and nothing of the values of weights.
    """
    lines = []
    for network in networks:
        for name, module in network.named_modules():
            told = [str(getattr(module, option, None)) for option in _TELLING]
            shown = " ".join(text for text in told if _PLAIN.fullmatch(text))
            lines.append(f"{name} {type(module).__name__} {shown}")
        lines += [f"{name} {[*weight.shape]}" for name, weight in network.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
