"""Blocks that nothing of the search changes, and what takes their place.

A block of several layers that is the same in every architecture learns much by itself, and hides
what the searched parts do: after a few steps of training, a network with empty cells between such
blocks is as good as one with full cells.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeAlias

import torch
from torch import nn

from motemo.space import Shape
from motemo.spaces.shrinking.calls import BATCH
from motemo.spaces.shrinking.repeats import shapes_of_called_once
from motemo.spaces.shrinking.structure import shared_weights, signature

_LEAST_LAYERS = 2

Block: TypeAlias = tuple[str, Hashable]
"""Path and structure of a block."""


def blocks(network: nn.Module) -> set[Block]:
    """Return each block of several layers: its path and its structure.

    A block is a module inside a `Sequential` or `ModuleList` with two convolutions or more.
    """
    shared = shared_weights(network)
    return {
        (f"{path}.{name}" if path else name, signature(child, shared))
        for path, module in network.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for name, child in module.named_children()
        if sum(isinstance(m, nn.Conv2d) for m in child.modules()) >= _LEAST_LAYERS
    }


def outermost(found: Iterable[Block]) -> frozenset[Block]:
    """Return the blocks that lie inside none of the others."""
    kept = frozenset(found)
    paths = {path for path, _ in kept}
    return frozenset(b for b in kept if not any(b[0].startswith(f"{p}.") for p in paths))


def with_adapters(network: nn.Module, paths: Iterable[str], input_shape: Shape) -> nn.Module:
    """Replace blocks of a network by average pooling and a 1x1 convolution, in place.

    One that keeps the shape is left out. One that sees the images themselves stays, and so does one
    that does not map `(N, C, H, W)` to as many or fewer pixels.
    """
    for path, (before, after) in _shapes(network, paths, input_shape).items():
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, _adapter(before, after))
    return network


def _adapter(before: torch.Size, after: torch.Size) -> nn.Module:
    if before == after:
        return nn.Identity()
    stride = -(-before[2] // after[2])
    pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
    channels = before[1], after[1]
    return nn.Sequential(pool, nn.Conv2d(*channels, 1, bias=False), nn.BatchNorm2d(after[1]))


def _shapes(
    network: nn.Module, paths: Iterable[str], input_shape: Shape
) -> Mapping[str, tuple[torch.Size, torch.Size]]:
    """Return the shapes before and after each block that an adapter can take the place of."""
    stem = (BATCH, *input_shape)
    return {
        path: (before, after)
        for path, (before, after) in shapes_of_called_once(network, paths, input_shape).items()
        if before != stem and _can_adapt(before, after)
    }


def _can_adapt(before: torch.Size, after: torch.Size) -> bool:
    """Return whether pooling with one stride, rounded up, gives the pixels."""
    if len(before) != 4 or len(after) != 4:
        return False
    stride = -(-before[2] // after[2])
    return all(-(-side // stride) == new for side, new in zip(before[2:], after[2:], strict=True))
