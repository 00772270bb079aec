"""Networks with layers that learn their sizes from the first input, such as `nn.LazyLinear`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from motemo.space import Shape


def with_sizes(network: nn.Module, input_shape: Shape) -> nn.Module:
    """Return the network; if it has lazy layers, after an input of zeros has gone through it."""
    import torch
    from torch.nn.modules.lazy import LazyModuleMixin

    lazy = [m for m in network.modules() if isinstance(m, LazyModuleMixin)]
    if any(module.has_uninitialized_params() for module in lazy):
        training = network.training
        with torch.no_grad():
            network.eval()(torch.zeros(2, *input_shape))
        network.train(training)
    return network
