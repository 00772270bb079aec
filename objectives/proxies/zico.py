"""`zico`: how steady each weight's gradient is from batch to batch.

In each layer, the weights' mean |gradient| / standard deviation over some batches are summed; the
score is the sum of the layers' logarithms. Higher is better.

Reference: Li, Yang, Bhardwaj and Marculescu, *ZiCo: Zero-shot NAS via Inverse Coefficient of
Variation on Gradients*, ICLR 2023, https://arxiv.org/abs/2301.11300.

Deviations: the batches are parts of one, so that `batch_size` is the number of all images. As
published, biases and normalisations do not count, nor do weights whose gradient never changes, nor
layers without any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.errors import EvaluationError, SettingsError
from motemo.objectives.proxies._weights import gradients, mean_loss, weights
from motemo.objectives.proxy import Batch, Proxy
from motemo.space import Json

_SMALLEST = 2
"""Images of the smallest part: batch normalisation needs two."""


@final
@dataclass(frozen=True, kw_only=True)
class Zico(Proxy):
    """ZiCo.

    Attributes:
        batches: Parts that the batch is cut into.
    """

    name: str = field(default="zico", init=False)
    batches: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_batches(self, self.batches)

    def identity(self) -> dict[str, Json]:
        """Those of every proxy, and the number of batches."""
        return {**super().identity(), "batches": self.batches}

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum over the layers.

        Raises:
            EvaluationError: There are too few images, or no gradient ever changes.
        """
        return sum(term for _, term in steadiness(network, batch, self.batches))


def require_batches(proxy: Proxy, batches: int) -> None:
    """Raise unless a batch can be cut into that many.

    Raises:
        SettingsError: It cannot.
    """
    if batches < 2 or proxy.batch_size < _SMALLEST * batches:
        raise SettingsError(
            f"{proxy.name} needs at least 2 batches of at least {_SMALLEST} images each; got "
            f"{batches} batches and a batch_size of {proxy.batch_size} for all."
        )


def steadiness(network: nn.Module, batch: Batch, batches: int) -> list[tuple[torch.Tensor, float]]:
    """Return the weight of each layer whose gradients change, and its term of ZiCo.

    Raises:
        EvaluationError: There are too few images, or no such layer.
    """
    if len(batch.images) < _SMALLEST * batches:
        raise EvaluationError(f"{len(batch.images)} images are too few for {batches} batches")
    found = weights(network)
    images, labels = batch.images.tensor_split(batches), batch.labels.tensor_split(batches)
    parts = [Batch(x, y, batch.classes) for x, y in zip(images, labels, strict=True)]
    slopes = [gradients(mean_loss(network, part), found) for part in parts]
    terms: list[tuple[torch.Tensor, float]] = []
    for weight, of_parts in zip(found, zip(*slopes, strict=True), strict=True):
        stacked = torch.stack(of_parts).double()
        deviation = stacked.std(dim=0, correction=0)
        changes = deviation > 0
        total = float((stacked.abs().mean(dim=0)[changes] / deviation[changes]).sum())
        if total > 0:
            terms.append((weight, math.log(total)))
    if not terms:
        raise EvaluationError("no weight's gradient changes from batch to batch")
    return terms
