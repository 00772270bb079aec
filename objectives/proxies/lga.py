"""`lga`: whether gradients are alike where labels are (label-gradient alignment).

The score is the correlation, over all pairs of images, of the neural tangent kernel with a matrix
that says whether two labels are equal; in [-1, 1], higher is better.

Reference: Mok, Na, Kim, Han and Yoon, *Demystifying the Neural Tangent Kernel from a Practical
Perspective: Can It Be Trusted for Neural Architecture Search Without Training?*, CVPR 2022,
https://arxiv.org/abs/2203.14577.

Deviations: fresh weights, whereas the paper finds that LGA says little before a few epochs of
training; normalisations take the statistics of the batch as constants.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from torch import nn

from motemo.errors import EvaluationError
from motemo.objectives.proxies._tangent import tangent_kernel
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class Lga(Proxy):
    """Label-gradient alignment."""

    name: str = field(default="lga", init=False)
    batch_size: int = 32

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the correlation of the two matrices, in [-1, 1].

        Raises:
            EvaluationError: One of the two is constant.
        """
        alike = (batch.labels[:, None] == batch.labels).double()
        kernel = tangent_kernel(network, batch.images)
        alike, kernel = alike - alike.mean(), kernel - kernel.mean()
        norms = alike.norm() * kernel.norm()
        if not norms:
            raise EvaluationError(
                "all images of the batch have one label, or one gradient; use a larger batch_size"
            )
        return float((alike * kernel).sum() / norms)
