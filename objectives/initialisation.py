"""Schemes by which the weights of a network are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import nn

Initialisation: TypeAlias = Literal[
    "space", "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "orthogonal"
]
"""`space` keeps what the space draws; the others draw convolutions and linear layers anew."""

_DRAW: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "glorot_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "he_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "he_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "orthogonal": nn.init.orthogonal_,
}
SCHEMES = ("space", *_DRAW)


def initialise(network: nn.Module, scheme: Initialisation) -> None:
    """Draw the weights of convolutions and linear layers from torch's global generator.

    Their biases become zero. Everything else keeps its values.
    """
    if scheme == "space":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _DRAW[scheme](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
