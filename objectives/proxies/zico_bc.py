"""`zico_bc`: ZiCo, less what it gives to networks for being deep and thin.

From each layer's term, beta log(H W / sqrt(C)) is subtracted, with the height, the width and the
channels of the layer's output. Higher is better.

Reference: Bhardwaj, Cheng, Priyadarshi and Li, *ZiCo-BC: A Bias Corrected Zero-Shot NAS for Vision
Tasks*, ICCV Workshops 2023, https://arxiv.org/abs/2309.14666. The correction is meant for spaces of
repeated blocks; beta is 1 for classification, 2 for segmentation.

Deviations: those of `zico`; the output of a linear layer on vectors has H = W = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import final

import torch
from torch import nn

from motemo.errors import SettingsError
from motemo.objectives.proxies._weights import weighted_layers
from motemo.objectives.proxies.zico import require_batches, steadiness
from motemo.objectives.proxy import Batch, Proxy
from motemo.space import Json


@final
@dataclass(frozen=True, kw_only=True)
class ZicoBc(Proxy):
    """Bias-corrected ZiCo.

    Attributes:
        batches: Parts that the batch is cut into.
        beta: Weight of the correction; 0 is ZiCo.
    """

    name: str = field(default="zico_bc", init=False)
    batches: int = 2
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_batches(self, self.batches)
        if not 0 <= self.beta < math.inf:
            raise SettingsError(f"{self.name} needs a beta of at least 0; got {self.beta}.")

    def identity(self) -> dict[str, Json]:
        """Those of every proxy, the number of batches, and beta."""
        return {**super().identity(), "batches": self.batches, "beta": self.beta}

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the corrected sum over the layers.

        Raises:
            EvaluationError: There are too few images, or no gradient ever changes.
        """
        penalties: dict[int, float] = {}
        for layer in weighted_layers(network):
            layer.register_forward_hook(partial(_note_penalty, penalties))
        terms = steadiness(network, batch, self.batches)
        return sum(term - self.beta * penalties[id(weight)] for weight, term in terms)


def _note_penalty(
    penalties: dict[int, float], layer: nn.Module, _arguments: object, output: torch.Tensor
) -> None:
    channels = output.shape[-1 if isinstance(layer, nn.Linear) else 1]
    positions = output.numel() / (output.shape[0] * channels)
    penalties[id(layer.get_parameter("weight"))] = math.log(positions / math.sqrt(channels))
