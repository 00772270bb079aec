"""`l2_norm`: the size of the fresh weights; a baseline that says little more than width and depth.

The sum, over convolutions and linear layers, of the Euclidean norm of the weight.

Reference: Krishnakumar et al., *NAS-Bench-Suite-Zero*, NeurIPS 2022,
https://arxiv.org/abs/2210.03230. No deviation is known. Images, labels and `batch_size` do not
matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from torch import nn

from motemo.objectives.proxies._weights import weights
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class L2Norm(Proxy):
    """Sum of the layers' weight norms."""

    name: str = field(default="l2_norm", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum of the norms."""
        return sum(float(weight.detach().norm()) for weight in weights(network))
