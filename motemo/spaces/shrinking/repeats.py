"""Repeated blocks, of which a reduced architecture needs one only."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from motemo.space import Shape
from motemo.spaces.shrinking.calls import BATCH
from motemo.spaces.shrinking.structure import shared_weights, signature


def repeats(network: nn.Module) -> set[str]:
    """Return the paths of modules of the structure of the one before them.

    They are looked for in every `Sequential` and `ModuleList`.
    """
    shared = shared_weights(network)
    return {
        f"{path}.{i}" if path else str(i)
        for path, module in network.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for i in range(1, len(module))
        if signature(module[i], shared) == signature(module[i - 1], shared)
    }


def dispensable(network: nn.Module, paths: Iterable[str], input_shape: Shape) -> set[str]:
    """Return those of the modules without which the network works: they map a tensor to its shape.

    Each must be called once. None is dispensable if the network cannot be run on tensors without
    numbers.
    """
    shapes = shapes_of_called_once(network, paths, input_shape)
    return {path for path, (before, after) in shapes.items() if before == after}


def shapes_of_called_once(
    network: nn.Module, paths: Iterable[str], input_shape: Shape
) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Return the shapes before and after those modules that are called once, from tensor to tensor.

    There is none if the network cannot be run on tensors without numbers.
    """
    copied = copy.deepcopy(network).to("meta").eval()
    calls: dict[str, list[tuple[torch.Size, torch.Size] | None]] = {path: [] for path in paths}

    def note(path: str) -> None:
        def hook(_module: nn.Module, inputs: Any, named: Any, output: Any) -> None:  # noqa: ANN401
            plain = len(inputs) == 1 and not named and isinstance(output, torch.Tensor)
            calls[path].append((inputs[0].shape, output.shape) if plain else None)

        copied.get_submodule(path).register_forward_hook(hook, with_kwargs=True)

    for path in calls:
        note(path)
    try:
        with torch.device("meta"), torch.no_grad():
            copied(torch.empty(BATCH, *input_shape))
    except Exception:  # noqa: BLE001  (a user's own network may raise anything)
        return {}
    return {path: seen[0] for path, seen in calls.items() if len(seen) == 1 and seen[0]}


def without(network: nn.Module, paths: Iterable[str]) -> nn.Module:
    """Replace modules by the identity, in place; return the network."""
    for path in paths:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, nn.Identity())
    return network
