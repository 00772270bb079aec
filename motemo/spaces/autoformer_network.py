"""Networks of AutoFormer's space: the published ones, and reduced architectures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from motemo.space import Shape
from motemo.spaces.attention import (
    Attention,
    ClassToken,
    PatchTokens,
    Positions,
    TransformerBlock,
    initialise,
    layer_norm,
    patch_of,
)
from motemo.spaces.autoformer import Decisions
from motemo.spaces.layers import initialise_reduced

_REDUCED_SIDE = 4
"""Most patches of a reduced architecture along a side."""


class MeanOfPatches(nn.Module):
    """The mean of all tokens but the class token."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, 1 + T, C)` to `(N, C)`."""
        return x[:, 1:].mean(dim=1)


def full_network(
    decisions: Decisions,
    *,
    input_shape: Shape,
    classes: int,
    patch: int | None,
    head_width: int | None,
) -> nn.Sequential:
    """Return patches, class token, positions, blocks, and a classifier of the mean token."""
    network = _network(
        decisions,
        input_shape=input_shape,
        classes=classes,
        patch=patch or patch_of(input_shape),
        head_width=head_width,
        width=1.0,
    )
    initialise(network)
    return network


def reduced_network(
    decisions: Decisions,
    *,
    input_shape: Shape,
    classes: int,
    width: float,
    head_width: int | None,
) -> nn.Sequential:
    """Return the same with fewer channels and at most 4 x 4 patches."""
    network = _network(
        decisions,
        input_shape=input_shape,
        classes=classes,
        patch=-(-max(input_shape[1:]) // _REDUCED_SIDE),
        head_width=head_width,
        width=width,
    )
    initialise_reduced(network)
    return network


def _network(
    decisions: Decisions,
    *,
    input_shape: Shape,
    classes: int,
    patch: int,
    head_width: int | None,
    width: float,
) -> nn.Sequential:
    channels = _scaled(decisions.width, width)
    patches = PatchTokens(input_shape, channels, patch=patch, stride=patch)
    tokens = patches.grid[0] * patches.grid[1]
    return nn.Sequential(
        patches,
        ClassToken(tokens, channels),
        Positions(1 + tokens, channels),
        *_blocks(decisions, channels, None if head_width is None else _scaled(head_width, width)),
        layer_norm(channels),
        MeanOfPatches(),
        nn.Linear(channels, classes),
    )


def _blocks(decisions: Decisions, channels: int, head_width: int | None) -> Iterator[nn.Module]:
    for heads, ratio in decisions.blocks:
        attention = Attention(
            channels, heads=heads, head_width=head_width or _scaled(channels, 1 / heads)
        )
        yield TransformerBlock(channels, attention, _scaled(channels, ratio))


def _scaled(channels: int, by: float) -> int:
    return max(1, round(by * channels))
