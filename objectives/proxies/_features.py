"""Feature maps of a network with fresh weights: of its modules, and of its blocks in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from motemo.errors import EvaluationError
from motemo.objectives.proxies._weights import LAYERS


def noise(like: torch.Tensor) -> torch.Tensor:
    """Return normal numbers of that shape, the same on every device."""
    return torch.randn(like.shape).to(like.device)


def signs(like: torch.Tensor) -> torch.Tensor:
    """Return random signs, 1 or -1, of that shape, the same on every device."""
    return torch.randint(2, like.shape).mul_(2).sub_(1).to(like)


def channel_rows(feature: torch.Tensor) -> torch.Tensor:
    """Return what each channel holds, less its mean, `(C, N H W)`, of maps `(N, C, H, W)`."""
    rows = feature.detach().transpose(0, 1).flatten(1)
    return rows - rows.mean(dim=1, keepdim=True)


def each_feature(
    network: nn.Module, images: torch.Tensor, see: Callable[[torch.Tensor], None]
) -> None:
    """Run the network once, and show `see` every module's output that is a feature map.

    What a module hands on from within is shown once for it and once for the module within.

    Raises:
        EvaluationError: There is none.
    """
    seen = 0

    def look(_module: nn.Module, _arguments: object, output: object) -> None:
        nonlocal seen
        if isinstance(output, torch.Tensor) and output.dim() == 4:
            seen += 1
            see(output)

    for module in network.modules():
        module.register_forward_hook(look)
    with torch.no_grad():
        network(images)
    if not seen:
        raise EvaluationError("the network has no feature maps, (N, C, H, W)")


def block_features(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Run the network once; return the feature maps after each of its blocks, in order.

    Blocks are the network's parts, each of an `nn.ModuleList` for itself, that hold a convolution
    or are no modules of torch's own, such as a cell that only skips. Poolings and activations
    between blocks are none. The maps stay as they are, whatever follows in place.

    Raises:
        EvaluationError: There are fewer than two.
    """
    features: list[torch.Tensor] = []

    def keep(_module: nn.Module, _arguments: object, output: object) -> torch.Tensor | None:
        if not isinstance(output, torch.Tensor) or output.dim() != 4:
            return None
        features.append(output)
        return output.clone()  # for the rest of the network

    for block in _blocks(network):
        block.register_forward_hook(keep)
    network(images)
    if len(features) < 2:
        raise EvaluationError(
            f"the network has {len(features)} block(s) with feature maps, (N, C, H, W); two in a "
            "row are needed"
        )
    return features


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    parts = list(network.children())
    while len(parts) == 1:  # a wrapper
        parts = list(parts[0].children())
    for part in parts:
        members = list(part) if isinstance(part, nn.ModuleList) else [part]
        yield from (member for member in members if _is_block(member))


def _is_block(module: nn.Module) -> bool:
    own = not type(module).__module__.startswith("torch.")
    return own or any(isinstance(part, LAYERS) for part in module.modules())
