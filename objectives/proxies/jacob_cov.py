"""`jacob_cov`: how differently a network with fresh weights responds to changes of its images.

With the eigenvalues v of the correlation matrix of the output's gradients by the images, the score
is -sum(log(v + k) + 1 / (v + k)), k = 1e-5; it is highest if no two gradients are correlated.

References: Mellor et al., *Neural Architecture Search without Training*, the first version,
https://arxiv.org/abs/2006.04647v1; `jacob_cov` in Abdelfattah et al., ICLR 2021,
https://arxiv.org/abs/2101.08134, and `jacov` in Krishnakumar et al., *NAS-Bench-Suite-Zero*,
NeurIPS 2022. Deviation: the matrix is decomposed as the symmetric one that it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.objectives.proxies._jacobian import SMALL, correlations, image_gradients
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class JacobCov(Proxy):
    """Score of the spectrum of the gradients' correlation matrix."""

    name: str = field(default="jacob_cov", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return -sum(log(v + k) + 1 / (v + k)), at most -N."""
        matrix = correlations(image_gradients(network, batch.images))
        shifted = torch.linalg.eigvalsh(matrix).clamp_min(0) + SMALL
        return -float((shifted.log() + 1 / shifted).sum())
