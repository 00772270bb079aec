"""`knas`: how much the gradients of different images agree (mean of their Gram matrix).

The mean of all entries of the Gram matrix is the squared norm of the mean gradient, so it takes
one backward pass. Higher is better.

Reference: Xu et al., *KNAS: Green Neural Architecture Search*, ICML 2021,
https://arxiv.org/abs/2111.13293.

Deviations: gradients of the summed logits, the kernel of the paper's theory, by all weights; the
authors' code takes losses of mini-batches and samples weights of some layers (of losses, and by all
weights, the mean would be the squared norm of the loss's gradient). Normalisations take the
statistics of the batch as constants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from torch import nn

from motemo.objectives.proxies._tangent import mean_gradient
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class Knas(Proxy):
    """Mean of the Gram matrix of the images' gradients."""

    name: str = field(default="knas", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the mean of the Gram matrix.

        Raises:
            EvaluationError: The output does not depend on the weights.
        """
        slopes = mean_gradient(network, batch.images)
        return sum(float(slope.double().square().sum()) for slope in slopes)
