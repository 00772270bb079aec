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

from motemo.spaces.layers import PUBLISHED, REDUCED, initialise_reduced, relu_conv_bn
from motemo.spaces.layers import Normalization as Normalization
from motemo.spaces.nasbench201 import STAGES

Edges: TypeAlias = Sequence[tuple[int, int, str]]
"""Source node, target node and operation of each edge of a cell of four nodes."""

REDUCED_CHANNELS = 32
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


@dataclass(frozen=True)
class Entry:
    """How a cell begins that changes the shape of its input.

    Attributes:
        in_channels: Channels of the cell's input.
        stride: Stride of the operations on the cell's input.
    """

    in_channels: int
    stride: int


def _operation(name: str, channels: int, norm: Normalization) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return relu_conv_bn(channels, channels, _KERNELS[name], norm)


def _entry_operation(name: str, channels: int, norm: Normalization, entry: Entry) -> nn.Module:
    if name == "skip_connect":
        return Projection(entry.in_channels, channels, norm, stride=entry.stride)
    return relu_conv_bn(entry.in_channels, channels, _KERNELS[name], norm, stride=entry.stride)


class Projection(nn.Module):
    """A skip connection to another shape: ReLU, two 1x1 convolutions, normalisation.

    Each convolution gives half of the channels; the second one sees the image shifted by one
    pixel, so that with stride 2 not only pixels of even rows and columns are seen. The resolution
    is rounded up.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: Normalization, *, stride: int
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(in_channels, half, 1, stride=stride, bias=False)
        self.shift = nn.ZeroPad2d((-1, 1, -1, 1))
        self.odd = nn.Conv2d(in_channels, out_channels - half, 1, stride=stride, bias=False)
        self.norm = norm.layer(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, C', H/stride, W/stride)`."""
        x = self.relu(x)
        out: torch.Tensor = self.norm(torch.cat([self.even(x), self.odd(self.shift(x))], 1))
        return out


class _Zeros(nn.Module):
    """Zeros of the shape of a node that follows the operations of an entry.

    The width is a multiple of the input's.
    """

    def __init__(self, channels: int, entry: Entry) -> None:
        super().__init__()
        self.copies = channels // entry.in_channels
        self.subsample = nn.AvgPool2d(1, stride=entry.stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros: torch.Tensor = self.subsample(x) * 0.0
        return torch.cat([zeros] * self.copies, 1) if self.copies > 1 else zeros


class Cell(nn.Module):
    """One cell, exactly as written, dead edges included.

    It maps `(N, C, H, W)` to the same shape, or, with an `Entry`, to another one: then the edges
    out of the input have its stride and change the width, and a skip connection there is a
    `Projection`.
    """

    def __init__(
        self, edges: Edges, channels: int, norm: Normalization, *, entry: Entry | None = None
    ) -> None:
        super().__init__()
        self.edges = nn.ModuleDict()
        self.incoming: list[list[tuple[int, str]]] = [[], [], []]
        for source, target, name in edges:
            if name != "none":
                edge = f"{source}_{target}"
                self.edges[edge] = (
                    _entry_operation(name, channels, norm, entry)
                    if entry and source == 0
                    else _operation(name, channels, norm)
                )
                self.incoming[target - 1].append((source, edge))
        self.read = {3, *(source for source, _, name in edges if name != "none")}
        self.zeros = _Zeros(channels, entry) if entry else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last node's value; a node that no edge enters holds zeros."""
        nodes = {0: x}
        for node, incoming in enumerate(self.incoming, start=1):
            terms = [self.edges[edge](nodes[source]) for source, edge in incoming]
            if terms:
                nodes[node] = sum(terms[1:], terms[0])
            elif node in self.read:  # zeros that nobody reads would cost time and memory
                nodes[node] = self._zeros(x)
        return nodes[3]

    def _zeros(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.0 if self.zeros is None else self.zeros(x)


class Reduction(nn.Module):
    """Residual block that halves the resolution (rounding up) and changes the width."""

    def __init__(self, in_channels: int, out_channels: int, norm: Normalization) -> None:
        super().__init__()
        self.body = nn.Sequential(
            relu_conv_bn(in_channels, out_channels, 3, norm, stride=2),
            relu_conv_bn(out_channels, out_channels, 3, norm),
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
    for stage in range(STAGES):
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


class Residual(nn.Module):
    """A module with a skip connection around it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to the same shape."""
        out: torch.Tensor = x + self.module(x)
        return out


def reduced_network(
    edges: Edges,
    *,
    in_channels: int,
    classes: int,
    channels: int = REDUCED_CHANNELS,
    cells: int = 1,
    residual: bool = False,
    activation: bool = False,
    second: Entry | None = None,
) -> nn.Sequential:
    """Return stem, cells, 4x4 average pooling, cells, global pooling, classifier.

    Args:
        edges: The cell.
        in_channels: Channels of an image.
        classes: Number of classes.
        channels: Channels of all cells.
        cells: Cells before the pooling, and after it.
        residual: Whether each cell has a skip connection around it.
        activation: Whether a ReLU follows each cell.
        second: How the cells after the pooling begin, if the space has cells that change the
            shape.
    """

    def stage(entry: Entry | None = None) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(cells):
            cell = Cell(edges, channels, REDUCED, entry=entry)
            layers.append(Residual(cell) if residual else cell)
            layers += [nn.ReLU()] if activation else []
        return layers

    network = nn.Sequential(
        _stem(in_channels, channels, REDUCED),
        *stage(),
        nn.AvgPool2d(4, ceil_mode=True),
        *stage(second),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )
    initialise_reduced(network)
    return network
