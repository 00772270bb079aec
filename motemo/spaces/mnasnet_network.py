"""Networks of MnasNet's space: the published ones, and reduced architectures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from motemo.spaces.layers import PUBLISHED, REDUCED, Normalization
from motemo.spaces.mnasnet import Stage
from motemo.spaces.mobile_blocks import (
    Activation,
    InvertedResidual,
    Squeeze,
    classifier,
    conv_bn,
    divisible,
    reduced_network,
    reduced_stages,
)

STEM, HEAD = 32, 1280
SHAPES = ((16, 1), (24, 2), (40, 2), (80, 2), (112, 1), (192, 2), (320, 1))
"""Published channels and stride of each stage."""
_SQUEEZE = 4
"""By how much squeeze-and-excitation divides the channels of a block's input."""
_ACTIVATION: Activation = "swish"


def full_network(
    stages: Sequence[Stage], *, width: float, stem_stride: int, in_channels: int, classes: int
) -> nn.Sequential:
    """Return the published network."""
    stem, head = divisible(width * STEM), divisible(width * HEAD)
    shapes = [(divisible(width * channels), stride) for channels, stride in SHAPES]
    first = conv_bn(
        in_channels, stem, PUBLISHED, kernel=3, stride=stem_stride, activation=_ACTIVATION
    )
    return nn.Sequential(
        nn.Sequential(*first),
        *_blocks(stages, PUBLISHED, shapes=shapes, in_channels=stem),
        nn.Sequential(*conv_bn(shapes[-1][0], head, PUBLISHED, activation=_ACTIVATION)),
        *classifier(head, classes),
    )


def reduced(
    stages: Sequence[Stage], *, width: float, in_channels: int, classes: int
) -> nn.Sequential:
    """Return the same blocks in stages of MOTE's widths."""
    shapes = reduced_stages(len(stages), width)
    blocks = _blocks(stages, REDUCED, shapes=shapes, in_channels=shapes[0][0])
    return reduced_network(
        blocks, in_channels=in_channels, shapes=shapes, activation=_ACTIVATION, classes=classes
    )


def _blocks(
    stages: Sequence[Stage],
    norm: Normalization,
    *,
    shapes: Sequence[tuple[int, int]],
    in_channels: int,
) -> Iterator[nn.Module]:
    for stage, (channels, stride) in zip(stages, shapes, strict=True):
        for number in range(stage.layers):
            squeeze = Squeeze(max(1, in_channels // _SQUEEZE), _ACTIVATION, hard=False)
            yield InvertedResidual(
                in_channels,
                channels,
                norm,
                expansion=stage.expansion,
                kernel=stage.kernel,
                stride=1 if number else stride,
                activation=_ACTIVATION,
                squeeze=squeeze if stage.squeezes else None,
                always_expand=False,
            )
            in_channels = channels
