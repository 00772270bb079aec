"""What a builder returns: a network, maybe with layers that learn their sizes, as `LazyLinear`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motemo.errors import EvaluationError

if TYPE_CHECKING:
    from torch import nn

    from motemo.space import Shape


def require_network(built: object) -> nn.Module:
    """Return what was built.

    Raises:
        EvaluationError: It is no network.
    """
    from torch import nn

    if not isinstance(built, nn.Module):
        raise EvaluationError(
            f"The builder returns {built!r}, which is no network. Let it return a torch.nn.Module."
        )
    return built


def with_sizes(network: nn.Module, input_shape: Shape) -> nn.Module:
    """Return the network; if it has lazy layers, after an input of zeros has gone through it.

    Raises:
        EvaluationError: It is no network.
    """
    import torch
    from torch.nn.modules.lazy import LazyModuleMixin

    modes = {module: module.training for module in require_network(network).modules()}
    lazy = [module for module in modes if isinstance(module, LazyModuleMixin)]
    if any(module.has_uninitialized_params() for module in lazy):
        with torch.no_grad():
            network.eval()(torch.zeros(2, *input_shape))
        for module, training in modes.items():
            module.training = training
    return network
