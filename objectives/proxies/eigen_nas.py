"""`eigen_nas`: how fast a network with fresh weights learns what it learns slowest.

The score is log10 of the smallest eigenvalue of the neural tangent kernel; higher is better.

Reference: Zhu, Liu, Chrysos and Cevher, *Generalization Properties of NAS under Activation and Skip
Connection Search*, NeurIPS 2022, https://arxiv.org/abs/2209.07238: the smallest eigenvalue bounds
the generalisation error.

Deviations: the kernel of this one network instead of bounds on that of an infinitely wide one;
normalisations take the statistics of the batch as constants; the logarithm. An eigenvalue below
1e-12 of the largest counts as that, since nothing smaller can be told. The paper's search then
trains the best for some epochs, which is not part of the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

from torch import nn

from motemo.objectives.proxies._tangent import extreme_eigenvalues, tangent_kernel
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class EigenNas(Proxy):
    """Smallest eigenvalue of the neural tangent kernel, as a power of ten."""

    name: str = field(default="eigen_nas", init=False)
    batch_size: int = 32

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return log10 of the smallest eigenvalue.

        Raises:
            EvaluationError: The output does not depend on the weights.
        """
        smallest, _ = extreme_eigenvalues(tangent_kernel(network, batch.images))
        return math.log10(smallest)
