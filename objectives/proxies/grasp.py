"""`grasp`: how much removing single weights would slow the loss's descent.

The sum, over all weights of convolutions and linear layers, of -weight x (H g), with the gradient
g and the Hessian H of the loss by those weights.

References: Wang, Zhang and Grosse, *Picking Winning Tickets Before Training by Preserving Gradient
Flow*, ICLR 2020, https://arxiv.org/abs/2002.07376; as a proxy: Abdelfattah et al., ICLR 2021,
https://arxiv.org/abs/2101.08134, whose sign and conventions are followed: mean cross-entropy of one
batch, batch statistics in normalisations, temperature 1. Deviation: g and H come from one forward
pass instead of two equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.objectives.proxies._weights import gradients, mean_loss, weights
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class Grasp(Proxy):
    """Sum of -weight x Hessian-gradient product."""

    name: str = field(default="grasp", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum of -weight x (H g)."""
        layers = weights(network)
        slopes = gradients(mean_loss(network, batch), layers, create_graph=True)
        along = torch.stack([(g * g.detach()).sum() for g in slopes]).sum()
        curvatures = gradients(along, layers)
        return -sum(float((w.detach() * c).sum()) for w, c in zip(layers, curvatures, strict=True))
