"""Networks of the PiT space: the published ones, and reduced architectures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from motemo.space import Shape
from motemo.spaces.attention import (
    Attention,
    ClassToken,
    GridToTokens,
    PatchTokens,
    Positions,
    TokensToGrid,
    TransformerBlock,
    initialise,
    layer_norm,
    patch_of,
)
from motemo.spaces.layers import initialise_reduced
from motemo.spaces.pit import Decisions

_REDUCED_SIDE = 8
"""Most patches of a reduced architecture along a side."""


class TokenPooling(nn.Module):
    """Halves the resolution of the patches, and widens them and the class token.

    Args:
        grid: Patches from top to bottom and from left to right.
        in_channels: Channels of the tokens.
        out_channels: Channels to widen them to, a multiple of those.
    """

    def __init__(self, grid: tuple[int, int], in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.patches = nn.Sequential(
            TokensToGrid(grid),
            nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, groups=in_channels),
            GridToTokens(),
        )
        self.class_token = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, 1 + T, C)` to `(N, 1 + T', C')`."""
        return torch.cat([self.class_token(x[:, :1]), self.patches(x[:, 1:])], dim=1)


class TakeClassToken(nn.Module):
    """The first token."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, 1 + T, C)` to `(N, C)`."""
        return x[:, 0]


def full_network(
    decisions: Decisions, *, input_shape: Shape, classes: int, patch: int | None
) -> nn.Sequential:
    """Return overlapping patches, stages with poolings between, a classifier of the class token."""
    patch = patch or patch_of(input_shape)
    network = _network(
        decisions, input_shape=input_shape, classes=classes, patch=patch, stride=patch // 2
    )
    initialise(network)
    return network


def reduced_network(
    decisions: Decisions, *, input_shape: Shape, classes: int, width: float
) -> nn.Sequential:
    """Return the same with narrow heads, and at most 8 x 8 patches that do not overlap."""
    patch = -(-max(input_shape[1:]) // _REDUCED_SIDE)
    network = _network(
        decisions._replace(head_width=round(width * decisions.head_width)),
        input_shape=input_shape,
        classes=classes,
        patch=patch,
        stride=patch,
    )
    initialise_reduced(network)
    return network


def _network(
    decisions: Decisions, *, input_shape: Shape, classes: int, patch: int, stride: int
) -> nn.Sequential:
    widths = [decisions.head_width * heads for heads in decisions.heads]
    patches = PatchTokens(input_shape, widths[0], patch=patch, stride=stride)
    tokens = patches.grid[0] * patches.grid[1]
    return nn.Sequential(
        patches,
        Positions(tokens, widths[0]),
        ClassToken(tokens, widths[0]),
        *_stages(decisions, widths, patches.grid),
        TakeClassToken(),
        layer_norm(widths[-1]),
        nn.Linear(widths[-1], classes),
    )


def _stages(decisions: Decisions, widths: list[int], grid: tuple[int, int]) -> Iterator[nn.Module]:
    for stage, channels in enumerate(widths):
        if stage:
            yield TokenPooling(grid, widths[stage - 1], channels)
            grid = (-(-grid[0] // 2), -(-grid[1] // 2))
        for _ in range(decisions.depths[stage]):
            attention = Attention(
                channels, heads=decisions.heads[stage], head_width=decisions.head_width
            )
            yield TransformerBlock(channels, attention, decisions.ratio * channels)
