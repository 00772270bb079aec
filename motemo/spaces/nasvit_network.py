"""Networks of the space like NASViT's: full ones, and reduced architectures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from motemo.space import Shape
from motemo.spaces.attention import (
    Attention,
    GridToTokens,
    TokensToGrid,
    TransformerBlock,
    initialise,
    is_large,
)
from motemo.spaces.layers import PUBLISHED, REDUCED, Normalization, initialise_reduced
from motemo.spaces.mobile_blocks import (
    Activation,
    InvertedResidual,
    Squeeze,
    activation_layer,
    conv_bn,
    divisible,
)
from motemo.spaces.nasvit import Decisions, Stage

_ACTIVATION: Activation = "swish"
FIRST_ATTENTION = 3
"""The stages from here on, counted from 0, go on with attention after their first block."""
SQUEEZES = (False, False, True, False, True, True, True)
_LATE_STRIDES = (2, 2, 1, 2)
_REDUCED_STRIDES = (1, 2, 1, 2, 1, 1, 1)
"""Strides of the stages of a reduced architecture."""
_REDUCED_SIDE = 32
"""From this size on, its stem halves the resolution."""
HEAD_WIDTH, _VALUES, _PERCEPTRON = 8, 4, 2
"""Width of a head, by how much its values are wider, and by how much the hidden layer is."""
EXPANSION = 6
"""By how much the head expands the last stage."""


def full_network(
    decisions: Decisions, *, input_shape: Shape, classes: int, early_stride: int | None
) -> nn.Sequential:
    """Return stem, stages, head and classifier."""
    early = early_stride or (2 if is_large(input_shape) else 1)
    network = _network(
        decisions,
        PUBLISHED,
        input_shape=input_shape,
        classes=classes,
        strides=(early, 1, early, early, *_LATE_STRIDES),
        width=1.0,
    )
    initialise(network)
    return network


def reduced_network(
    decisions: Decisions, *, input_shape: Shape, classes: int, width: float
) -> nn.Sequential:
    """Return the same with fewer channels, for attention on 4 x 4 pixels of 32 x 32."""
    stem_stride = 2 if min(input_shape[1:]) >= _REDUCED_SIDE else 1
    network = _network(
        decisions,
        REDUCED,
        input_shape=input_shape,
        classes=classes,
        strides=(stem_stride, *_REDUCED_STRIDES),
        width=width,
    )
    initialise_reduced(network)
    return network


def _network(
    decisions: Decisions,
    norm: Normalization,
    *,
    input_shape: Shape,
    classes: int,
    strides: Sequence[int],
    width: float,
) -> nn.Sequential:
    stem, head = round(width * decisions.stem), round(width * decisions.head)
    widths = [round(width * stage.width) for stage in decisions.stages]
    return nn.Sequential(
        nn.Sequential(
            *conv_bn(
                input_shape[0], stem, norm, kernel=3, stride=strides[0], activation=_ACTIVATION
            )
        ),
        *_stages(
            decisions.stages,
            norm,
            widths=(stem, *widths),
            grid=_strided(input_shape[1:], strides[0]),
            strides=strides[1:],
            head_width=max(1, round(width * HEAD_WIDTH)),
        ),
        nn.Sequential(*conv_bn(widths[-1], EXPANSION * widths[-1], norm, activation=_ACTIVATION)),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(EXPANSION * widths[-1], head, 1, bias=False),
        activation_layer(_ACTIVATION),
        nn.Flatten(),
        nn.Linear(head, classes),
    )


def _stages(
    stages: Sequence[Stage],
    norm: Normalization,
    *,
    widths: Sequence[int],
    grid: tuple[int, int],
    strides: Sequence[int],
    head_width: int,
) -> Iterator[nn.Module]:
    """Yield blocks; `widths` begin with that of the stem, which leaves the resolution `grid`."""
    for number, (stage, stride) in enumerate(zip(stages, strides, strict=True)):
        in_channels, channels = widths[number : number + 2]
        grid = _strided(grid, stride)
        convolutions = stage.depth if number < FIRST_ATTENTION else 1
        for block in range(convolutions):
            yield _convolution(
                channels if block else in_channels,
                channels,
                norm,
                stage=stage,
                stride=1 if block else stride,
                squeezes=SQUEEZES[number],
            )
        if convolutions < stage.depth:
            heads = stage.width // HEAD_WIDTH
            yield GridToTokens()
            for _ in range(stage.depth - convolutions):
                yield _attention(channels, heads, head_width)
            yield TokensToGrid(grid)


def _convolution(
    in_channels: int,
    out_channels: int,
    norm: Normalization,
    *,
    stage: Stage,
    stride: int,
    squeezes: bool,
) -> nn.Module:
    squeeze = Squeeze(divisible(stage.expansion * in_channels / 4), activation="relu", hard=True)
    return InvertedResidual(
        in_channels,
        out_channels,
        norm,
        expansion=stage.expansion,
        kernel=stage.kernel,
        stride=stride,
        activation=_ACTIVATION,
        squeeze=squeeze if squeezes else None,
        always_expand=False,
    )


def _attention(channels: int, heads: int, head_width: int) -> nn.Module:
    attention = Attention(
        channels, heads=heads, head_width=head_width, value_width=_VALUES * head_width
    )
    return TransformerBlock(channels, attention, _PERCEPTRON * channels, activation=nn.SiLU)


def _strided(grid: tuple[int, ...], stride: int) -> tuple[int, int]:
    height, width = (-(-side // stride) for side in grid)
    return height, width
