"""Building blocks of vision transformers: tokens of image patches, attention, and what is around.

Tokens are `(N, T, C)`. All sizes are set when a network is built, so that no layer asks for the
shape of its input.

Reference: Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021; Vaswani et al.,
*Attention Is All You Need*, NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from motemo.space import Shape

_EPS = 1e-6
_STANDARD_DEVIATION = 0.02
_LARGE, _PATCH, _SMALL_PATCH = 112, 16, 4


def is_large(input_shape: Shape) -> bool:
    """Return whether images have the pixels that networks for ImageNet are made for."""
    return min(input_shape[1:]) >= _LARGE


def patch_of(input_shape: Shape) -> int:
    """Return the side of a patch that suits images: 16 for large ones, or 4."""
    return _PATCH if is_large(input_shape) else _SMALL_PATCH


def layer_norm(channels: int) -> nn.LayerNorm:
    """Return a layer normalisation with the constant of vision transformers."""
    return nn.LayerNorm(channels, eps=_EPS)


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        channels: Channels of the tokens.
        heads: Number of heads.
        head_width: Channels of queries and keys in each head.
        value_width: Channels of values in each head; those of keys if not given.
    """

    def __init__(
        self, channels: int, *, heads: int, head_width: int, value_width: int | None = None
    ) -> None:
        super().__init__()
        value_width = value_width or head_width
        self.query = _by_heads(channels, heads, head_width)
        self.key = _by_heads(channels, heads, head_width)
        self.value = _by_heads(channels, heads, value_width)
        self.project = nn.Sequential(nn.Flatten(2), nn.Linear(heads * value_width, channels))
        self.scale = head_width**-0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, T, C)` to the same shape."""
        query = self.query(x).transpose(1, 2)  # (N, heads, T, width)
        key = self.key(x).permute(0, 2, 3, 1)  # (N, heads, width, T)
        value = self.value(x).transpose(1, 2)
        weights = (query @ key * self.scale).softmax(dim=-1)
        out: torch.Tensor = self.project((weights @ value).transpose(1, 2))
        return out


def _by_heads(channels: int, heads: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, heads * width), nn.Unflatten(2, (heads, width)))


class TransformerBlock(nn.Module):
    """Attention, then a perceptron of one hidden layer; before each a norm, around each a skip.

    Args:
        channels: Channels of the tokens.
        attention: The attention.
        hidden: Width of the hidden layer.
        activation: Makes its activation.
    """

    def __init__(
        self,
        channels: int,
        attention: Attention,
        hidden: int,
        *,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.attention = nn.Sequential(layer_norm(channels), attention)
        self.perceptron = nn.Sequential(
            layer_norm(channels),
            nn.Linear(channels, hidden),
            activation(),
            nn.Linear(hidden, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, T, C)` to the same shape."""
        x = x + self.attention(x)
        out: torch.Tensor = x + self.perceptron(x)
        return out


class PatchTokens(nn.Module):
    """One token for each patch of an image, zeros beyond its right and lower edge.

    Args:
        input_shape: Shape of an image, (C, H, W).
        channels: Channels of the tokens.
        patch: Side of a patch.
        stride: From one patch to the next.

    Attributes:
        grid: Patches from top to bottom, and from left to right.
    """

    def __init__(self, input_shape: Shape, channels: int, *, patch: int, stride: int) -> None:
        super().__init__()
        in_channels, *sides = input_shape
        height, width = (1 + max(0, -(-(side - patch) // stride)) for side in sides)
        self.grid = (height, width)
        below, beside = (
            patch + (count - 1) * stride - side
            for count, side in zip(self.grid, sides, strict=True)
        )
        self.embed = nn.Sequential(
            nn.ZeroPad2d((0, beside, 0, below)) if below or beside else nn.Identity(),
            nn.Conv2d(in_channels, channels, patch, stride),
        )
        self.tokens = GridToTokens()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, T, C')`."""
        tokens: torch.Tensor = self.tokens(self.embed(x))
        return tokens


class GridToTokens(nn.Module):
    """One token for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, H * W, C)`."""
        flat: torch.Tensor = self.flatten(x)
        return flat.transpose(1, 2)


class TokensToGrid(nn.Module):
    """One pixel for each token."""

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.unflatten = nn.Unflatten(2, grid)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, H * W, C)` to `(N, C, H, W)`."""
        grid: torch.Tensor = self.unflatten(x.transpose(1, 2))
        return grid


class Positions(nn.Module):
    """Adds to each token what is learned for its place."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.positions = _small(tokens, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, T, C)` to the same shape."""
        return x + self.positions


class ClassToken(nn.Module):
    """Puts a learned token before the others."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.token = _small(1, channels)
        self.shift = nn.ZeroPad2d((0, 0, 1, 0))
        self.widen = nn.ZeroPad2d((0, 0, 0, tokens))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, T, C)` to `(N, 1 + T, C)`; by adding, which needs no batch size."""
        out: torch.Tensor = self.shift(x) + self.widen(self.token)
        return out


def _small(tokens: int, channels: int) -> nn.Parameter:
    weights = torch.empty(1, tokens, channels)
    return nn.Parameter(nn.init.trunc_normal_(weights, std=_STANDARD_DEVIATION))


def initialise(network: nn.Module) -> None:
    """Give a full network the weights that vision transformers start from."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=_STANDARD_DEVIATION)
            nn.init.zeros_(module.bias)
