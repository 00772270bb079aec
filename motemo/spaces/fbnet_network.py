"""Networks of the FBNet space: the published ones, and reduced architectures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from torch import nn

from motemo.spaces.fbnet import SKIP
from motemo.spaces.layers import PUBLISHED, REDUCED, Normalization
from motemo.spaces.mobile_blocks import (
    InvertedResidual,
    classifier,
    conv_bn,
    divisible,
    reduced_network,
    reduced_stages,
)

STEM = 16
CHANNELS = (16, 24, 32, 64, 112, 184, 352)
STRIDES = {"cifar": (1, 1, 1, 2, 2, 1, 2, 1), "imagenet": (2, 1, 2, 2, 2, 1, 2, 1)}
"""Strides of the stem and of each stage."""
HEAD = {"cifar": 1504, "imagenet": 1984}
BLOCK = re.compile(r"k(\d)_e(\d)(?:_g(\d))?")


def full_network(
    stages: Sequence[Sequence[str]], *, layout: str, width: float, in_channels: int, classes: int
) -> nn.Sequential:
    """Return the published network."""
    stem, head = divisible(width * STEM), divisible(width * HEAD[layout])
    stem_stride, *strides = STRIDES[layout]
    channels = [divisible(width * published) for published in CHANNELS]
    shapes = [*zip(channels, strides, strict=True)]
    first = conv_bn(in_channels, stem, PUBLISHED, kernel=3, stride=stem_stride, activation="relu")
    return nn.Sequential(
        nn.Sequential(*first),
        *_blocks(stages, PUBLISHED, shapes=shapes, in_channels=stem),
        nn.Sequential(*conv_bn(channels[-1], head, PUBLISHED, activation="relu")),
        *classifier(head, classes),
    )


def reduced(
    stages: Sequence[Sequence[str]], *, width: float, in_channels: int, classes: int
) -> nn.Sequential:
    """Return the same blocks in stages of MOTE's widths.

    A skip that is a convolution in the published network is one here too.
    """
    shapes = reduced_stages(len(stages), width)
    blocks = _blocks(stages, REDUCED, shapes=shapes, in_channels=shapes[0][0])
    return reduced_network(
        blocks, in_channels=in_channels, shapes=shapes, activation="relu", classes=classes
    )


def _blocks(
    stages: Sequence[Sequence[str]],
    norm: Normalization,
    *,
    shapes: Sequence[tuple[int, int]],
    in_channels: int,
) -> Iterator[nn.Module]:
    for number, (kinds, (channels, stride)) in enumerate(zip(stages, shapes, strict=True)):
        first, *later = kinds
        if first == SKIP and number:
            layers = conv_bn(in_channels, channels, norm, stride=stride, activation="relu")
            yield nn.Sequential(*layers)
        else:
            yield _block(first, in_channels, channels, norm=norm, stride=stride)
        for kind in later:
            yield _block(kind, channels, channels, norm=norm)
        in_channels = channels


def _block(
    kind: str, in_channels: int, out_channels: int, *, norm: Normalization, stride: int = 1
) -> nn.Module:
    found = BLOCK.fullmatch(kind)
    if found is None:
        return nn.Identity()
    kernel, expansion, groups = (int(number or 1) for number in found.groups())
    return InvertedResidual(
        in_channels,
        out_channels,
        norm,
        expansion=expansion,
        kernel=kernel,
        stride=stride,
        groups=groups,
    )
