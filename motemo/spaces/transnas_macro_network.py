"""Networks of TransNAS-Bench-101's macro space: the published one for classification, and reduced.

Reference: Duan et al., CVPR 2021; the blocks are those of He et al., *Deep Residual Learning for
Image Recognition*, CVPR 2016, with activations before the convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from motemo.space import Shape
from motemo.spaces.layers import (
    PUBLISHED,
    REDUCED,
    Normalization,
    initialise_reduced,
    relu_conv_bn,
)
from motemo.spaces.transnas_macro import BOTH, SMALLER, WIDER
from motemo.spaces.transnas_micro_network import BASE_CHANNELS, stem

BLOCKS_PER_MODULE = 2
_REDUCED_CHANNELS = 12
_REDUCED_SIDE = 32
"""Reduced architectures enlarge smaller images to this, to have pixels for four halvings."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a skip connection, projected where the shape changes.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        norm: Batch normalisation.
        stride: Stride of the first convolution and of the projection.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: Normalization, *, stride: int
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_bn(in_channels, out_channels, 3, norm, stride=stride),
            relu_conv_bn(out_channels, out_channels, 3, norm),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                norm.layer(out_channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, C', H/stride, W/stride)`."""
        out: torch.Tensor = self.shortcut(x) + self.body(x)
        return out


def full_network(
    modules: Sequence[int], *, in_channels: int, classes: int, stem_stride: int
) -> nn.Sequential:
    """Return stem, modules of two blocks, global pooling, classifier."""
    network = nn.Sequential(
        stem(in_channels, stem_stride),
        *_blocks_and_head(modules, PUBLISHED, channels=BASE_CHANNELS, classes=classes),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def reduced_network(modules: Sequence[int], *, input_shape: Shape, classes: int) -> nn.Sequential:
    """Return the same modules behind one convolution of stride 2, with few channels."""
    in_channels, *sides = input_shape
    enlarging = _REDUCED_SIDE / min(sides)
    size = tuple(math.ceil(enlarging * side) for side in sides)
    network = nn.Sequential(
        *([nn.Upsample(size=size, mode="bilinear")] if enlarging > 1 else []),
        nn.Conv2d(in_channels, _REDUCED_CHANNELS, 3, stride=2, padding=1, bias=False),
        REDUCED.layer(_REDUCED_CHANNELS),
        *_blocks_and_head(modules, REDUCED, channels=_REDUCED_CHANNELS, classes=classes),
    )
    initialise_reduced(network)
    return network


def _blocks_and_head(
    modules: Sequence[int], norm: Normalization, *, channels: int, classes: int
) -> Iterator[nn.Module]:
    for kind in modules:
        before = channels
        if kind in (WIDER, BOTH):
            channels *= 2
        yield ResidualBlock(before, channels, norm, stride=2 if kind in (SMALLER, BOTH) else 1)
        for _ in range(BLOCKS_PER_MODULE - 1):
            yield ResidualBlock(channels, channels, norm, stride=1)
    yield from (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
