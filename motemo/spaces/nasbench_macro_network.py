"""Networks of NAS-Bench-Macro: the published one, and a narrow one as reduced architecture.

Reference: Su et al., CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from motemo.spaces.layers import PUBLISHED, REDUCED, Normalization, initialise_reduced
from motemo.spaces.mobile_blocks import InvertedResidual, classifier, conv_bn

HEAD = 40
"""Width of the layer before the classifier, in widths of the stem."""

BLOCKS = {"mb3_k3": (3, 3), "mb6_k5": (6, 5)}
"""Expansion and kernel."""


def _first_block(kind: str, in_channels: int, norm: Normalization) -> nn.Module:
    """Return the first block of a stage, which halves the resolution and doubles the width."""
    out_channels = 2 * in_channels
    if kind == "identity":
        return nn.Sequential(*conv_bn(in_channels, out_channels, norm, stride=2))
    expansion, kernel = BLOCKS[kind]
    return InvertedResidual(
        in_channels, out_channels, norm, expansion=expansion, kernel=kernel, stride=2
    )


def _later_block(kind: str, channels: int, norm: Normalization) -> nn.Module:
    if kind == "identity":
        return nn.Identity()
    expansion, kernel = BLOCKS[kind]
    return InvertedResidual(channels, channels, norm, expansion=expansion, kernel=kernel)


def _network(
    stages: Sequence[Sequence[str]],
    norm: Normalization,
    *,
    in_channels: int,
    channels: int,
    classes: int,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Sequential(*conv_bn(in_channels, channels, norm, kernel=3, activation="relu"))
    ]
    width = channels
    for first, *later in stages:
        layers.append(_first_block(first, width, norm))
        width *= 2
        layers += [_later_block(kind, width, norm) for kind in later]
    layers += [
        nn.Sequential(*conv_bn(width, HEAD * channels, norm, activation="relu")),
        *classifier(HEAD * channels, classes),
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
