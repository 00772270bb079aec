"""The network of TransNAS-Bench-101's classification tasks around a micro cell.

Reference: Duan et al., CVPR 2021.
"""

from __future__ import annotations

from torch import nn

from motemo.spaces.layers import PUBLISHED, relu_conv_bn
from motemo.spaces.nasbench201_network import Cell, Edges, Entry

BASE_CHANNELS = 64
MODULES = ((2, 2), (1, 1), (2, 2), (1, 1), (2, 2))
"""Of each module, by how much its first cell multiplies the width and divides the resolution.

In the genotype's `41414`, a 4 stands for both and a 1 for neither.
"""
CELLS_PER_MODULE = 2


def full_network(
    edges: Edges, *, in_channels: int, classes: int, stem_stride: int
) -> nn.Sequential:
    """Return stem, five modules of two cells, global pooling, classifier."""
    layers: list[nn.Module] = [stem(in_channels, stem_stride)]
    width = BASE_CHANNELS
    for widening, stride in MODULES:
        entry = Entry(width, stride) if (widening, stride) != (1, 1) else None
        width *= widening
        layers.append(Cell(edges, width, PUBLISHED, entry=entry))
        layers += [Cell(edges, width, PUBLISHED) for _ in range(CELLS_PER_MODULE - 1)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def stem(in_channels: int, stride: int) -> nn.Sequential:
    """Two 3x3 convolutions; a stride of 2 is the first one's, a stride of 4 is that of both."""
    half = BASE_CHANNELS // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, half, 3, stride=min(stride, 2), padding=1, bias=False),
        PUBLISHED.layer(half),
        relu_conv_bn(half, BASE_CHANNELS, 3, PUBLISHED, stride=max(stride // 2, 1)),
    )
