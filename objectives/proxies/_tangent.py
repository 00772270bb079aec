"""The neural tangent kernel of a network with fresh weights, and gradients that it is made of.

The function of an image is the sum of its logits. So that it is one, batch normalisation divides
by the statistics of the batch as constants: otherwise each image's logits depend on all images.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from motemo.errors import EvaluationError
from motemo.objectives.proxies._weights import gradients

_RESOLUTION = 1e-12
"""Smallest share of the largest eigenvalue that float32 gradients can tell from zero."""


def tangent_kernel(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the products of the gradients, by all weights, of every two images, `(N, N)` float64.

    Changes the network's normalisations. Holds N times the weights in memory.

    Raises:
        EvaluationError: The output does not depend on the weights.
    """
    parameters = _frozen(network, images)
    rows = [gradients(network(image[None]).sum(), parameters) for image in images]
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
    for slopes in zip(*rows, strict=True):
        jacobian = torch.stack(slopes).flatten(1).double()
        kernel += jacobian @ jacobian.T
    if not bool(kernel.any()):
        raise EvaluationError("the network's output does not depend on its weights")
    return kernel


def mean_gradient(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Return the mean over the images of those gradients, one tensor a parameter.

    Changes the network's normalisations.
    """
    parameters = _frozen(network, images)
    return gradients(network(images).sum() / len(images), parameters)


def extreme_eigenvalues(kernel: torch.Tensor) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue of a kernel, both above zero.

    The smallest is given as at least 1e-12 of the largest.
    """
    values = torch.linalg.eigvalsh(kernel)
    largest = float(values[-1])
    return max(float(values[0]), _RESOLUTION * largest), largest


def _frozen(network: nn.Module, images: torch.Tensor) -> list[nn.Parameter]:
    """Let normalisations keep the statistics of the images; return the trainable parameters."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            place = images.device
            module.running_mean = torch.zeros(module.num_features, device=place)
            module.running_var = torch.ones(module.num_features, device=place)
            module.num_batches_tracked = torch.zeros((), dtype=torch.long, device=place)
            module.track_running_stats, module.momentum = True, None  # the mean of all batches
    with torch.no_grad():
        network.train()(images)
    network.eval()
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
