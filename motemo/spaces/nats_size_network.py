"""Networks of NATS-Bench's size space: one cell, five widths.

Reference: Dong et al., TPAMI 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from motemo.spaces.layers import (
    PUBLISHED,
    REDUCED,
    Normalization,
    initialise_reduced,
    relu_conv_bn,
)
from motemo.spaces.nasbench201_network import Reduction


class Cell(nn.Module):
    """3x3 convolutions on all edges but the one from input to output, which skips.

    It maps `(N, C, H, W)` to `(N, C', H, W)`. Where the width changes, a 1x1 convolution skips.
    """

    def __init__(self, in_channels: int, channels: int, norm: Normalization) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                f"{source}_{target}": relu_conv_bn(
                    channels if source else in_channels, channels, 3, norm
                )
                for source, target in ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3))
            }
        )
        self.skip = (
            nn.Identity()
            if in_channels == channels
            else nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, bias=False), norm.layer(channels)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last node."""
        one = self.edges["0_1"](x)
        two = self.edges["0_2"](x) + self.edges["1_2"](one)
        out: torch.Tensor = self.skip(x) + self.edges["1_3"](one) + self.edges["2_3"](two)
        return out


def _network(
    widths: Sequence[int], norm: Normalization, *, in_channels: int, classes: int
) -> nn.Sequential:
    first, second, third, fourth, last = widths
    return nn.Sequential(
        nn.Conv2d(in_channels, first, 3, padding=1, bias=False),
        norm.layer(first),
        Cell(first, first, norm),
        Reduction(first, second, norm),
        Cell(second, third, norm),
        Reduction(third, fourth, norm),
        Cell(fourth, last, norm),
        norm.layer(last),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(last, classes),
    )


def full_network(widths: Sequence[int], *, in_channels: int, classes: int) -> nn.Sequential:
    """Return the published network of five widths."""
    return _network(widths, PUBLISHED, in_channels=in_channels, classes=classes)


def reduced_network(widths: Sequence[int], *, in_channels: int, classes: int) -> nn.Sequential:
    """Return the same network, with the normalisation and weights of reduced architectures."""
    network = _network(widths, REDUCED, in_channels=in_channels, classes=classes)
    initialise_reduced(network)
    return network
