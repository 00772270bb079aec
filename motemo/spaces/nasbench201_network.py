"""Networks of NAS-Bench-201: the published skeleton and the reduced architecture of MOTE.

References: Dong and Yang, ICLR 2020 (skeleton); Zhang et al., *MOTE-NAS*, NeurIPS 2024 (reduced
architecture: widths, pooling, normalisation and initialisation of its reference implementation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

Edges: TypeAlias = Sequence[tuple[int, int, str]]
"""Source node, target node and operation of each edge of a cell of four nodes."""

REDUCED_CHANNELS = 32


@dataclass(frozen=True)
class Normalization:
    """Constants of batch normalisation; `momentum` in torch's sense (share of the new batch)."""

    eps: float = 1e-5
    momentum: float = 0.1

    def layer(self, channels: int) -> nn.BatchNorm2d:
        """Return a batch normalisation over that many channels."""
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)


PUBLISHED = Normalization()
REDUCED = Normalization(eps=1e-4, momentum=1 - 0.997)


def _relu_conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int, norm: Normalization
) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
        ),
        norm.layer(out_channels),
    )


def _operation(name: str, channels: int, norm: Normalization) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _relu_conv_bn(channels, channels, {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[name], 1, norm)


class Cell(nn.Module):
    """One cell, `(N, C, H, W)` to the same shape, exactly as written, dead edges included."""

    def __init__(self, edges: Edges, channels: int, norm: Normalization) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        self.incoming: list[list[tuple[int, str]]] = [[], [], []]
        for source, target, name in edges:
            if name != "none":
                edge = f"{source}_{target}"
                self.edges[edge] = _operation(name, channels, norm)
                self.incoming[target - 1].append((source, edge))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last node's value; a node that no edge enters holds zeros."""
        nodes = [x]
        for incoming in self.incoming:
            terms = [self.edges[edge](nodes[source]) for source, edge in incoming]
            nodes.append(sum(terms[1:], terms[0]) if terms else x * 0.0)
        return nodes[-1]


class Reduction(nn.Module):
    """Residual block that halves the resolution (rounding up) and changes the width."""

    def __init__(self, in_channels: int, out_channels: int, norm: Normalization) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _relu_conv_bn(in_channels, out_channels, 3, 2, norm),
            _relu_conv_bn(out_channels, out_channels, 3, 1, norm),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, C', H/2, W/2)`."""
        out: torch.Tensor = self.shortcut(x) + self.body(x)
        return out


def _stem(in_channels: int, channels: int, norm: Normalization) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), norm.layer(channels)
    )


def full_network(
    edges: Edges, *, in_channels: int, channels: int, cells: int, classes: int
) -> nn.Sequential:
    """Return the published skeleton around the cell."""
    layers: list[nn.Module] = [_stem(in_channels, channels, PUBLISHED)]
    width = channels
    for stage in range(3):
        if stage:
            layers.append(Reduction(width, 2 * width, PUBLISHED))
            width *= 2
        layers += [Cell(edges, width, PUBLISHED) for _ in range(cells)]
    layers += [
        nn.Sequential(PUBLISHED.layer(width), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    ]
    return nn.Sequential(*layers)


def reduced_network(edges: Edges, *, in_channels: int, classes: int) -> nn.Sequential:
    """Return stem, cell, 4x4 average pooling, cell, global pooling, classifier."""
    width = REDUCED_CHANNELS
    network = nn.Sequential(
        _stem(in_channels, width, REDUCED),
        Cell(edges, width, REDUCED),
        nn.AvgPool2d(4, ceil_mode=True),
        Cell(edges, width, REDUCED),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
