"""Building blocks of MobileNet-like networks, and the shape that their reduced forms share.

Reference: Sandler et al., *MobileNetV2: Inverted Residuals and Linear Bottlenecks*, CVPR 2018;
Howard et al., *Searching for MobileNetV3*, ICCV 2019 (squeeze-and-excitation, hard swish).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

from motemo.spaces.layers import REDUCED, Normalization, initialise_reduced

Activation: TypeAlias = Literal["relu", "relu6", "swish", "hard_swish"]

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "swish": nn.SiLU,
    "hard_swish": nn.Hardswish,
}
_DIVISOR = 8
_NARROW, _WIDE = 16, 32


def activation_layer(activation: Activation) -> nn.Module:
    """Return a layer of that activation."""
    return _ACTIVATIONS[activation]()


def divisible(channels: float) -> int:
    """Return the multiple of 8 closest to a number of channels, at least 9/10 of it and 8."""
    rounded = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded if rounded >= 0.9 * channels else rounded + _DIVISOR


def conv_bn(
    in_channels: int,
    out_channels: int,
    norm: Normalization,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = None,
) -> list[nn.Module]:
    """Return convolution (padded by half its kernel), normalisation and maybe an activation."""
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
    )
    after = [] if activation is None else [activation_layer(activation)]
    return [convolution, norm.layer(out_channels), *after]


@dataclass(frozen=True)
class Squeeze:
    """A squeeze-and-excitation: how wide, and with which activation and gate."""

    channels: int
    activation: Activation
    hard: bool
    """Whether the gate is a hard sigmoid."""


class SqueezeExcite(nn.Module):
    """Weigh each channel by what all channels have on average.

    Reference: Hu et al., *Squeeze-and-Excitation Networks*, CVPR 2018.
    """

    def __init__(self, channels: int, squeeze: Squeeze) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeeze.channels, 1),
            activation_layer(squeeze.activation),
            nn.Conv2d(squeeze.channels, channels, 1),
            nn.Hardsigmoid() if squeeze.hard else nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to the same shape."""
        weighed: torch.Tensor = x * self.weigh(x)
        return weighed


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project by a 1x1 convolution.

    Where the shape stays, the input is added.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        norm: Batch normalisation.
        expansion: The filters have so many times the channels of the input.
        kernel: Side of the filters.
        stride: Stride of the filters.
        activation: Activation after expanding and after filtering.
        squeeze: Squeeze-and-excitation after filtering.
        groups: Groups of both 1x1 convolutions; the channels are shuffled between them.
        always_expand: Whether there is a 1x1 convolution to the filters if they are as many as
            the input has channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: Normalization,
        *,
        expansion: int,
        kernel: int,
        stride: int = 1,
        activation: Activation = "relu",
        squeeze: Squeeze | None = None,
        groups: int = 1,
        always_expand: bool = True,
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        layers: list[nn.Module] = []
        if expansion > 1 or always_expand:
            layers += conv_bn(in_channels, hidden, norm, groups=groups, activation=activation)
        if groups > 1:
            layers.append(nn.ChannelShuffle(groups))
        layers += conv_bn(
            hidden, hidden, norm, kernel=kernel, stride=stride, groups=hidden, activation=activation
        )
        if squeeze is not None:
            layers.append(SqueezeExcite(hidden, squeeze))
        layers += conv_bn(hidden, out_channels, norm, groups=groups)
        self.body = nn.Sequential(*layers)
        self.keeps_shape = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, C', H/stride, W/stride)`."""
        out: torch.Tensor = self.body(x)
        return x + out if self.keeps_shape else out


def reduced_stages(count: int, width: float) -> list[tuple[int, int]]:
    """Return channels and stride of the stages of a reduced architecture.

    Five have MOTE's 16, 16, 32, 32, 32 channels, times `width`; others are like that. The first
    wide one halves the resolution.
    """
    narrow = (count - 1) // 2
    return [
        (divisible(width * (_NARROW if stage < narrow else _WIDE)), 2 if stage == narrow else 1)
        for stage in range(count)
    ]


def reduced_network(
    blocks: Iterable[nn.Module],
    *,
    in_channels: int,
    shapes: Sequence[tuple[int, int]],
    activation: Activation,
    classes: int,
) -> nn.Sequential:
    """Return the reduced architecture around its blocks: stem, blocks, global pooling, classifier.

    The stem has the channels of the first stage and halves the resolution.
    """
    stem = conv_bn(in_channels, shapes[0][0], REDUCED, kernel=3, stride=2, activation=activation)
    network = nn.Sequential(nn.Sequential(*stem), *blocks, *classifier(shapes[-1][0], classes))
    initialise_reduced(network)
    return network


def classifier(channels: int, classes: int) -> list[nn.Module]:
    """Return global pooling and a linear layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
