"""The weights of convolutions and linear layers, and gradients with respect to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from motemo.errors import EvaluationError
from motemo.objectives.proxy import Batch

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


def weighted_layers(network: nn.Module) -> list[nn.Module]:
    """Return the convolutions and linear layers of a network, each once.

    Raises:
        EvaluationError: It has none.
    """
    layers: list[nn.Module] = [module for module in network.modules() if isinstance(module, LAYERS)]
    if not layers:
        raise EvaluationError("the network has no convolution or linear layer")
    return layers


def weights(network: nn.Module) -> list[torch.Tensor]:
    """Return the weights, without biases, of those layers; a shared one once.

    They are made to require gradients.

    Raises:
        EvaluationError: There are none.
    """
    found = [layer.get_parameter("weight") for layer in weighted_layers(network)]
    distinct = {id(weight): weight.requires_grad_() for weight in found}
    return list(distinct.values())


def mean_loss(network: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy over the batch, a scalar."""
    return functional.cross_entropy(network(batch.images), batch.labels)


def gradients(
    value: torch.Tensor, tensors: Sequence[torch.Tensor], *, create_graph: bool = False
) -> list[torch.Tensor]:
    """Return the gradient of a scalar; zeros with respect to what it does not depend on.

    Raises:
        EvaluationError: It depends on nothing that requires a gradient.
    """
    if not value.requires_grad:
        raise EvaluationError("the network's output depends on no weight and no image")
    return list(
        torch.autograd.grad(
            value, tensors, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )
    )
