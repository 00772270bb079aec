"""`fisher`: how much the loss would change if single channels were removed.

For a channel of a convolution or linear layer, the Fisher pruning score is half the mean, over the
images, of the square of sum(activation x derivative of the loss by it), the sum taken over
positions. The score sums it over all channels, each weighted by the number of its weights.

References: Theis, Korshunova, Tejani and Huszar, *Faster gaze prediction with dense networks and
Fisher pruning*, 2018, https://arxiv.org/abs/1801.05787; as a proxy: Abdelfattah et al., ICLR 2021,
https://arxiv.org/abs/2101.08134, whose conventions are followed, the weighting included: mean
cross-entropy of one batch, batch statistics in normalisations. Deviation: an activation
that is afterwards changed in place still counts as it left its layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.objectives.proxies._weights import gradients, mean_loss, weighted_layers
from motemo.objectives.proxy import Batch, Proxy


@final
@dataclass(frozen=True, kw_only=True)
class Fisher(Proxy):
    """Sum of the channels' Fisher information, weighted by their number of weights."""

    name: str = field(default="fisher", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the weighted sum over all channels."""
        network.requires_grad_()
        layers: list[nn.Module] = []
        outputs: list[torch.Tensor] = []

        def keep(layer: nn.Module, _arguments: object, output: torch.Tensor) -> torch.Tensor:
            layers.append(layer)
            outputs.append(output)
            return output.clone()  # which may be changed in place

        for layer in weighted_layers(network):
            layer.register_forward_hook(keep)
        slopes = gradients(mean_loss(network, batch), outputs)
        return sum(map(_information, layers, outputs, slopes))


def _information(layer: nn.Module, output: torch.Tensor, slope: torch.Tensor) -> float:
    """Return the Fisher information of a layer's channels times their number of weights."""
    by_channel = (output.detach() * slope).movedim(-1 if isinstance(layer, nn.Linear) else 1, 1)
    change = by_channel.reshape(*by_channel.shape[:2], -1).sum(dim=2)
    each = layer.get_parameter("weight").numel() / by_channel.shape[1]
    return each * float(change.square().mean(dim=0).sum()) / 2
