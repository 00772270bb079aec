"""`ntk_condition`: how unevenly a network with fresh weights would learn different images.

The score is log10 of the condition number of the neural tangent kernel; lower is better.

Reference: Chen, Gong and Wang, *Neural Architecture Search on ImageNet in Four GPU Hours: A
Theoretically Inspired Perspective* (TE-NAS), ICLR 2021, https://arxiv.org/abs/2102.11535. With
`linear_regions` it makes the score of TE-NAS, which sums the two ranks.

Deviations: normalisations take the statistics of the batch as constants; biases count as weights
do; the logarithm, so that a mean of `repeats` is not that of the worst draw. A singular kernel has
12, the most that can be told. Published: 3 `repeats`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

from torch import nn

from motemo.objective import Direction
from motemo.objectives.proxies._tangent import extreme_eigenvalues, tangent_kernel
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class NtkCondition(Proxy):
    """Condition number of the neural tangent kernel, as a power of ten."""

    name: str = field(default="ntk_condition", init=False)
    direction: Direction = field(default=Direction.MINIMIZE, init=False)
    batch_size: int = 32

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return log10 of the largest by the smallest eigenvalue, in [0, 12].

        Raises:
            EvaluationError: The output does not depend on the weights.
        """
        smallest, largest = extreme_eigenvalues(tangent_kernel(network, batch.images))
        return math.log10(largest / smallest)
