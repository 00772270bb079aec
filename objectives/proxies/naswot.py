"""`naswot`: how well a network with fresh weights tells images apart by its activations.

Each image has a binary code: which rectifiers are open. The score is the logarithm of the
determinant of the kernel `units - Hamming distance` of all pairs of codes.

Reference: Mellor, Turner, Storkey and Crowley, *Neural Architecture Search without Training*,
ICML 2021, https://arxiv.org/abs/2006.04647 (the second version of the score).

Deviations: all rectifiers that run are counted, also those that do not reach the output and those
that are no modules; a batch with two equal codes, for which the score would be minus infinity,
fails the evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.errors import EvaluationError
from motemo.objectives.proxies._activations import each_activation
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class Naswot(Proxy):
    """Log-determinant of the Hamming kernel of the images' activation codes."""

    name: str = field(default="naswot", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the log-determinant of the kernel, in nats."""
        images = len(batch.images)
        kernel = torch.zeros(images, images, dtype=torch.float64, device=batch.images.device)
        units = 0

        def add(pattern: torch.Tensor) -> None:
            nonlocal units
            signs = pattern.float().mul_(2).sub_(1)  # exact below 2**24 units an activation
            units += signs.shape[1]
            kernel.add_((signs @ signs.T).double().add_(signs.shape[1]).div_(2))

        each_activation(network, batch.images, add)
        if int((kernel == units).sum()) > images:  # each equals itself
            raise EvaluationError("two images of the batch open the same activations")
        return float(torch.linalg.slogdet(kernel).logabsdet)
