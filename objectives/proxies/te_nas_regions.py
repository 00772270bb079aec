"""`linear_regions`: how many linear pieces of a network with fresh weights a set of images meets.

A rectifier network is linear where all its rectifiers stay open or closed, so that images with one
pattern of open rectifiers lie in one region. The score is the number of patterns; higher is better.

Reference: Chen, Gong and Wang, *Neural Architecture Search on ImageNet in Four GPU Hours: A
Theoretically Inspired Perspective* (TE-NAS), ICLR 2021, https://arxiv.org/abs/2102.11535.

Deviations: seen from all rectifiers, every image has a region of its own. The paper therefore
counts in a network of one channel, on images of 3x3 pixels. Here the network and the images stay,
and a pattern is made of one random unit of each activation; the number is the mean over `draws` of
such units. Counted are all rectifiers that run, be they modules or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.errors import EvaluationError, SettingsError
from motemo.objectives.proxies._activations import each_activation
from motemo.objectives.proxy import Batch, Proxy
from motemo.space import Json


@final
@dataclass(frozen=True, kw_only=True)
class LinearRegions(Proxy):
    """Number of linear regions that the images lie in, in [1, images].

    Attributes:
        draws: How often a unit of each activation is drawn.
    """

    name: str = field(default="linear_regions", init=False)
    batch_size: int = 128
    draws: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 1:
            raise SettingsError(f"{self.name} needs draws of at least 1; got {self.draws}.")

    def identity(self) -> dict[str, Json]:
        """Those of every proxy, and the draws."""
        return {**super().identity(), "draws": self.draws}

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the mean number of regions.

        Raises:
            EvaluationError: The network has no rectifier, and is not linear.
        """
        seen: list[torch.Tensor] = []

        def draw(pattern: torch.Tensor) -> None:
            units = torch.randint(pattern.shape[1], (self.draws,))
            seen.append(pattern[:, units.to(pattern.device)])

        try:
            each_activation(network, batch.images, draw)
        except EvaluationError:
            if not seen and _is_linear(network, batch.images):
                return 1.0
            raise
        codes = torch.stack(seen, dim=2).cpu()  # (N, draws, activations)
        return sum(len(torch.unique(code, dim=0)) for code in codes.unbind(dim=1)) / self.draws


def _is_linear(network: nn.Module, images: torch.Tensor) -> bool:
    """Return whether the output half way between two images is half way between theirs."""
    with torch.no_grad():
        middle, first, second = network.eval()(
            torch.stack([(images[0] + images[1]) / 2, images[0], images[1]])
        )
    return torch.allclose(middle, (first + second) / 2, rtol=1e-3, atol=1e-5)
