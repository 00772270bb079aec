"""`snip`: how much the loss would change if single weights were removed.

The sum, over all weights of convolutions and linear layers, of |weight x derivative of the loss|.

References: Lee, Ajanthan and Torr, *SNIP: Single-shot Network Pruning based on Connection
Sensitivity*, ICLR 2019, https://arxiv.org/abs/1810.02340; as a proxy: Abdelfattah et al.,
*Zero-Cost Proxies for Lightweight NAS*, ICLR 2021, https://arxiv.org/abs/2101.08134, whose
conventions are followed: mean cross-entropy of one
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
class Snip(Proxy):
    """Sum of the connection sensitivities."""

    name: str = field(default="snip", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum of |weight x gradient|."""
        layers = weights(network)
        slopes = gradients(mean_loss(network, batch), layers)
        return sum(float((w.detach() * g).abs().sum()) for w, g in zip(layers, slopes, strict=True))
