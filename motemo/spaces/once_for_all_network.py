"""Networks of the Once-for-All spaces: the published ones, and reduced architectures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from motemo.space import Shape
from motemo.spaces.layers import REDUCED, Normalization
from motemo.spaces.mobile_blocks import (
    Activation,
    InvertedResidual,
    Squeeze,
    activation_layer,
    classifier,
    conv_bn,
    divisible,
    reduced_network,
    reduced_stages,
)
from motemo.spaces.once_for_all_families import Family
from motemo.spaces.once_for_all_genotype import Block

_SQUEEZE = 4
"""By how much squeeze-and-excitation divides the number of channels."""

Shapes = Sequence[tuple[int, int]]
"""Channels and stride of each stage."""


def full_network(
    family: Family,
    stages: Sequence[Sequence[Block]],
    *,
    width: float,
    stem_stride: int,
    in_channels: int,
    classes: int,
) -> nn.Sequential:
    """Return the published network."""
    norm = Normalization(eps=family.eps)
    stem, first = divisible(width * family.stem), divisible(width * family.first)
    shapes = [(divisible(width * stage.channels), stage.stride) for stage in family.stages]
    act = family.activation
    return nn.Sequential(
        nn.Sequential(
            *conv_bn(in_channels, stem, norm, kernel=3, stride=stem_stride, activation=act)
        ),
        InvertedResidual(
            stem,
            first,
            norm,
            expansion=1,
            kernel=3,
            activation=family.first_activation,
            always_expand=False,
        ),
        *_blocks(family, stages, norm, shapes=shapes, in_channels=first),
        *_head(family, norm, width=width, in_channels=shapes[-1][0], classes=classes),
    )


def _head(
    family: Family, norm: Normalization, *, width: float, in_channels: int, classes: int
) -> list[nn.Module]:
    pooled = divisible(width * family.pooled)
    mix = nn.Sequential(*conv_bn(in_channels, pooled, norm, activation=family.activation))
    if family.features is None:
        return [mix, *classifier(pooled, classes)]
    features = divisible(width * family.features)
    return [
        mix,
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(pooled, features, 1, bias=False),
        activation_layer(family.activation),
        nn.Flatten(),
        nn.Linear(features, classes),
    ]


def _blocks(
    family: Family,
    stages: Sequence[Sequence[Block]],
    norm: Normalization,
    *,
    shapes: Shapes,
    in_channels: int,
) -> Iterator[nn.Module]:
    for published, blocks, (channels, stride) in zip(family.stages, stages, shapes, strict=True):
        for number, block in enumerate(blocks):
            yield InvertedResidual(
                in_channels,
                channels,
                norm,
                expansion=block.expansion,
                kernel=block.kernel,
                stride=1 if number else stride,
                activation=published.activation,
                squeeze=_squeeze(block.expansion * in_channels) if published.squeezes else None,
            )
            in_channels = channels


def _squeeze(channels: int) -> Squeeze:
    return Squeeze(divisible(channels / _SQUEEZE), activation="relu", hard=True)


def reduced(
    family: Family,
    stages: Sequence[Sequence[Block]],
    *,
    width: float,
    in_channels: int,
    classes: int,
) -> nn.Sequential:
    """Return the same blocks in stages of MOTE's widths."""
    shapes = reduced_stages(len(stages), width)
    blocks = _blocks(family, stages, REDUCED, shapes=shapes, in_channels=shapes[0][0])
    activation: Activation = family.activation
    return reduced_network(
        blocks, in_channels=in_channels, shapes=shapes, activation=activation, classes=classes
    )


def shrinking(network: nn.Sequential, input_shape: Shape, share: float) -> nn.Sequential:
    """Return the network behind a layer that leaves a share of the height and width of its input.

    It is bilinear, the same for a network of any resolution, and takes `(C, H, W) = input_shape`.
    """
    if share == 1:
        return network
    size = shrunk(input_shape, share)
    return nn.Sequential(nn.Upsample(size=size, mode="bilinear"), *network)


def shrunk(input_shape: Shape, share: float) -> tuple[int, int]:
    """Return a share of the height and width of `(C, H, W)`."""
    height, width = (max(1, round(share * side)) for side in input_shape[1:])
    return height, width
