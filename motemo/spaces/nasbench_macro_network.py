"""Networks of NAS-Bench-Macro: the published one, and a narrow one as reduced architecture.

Reference: Su et al., CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from motemo.spaces.layers import PUBLISHED, REDUCED, Normalization, initialise_reduced

HEAD = 40
"""Width of the layer before the classifier, in widths of the stem."""

_EXPANSIONS = {"mb3_k3": (3, 3), "mb6_k5": (6, 5)}


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project by a 1x1 convolution.

    Where the shape stays, the input is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm: Normalization, *, kind: str, stride: int
    ) -> None:
        super().__init__()
        expansion, kernel = _EXPANSIONS[kind]
        hidden = expansion * in_channels
        self.body = nn.Sequential(
            *_conv_bn(in_channels, hidden, norm),
            nn.ReLU(),
            *_conv_bn(hidden, hidden, norm, kernel=kernel, stride=stride, groups=hidden),
            nn.ReLU(),
            *_conv_bn(hidden, out_channels, norm),
        )
        self.keeps_shape = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, C', H/stride, W/stride)`."""
        out: torch.Tensor = self.body(x)
        return x + out if self.keeps_shape else out


def _conv_bn(
    in_channels: int,
    out_channels: int,
    norm: Normalization,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> list[nn.Module]:
    padding = kernel // 2
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False),
        norm.layer(out_channels),
    ]


def _first_block(kind: str, in_channels: int, norm: Normalization) -> nn.Module:
    """Return the first block of a stage, which halves the resolution and doubles the width."""
    out_channels = 2 * in_channels
    if kind == "identity":
        return nn.Sequential(*_conv_bn(in_channels, out_channels, norm, stride=2))
    return InvertedResidual(in_channels, out_channels, norm, kind=kind, stride=2)


def _later_block(kind: str, channels: int, norm: Normalization) -> nn.Module:
    if kind == "identity":
        return nn.Identity()
    return InvertedResidual(channels, channels, norm, kind=kind, stride=1)


def _network(
    stages: Sequence[Sequence[str]],
    norm: Normalization,
    *,
    in_channels: int,
    channels: int,
    classes: int,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Sequential(*_conv_bn(in_channels, channels, norm, kernel=3), nn.ReLU())
    ]
    width = channels
    for first, *later in stages:
        layers.append(_first_block(first, width, norm))
        width *= 2
        layers += [_later_block(kind, width, norm) for kind in later]
    layers += [
        nn.Sequential(*_conv_bn(width, HEAD * channels, norm), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(HEAD * channels, classes),
    ]
    return nn.Sequential(*layers)


def full_network(
    stages: Sequence[Sequence[str]], *, in_channels: int, channels: int, classes: int
) -> nn.Sequential:
    """Return the published network for the kinds of block of each stage."""
    return _network(stages, PUBLISHED, in_channels=in_channels, channels=channels, classes=classes)


def reduced_network(
    stages: Sequence[Sequence[str]], *, in_channels: int, channels: int, classes: int
) -> nn.Sequential:
    """Return the same network, with the normalisation and weights of reduced architectures."""
    network = _network(stages, REDUCED, in_channels=in_channels, channels=channels, classes=classes)
    initialise_reduced(network)
    return network
