"""`epe_nas`: how differently a network with fresh weights responds to images of one class.

Within each class, the logarithms of |correlation| of the output's gradients by its images are
summed over all pairs. With at most 100 classes, the score is the sum of the classes' absolute
sums. With more, each sum is divided by the number of the class's images, and the score is the
sum of the absolute differences between classes, divided by the number of classes in the batch.

Reference: Lopes, Alirezazadeh and Alexandre, *EPE-NAS: Efficient Performance Estimation Without
Training for Neural Architecture Search*, ICANN 2021, https://arxiv.org/abs/2102.08099, and the
authors' code. Deviation: classes with a single image, which tell nothing, count as zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.errors import EvaluationError
from motemo.objectives.proxies._jacobian import SMALL, correlations, image_gradients
from motemo.objectives.proxy import Batch, Proxy

_MANY = 100
"""Classes above which the differences between classes are scored."""


@final
@dataclass(frozen=True, kw_only=True)
class EpeNas(Proxy):
    """Score of the gradients' correlations within each class."""

    name: str = field(default="epe_nas", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the score over the classes in the batch.

        Raises:
            EvaluationError: No class has two images in the batch.
        """
        logs = (correlations(image_gradients(network, batch.images)).abs() + SMALL).log()
        classes, counts = torch.unique(batch.labels, return_counts=True)
        if int(counts.max()) < 2:
            raise EvaluationError(
                "no class has two images in the batch; give a larger batch_size or fewer classes"
            )
        sums = torch.stack([_within(logs, batch.labels == c) for c in classes])
        if batch.classes <= _MANY:
            return float(sums.abs().sum())
        means = sums / counts
        return float((means[:, None] - means).abs().sum()) / len(means)


def _within(logs: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
    """Return the sum over all pairs of one class's images; zero for one image."""
    return logs[members][:, members].sum() * (members.sum() > 1)
