"""`swap`: how many different things the activations of a network with fresh weights respond to.

Each activation has a pattern: the images of the batch on which it is open. The score is the
number of different patterns in the network.

Reference: Peng, Song, Fayek, Ciesielski and Chang, *SWAP-NAS: Sample-Wise Activation Patterns for
Ultra-fast NAS*, ICLR 2024, https://arxiv.org/abs/2403.04161.

Deviations: the network's own initialisation instead of Gaussian weights; all rectifiers count, not
only ReLU modules between feature maps; no regularisation by the number of parameters, which needs
two constants per search space. The score cannot exceed 2 ** `batch_size`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn

from motemo.objectives.proxies._activations import each_activation
from motemo.objectives.proxy import Batch, Proxy

_BITS = 63
"""Images whose bits fit into one integer."""


@final
@dataclass(frozen=True, kw_only=True)
class Swap(Proxy):
    """Number of distinct sample-wise activation patterns."""

    name: str = field(default="swap", init=False)
    batch_size: int = 32

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the number of distinct patterns."""
        found: list[torch.Tensor] = []
        each_activation(network, batch.images, lambda p: found.append(_distinct(_packed(p))))
        return float(_distinct(torch.cat(found, dim=1)).shape[1])


def _packed(pattern: torch.Tensor) -> torch.Tensor:
    """Pack `(N, units)` bool into `(ceil(N / 63), units)` int64."""
    images, units = pattern.shape
    size = (math.ceil(images / _BITS), units)
    words = torch.zeros(size, dtype=torch.int64, device=pattern.device)
    for image in range(images):
        words[image // _BITS] |= pattern[image].to(torch.int64) << image % _BITS
    return words


def _distinct(words: torch.Tensor) -> torch.Tensor:
    """Return the distinct columns."""
    one = len(words) == 1  # sorted far faster as a vector
    found: torch.Tensor = torch.unique(words[0])[None] if one else torch.unique(words, dim=1)
    return found
