"""What the Once-for-All spaces are made of, as published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from motemo.spaces.mobile_blocks import Activation


@dataclass(frozen=True)
class Stage:
    """A stage: its width, the stride of its first block, its blocks, and how many there can be."""

    channels: int
    stride: int
    activation: Activation
    squeezes: bool = False
    depths: tuple[int, ...] = (2, 3, 4)


@dataclass(frozen=True)
class Family:
    """A space: its fixed parts, its stages and its choices.

    Attributes:
        stem: Channels of the first convolution.
        first: Channels of the first block, which does not expand and has 3x3 filters.
        stages: The searched stages.
        pooled: Channels of the 1x1 convolution before the global pooling.
        features: Channels of the 1x1 convolution after it, if there is one.
        activation: Activation of the stem and the last convolutions.
        first_activation: Activation of the first block.
        kernels: Sides that the filters can have.
        expansions: Expansions that a block can have.
        eps: Constant of batch normalisation.
        resolutions: Heights of the input that a network can work at; none if that is no choice.
    """

    stem: int
    first: int
    stages: tuple[Stage, ...]
    pooled: int
    features: int | None
    activation: Activation
    first_activation: Activation
    kernels: tuple[int, ...] = (3, 5, 7)
    expansions: tuple[int, ...] = (3, 4, 6)
    eps: float = 1e-5
    resolutions: tuple[int, ...] = ()


def _with_relu6(widths: tuple[int, ...], *, kernels: tuple[int, ...]) -> Family:
    """Return five stages of ReLU6 blocks and a last one of one block."""
    strides = (2, 2, 2, 1, 2, 1)
    *most, last = (
        Stage(channels, stride, "relu6") for channels, stride in zip(widths, strides, strict=True)
    )
    return Family(
        stem=32,
        first=16,
        stages=(*most, Stage(last.channels, last.stride, "relu6", depths=(1,))),
        pooled=1280,
        features=None,
        activation="relu6",
        first_activation="relu6",
        kernels=kernels,
        eps=1e-3,
    )


FAMILIES = {
    "ofa_mbv3": Family(
        stem=16,
        first=16,
        stages=(
            Stage(24, 2, "relu"),
            Stage(40, 2, "relu", squeezes=True),
            Stage(80, 2, "hard_swish"),
            Stage(112, 1, "hard_swish", squeezes=True),
            Stage(160, 2, "hard_swish", squeezes=True),
        ),
        pooled=960,
        features=1280,
        activation="hard_swish",
        first_activation="relu",
    ),
    "proxyless": _with_relu6((24, 40, 80, 96, 192, 320), kernels=(3, 5, 7)),
    "mobilenetv2": _with_relu6((24, 32, 64, 96, 160, 320), kernels=(3,)),
}
