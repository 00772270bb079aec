"""How the summed output of a network depends on each image, and how these gradients correlate."""

from __future__ import annotations

import torch
from torch import nn

from motemo.errors import EvaluationError
from motemo.objectives.proxies._weights import gradients

SMALL = 1e-5
"""Added before a logarithm or a division, as published."""


def image_gradients(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the sum of all outputs by each image, `(N, pixels)` float64.

    Normalisations take the statistics of the batch, so images influence each other's outputs.
    """
    inputs = images.clone().requires_grad_()
    [slopes] = gradients(network(inputs).sum(), [inputs])
    return slopes.flatten(1).double()


def correlations(rows: torch.Tensor) -> torch.Tensor:
    """Return Pearson's correlation of every two rows, `(N, N)`.

    Raises:
        EvaluationError: A row is constant.
    """
    centred = rows - rows.mean(dim=1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        raise EvaluationError("the output has the same derivative by every pixel of an image")
    units = centred / norms
    product: torch.Tensor = units @ units.T
    return product
