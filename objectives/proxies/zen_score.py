"""`zen`: how much a small change of the input changes the features before the global pooling.

Weights, and images, are drawn from the normal distribution. The score is log E|f(x) - f(x + a e)|,
the sum taken over an image's features, plus the logarithms of what the batch normalisations have
divided by: sqrt(mean variance of the channels), each.

Reference: Lin et al., *Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition*, ICCV 2021,
https://arxiv.org/abs/2102.01063.

Deviations: residual and skip connections stay, since without them many cells have no path; the
variances are those of the first batch, as the paper says, instead of running averages of both; the
features are the last feature maps that no pooling has shrunk. Published: 32 `repeats` of 16 images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.errors import EvaluationError, SettingsError
from motemo.objectives.proxies._features import noise
from motemo.objectives.proxies._weights import weighted_layers
from motemo.objectives.proxy import Batch, Proxy
from motemo.space import Json

_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_POOLINGS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d)


@final
@dataclass(frozen=True, kw_only=True)
class ZenScore(Proxy):
    """Zen-Score.

    Attributes:
        perturbation: Standard deviation of the change (a), with images of standard deviation 1.
    """

    name: str = field(default="zen", init=False)
    batch_size: int = 16
    perturbation: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.perturbation < math.inf:
            raise SettingsError(
                f"{self.name} needs a perturbation above zero; got {self.perturbation}."
            )

    def identity(self) -> dict[str, Json]:
        """Those of every proxy, and the perturbation."""
        return {**super().identity(), "perturbation": self.perturbation}

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the score, in nats.

        Raises:
            EvaluationError: The network has no feature maps.
        """
        _draw_weights(network)
        images, change = (noise(batch.images) for _ in range(2))
        watch = _Watch(network)
        with torch.no_grad():
            network(images)
            before, scale = watch.features, watch.log_scale
            network(images + self.perturbation * change)
        if before is None or watch.features is None:
            raise EvaluationError("the network has no feature maps, (N, C, H, W)")
        distance = (before - watch.features).abs().flatten(1).sum(dim=1).mean()
        return float(distance.log()) + scale


class _Watch:
    """Keeps a network's last features and what its normalisations divide by."""

    def __init__(self, network: nn.Module) -> None:
        self.features: torch.Tensor | None = None
        self.log_scale = 0.0
        for module in network.modules():
            if isinstance(module, _NORMALISATIONS):
                module.register_forward_pre_hook(self._scale)
            module.register_forward_hook(self._keep)

    def _scale(self, _module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        channels = arguments[0].transpose(0, 1).flatten(1)
        variance = float(channels.var(dim=1, correction=0).mean())
        if variance:  # nothing but zeros goes through a dead branch
            self.log_scale += math.log(variance) / 2

    def _keep(self, module: nn.Module, arguments: tuple[object, ...], output: object) -> None:
        positions = _positions(output)
        pools = any(isinstance(part, _POOLINGS) for part in module.modules())
        pooled = pools and positions == 1 < max(map(_positions, arguments), default=0)
        if isinstance(output, torch.Tensor) and positions and not pooled:
            self.features = output


def _positions(value: object) -> int:
    """Return the number of pixels of feature maps; zero of anything else."""
    if isinstance(value, torch.Tensor) and value.dim() == 4:
        return value.shape[2] * value.shape[3]
    return 0


def _draw_weights(network: nn.Module) -> None:
    """Draw normal weights and no biases; normalisations neither scale nor shift."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, _NORMALISATIONS):
                module.reset_parameters()
        for layer in weighted_layers(network):
            weight, bias = layer.get_parameter("weight"), dict(layer.named_parameters()).get("bias")
            weight.copy_(noise(weight))
            if bias is not None:
                bias.zero_()
