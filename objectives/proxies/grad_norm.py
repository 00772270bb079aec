"""`grad_norm`: the size of the loss's gradient before training.

The sum, over convolutions and linear layers, of the Euclidean norm of the gradient of the loss by
the layer's weight.

Reference: Abdelfattah, Mehrotra, Dudziak and Lane, *Zero-Cost Proxies for Lightweight NAS*, ICLR
2021, https://arxiv.org/abs/2101.08134, whose conventions are followed: mean cross-entropy of one
batch, batch statistics in normalisations. No deviation is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from torch import nn

from motemo.objectives.proxies._weights import gradients, mean_loss, weights
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class GradNorm(Proxy):
    """Sum of the layers' gradient norms."""

    name: str = field(default="grad_norm", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum of the norms."""
        return sum(float(g.norm()) for g in gradients(mean_loss(network, batch), weights(network)))
