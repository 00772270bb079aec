"""Networks of DARTS: the published skeletons and the reduced architecture of MOTE.

References: Liu, Simonyan and Yang, ICLR 2019 (skeletons and operations); Zhang et al.,
*MOTE-NAS*, NeurIPS 2024 (reduced architecture).
"""

from __future__ import annotations

import torch
from torch import nn

from motemo.spaces.darts_cell import NODES, Cell
from motemo.spaces.layers import (
    PUBLISHED,
    REDUCED,
    Normalization,
    initialise_reduced,
    relu_conv_bn,
)
from motemo.spaces.nasbench201_network import Projection

STEM_MULTIPLIER = 3
"""Width of the stem for CIFAR-10, in channels of a node."""

_KERNELS = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "dil_conv_3x3": 3, "dil_conv_5x5": 5}


class _Zeros(nn.Module):
    """The operation `none`."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.subsample = nn.Identity() if stride == 1 else nn.MaxPool2d(1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros: torch.Tensor = self.subsample(x) * 0.0
        return zeros


def _depthwise(
    channels: int, kernel: int, norm: Normalization, *, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """Return ReLU, a convolution of each channel, a 1x1 convolution, normalisation."""
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels,
            channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm.layer(channels),
    ]


def _operation(
    name: str, channels: int, norm: Normalization, *, stride: int, projects: bool
) -> nn.Module:
    match name:
        case "none":
            return _Zeros(stride)
        case "skip_connect":
            if projects:
                return Projection(channels, channels, norm, stride=stride)
            return nn.Identity()
        case "max_pool_3x3":
            return nn.MaxPool2d(3, stride=stride, padding=1)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
    kernel = _KERNELS[name]
    if name.startswith("dil"):
        return nn.Sequential(*_depthwise(channels, kernel, norm, stride=stride, dilation=2))
    return nn.Sequential(
        *_depthwise(channels, kernel, norm, stride=stride), *_depthwise(channels, kernel, norm)
    )


class DartsCell(nn.Module):
    """One cell, exactly as written.

    Args:
        cell: Its edges.
        before: Maps the first input to `channels` and to the resolution of the second.
        in_channels: Channels of the second input.
        channels: Channels of a node; the output has four times as many.
        norm: Normalisation.
        stride: Stride of the operations on the inputs.
        projects: Whether a skip connection from an input is a `Projection`.
    """

    def __init__(
        self,
        cell: Cell,
        before: nn.Module,
        *,
        in_channels: int,
        channels: int,
        norm: Normalization,
        stride: int,
        projects: bool,
    ) -> None:
        super().__init__()
        self.before = before
        self.entry = relu_conv_bn(in_channels, channels, 1, norm)
        self.sources = [source for _, source in cell]
        self.operations = nn.ModuleList(
            _operation(
                name,
                channels,
                norm,
                stride=1 if source in NODES else stride,
                projects=projects and source not in NODES,
            )
            for name, source in cell
        )

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return the nodes, `(N, 4C, H', W')`, of the last but one and the last cell's output."""
        nodes = [self.before(first), self.entry(second)]
        terms = zip(self.operations, self.sources, strict=True)
        for (one, source), (other, other_source) in zip(terms, terms, strict=True):
            nodes.append(one(nodes[source]) + other(nodes[other_source]))
        return torch.cat(nodes[2:], 1)


class DartsNetwork(nn.Module):
    """Two stems (the second reads the first), cells that read the last two outputs, a head."""

    def __init__(
        self, first: nn.Module, second: nn.Module, cells: list[DartsCell], head: nn.Module
    ) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.cells = nn.ModuleList(cells)
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images `(N, C, H, W)` to logits `(N, classes)`."""
        before = self.first(images)
        last = self.second(before)
        for cell in self.cells:
            before, last = last, cell(before, last)
        logits: torch.Tensor = self.head(last)
        return logits


def _head(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def _stems(kind: str, in_channels: int, channels: int) -> tuple[nn.Module, nn.Module, int]:
    """Return both stems and their width."""
    if kind == "cifar":
        width = STEM_MULTIPLIER * channels
        conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        return nn.Sequential(conv, PUBLISHED.layer(width)), nn.Identity(), width
    half = channels // 2
    first = nn.Sequential(
        nn.Conv2d(in_channels, half, 3, stride=2, padding=1, bias=False),
        PUBLISHED.layer(half),
        *relu_conv_bn(half, channels, 3, PUBLISHED, stride=2),
    )
    return first, relu_conv_bn(channels, channels, 3, PUBLISHED, stride=2), channels


def full_network(
    normal: Cell,
    reduce: Cell,
    *,
    in_channels: int,
    channels: int,
    cells: int,
    stem: str,
    classes: int,
) -> DartsNetwork:
    """Return the published network; `cells // 3` and `2 * cells // 3` are reductions."""
    first, second, width = _stems(stem, in_channels, channels)
    before_width, after_reduction = width, stem == "imagenet"
    layers = []
    for number in range(cells):
        reduction = number in (cells // 3, 2 * cells // 3)
        channels *= 2 if reduction else 1
        layers.append(
            DartsCell(
                reduce if reduction else normal,
                Projection(before_width, channels, PUBLISHED, stride=2)
                if after_reduction
                else relu_conv_bn(before_width, channels, 1, PUBLISHED),
                in_channels=width,
                channels=channels,
                norm=PUBLISHED,
                stride=2 if reduction else 1,
                projects=reduction,
            )
        )
        before_width, width, after_reduction = width, len(NODES) * channels, reduction
    return DartsNetwork(first, second, layers, _head(width, classes))


class ReducedNetwork(nn.Module):
    """The normal cell, 4x4 average pooling, and the reduction cell with stride 1.

    So that all of both cells shows, the normal cell reads the image and the stem; the reduction
    cell reads the stem together with the normal cell, and the normal cell. In the latter a skip
    connection from an input has weights, as it has in the full network.
    """

    def __init__(
        self, normal: Cell, reduce: Cell, *, in_channels: int, channels: int, classes: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), REDUCED.layer(channels)
        )
        width = len(NODES) * channels
        self.normal = DartsCell(
            normal,
            relu_conv_bn(in_channels, channels, 1, REDUCED),
            in_channels=channels,
            channels=channels,
            norm=REDUCED,
            stride=1,
            projects=False,
        )
        self.pool = nn.AvgPool2d(4, ceil_mode=True)
        self.reduce = DartsCell(
            reduce,
            relu_conv_bn(channels + width, channels, 1, REDUCED),
            in_channels=width,
            channels=channels,
            norm=REDUCED,
            stride=1,
            projects=True,
        )
        self.head = _head(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images `(N, C, H, W)` to logits `(N, classes)`."""
        stem = self.stem(images)
        normal = self.normal(images, stem)
        both = self.pool(torch.cat([stem, normal], 1))
        logits: torch.Tensor = self.head(self.reduce(both, self.pool(normal)))
        return logits


def reduced_network(
    normal: Cell, reduce: Cell, *, in_channels: int, channels: int, classes: int
) -> ReducedNetwork:
    """Return the reduced architecture, with the weights of MOTE's reference."""
    network = ReducedNetwork(
        normal, reduce, in_channels=in_channels, channels=channels, classes=classes
    )
    initialise_reduced(network)
    return network
