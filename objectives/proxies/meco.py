"""`meco`: how little the channels of a network with fresh weights repeat each other.

The score is the sum, over all feature maps, of the smallest eigenvalue of the channels' correlation
matrix. Higher is better.

Reference: Jiang, Wang and Bie, *MeCo: Zero-Shot NAS with One Data and Single Forward Pass via
Minimum Eigenvalue of Correlation*, NeurIPS 2023, https://neurips.cc/virtual/2023/poster/72017.

Deviations: correlations over the pixels of all images of a batch, whereas the paper takes one of
64x64 pixels: channels that outnumber the pixels always correlate, and deep maps of small images
have few. As published, the images are noise, the outputs of all modules count, also of those that
contain others, and a constant channel makes the eigenvalue zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.objectives.proxies._features import channel_rows, each_feature, noise
from motemo.objectives.proxy import Batch, Proxy

_ROUNDING = 1e-5
"""Deviation from the mean, as a share of the values, below which a channel counts as constant."""


@final
@dataclass(frozen=True, kw_only=True)
class Meco(Proxy):
    """Sum of the smallest eigenvalues of the channels' correlations."""

    name: str = field(default="meco", init=False)
    batch_size: int = 8

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum over the feature maps.

        Raises:
            EvaluationError: The network has no feature maps.
        """
        total, last, version, value = 0.0, batch.images, -1, 0.0

        def add(feature: torch.Tensor) -> None:
            nonlocal total, last, version, value
            if feature is not last or feature._version != version:  # handed on as it was
                last, version, value = feature, feature._version, _smallest_eigenvalue(feature)
            total += value

        each_feature(network, noise(batch.images), add)
        return total


def _smallest_eigenvalue(feature: torch.Tensor) -> float:
    rows = channel_rows(feature)
    norms = rows.norm(dim=1)
    constant = norms <= _ROUNDING * feature.transpose(0, 1).flatten(1).norm(dim=1)
    if rows.shape[1] <= len(rows) or bool(constant.any()):
        return 0.0
    units = rows / norms[:, None]
    return max(0.0, float(torch.linalg.eigvalsh((units @ units.T).double())[0]))
