"""A network of which a part does not reach the output."""

from __future__ import annotations

import torch
from torch import nn


class DeadBranch(nn.Module):
    """A classifier with a layer that does not reach the output."""

    def __init__(self, network: nn.Module, *, inputs: int) -> None:
        super().__init__()
        self.network, self.dead = network, nn.Linear(inputs, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.dead(x)
        out: torch.Tensor = self.network(x)
        return out
