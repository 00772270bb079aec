"""AZ-NAS: three scores of a network with fresh weights, and how ranks become one score.

* `az_expressivity`: the entropy of the principal components of each block's output, summed;
* `az_progressivity`: the least by which that entropy grows from one block to the next;
* `az_trainability`: how near to 1 each block's gradient has its spectral norm, on average.

The fourth component is `flops`. Higher is better for all four. `az_nas` aggregates them.

Reference: Lee and Ham, *AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search*, CVPR
2024, https://arxiv.org/abs/2403.19232.

Deviations: the blocks of any network are found by a rule (`_features.block_features`); a block that
changes nothing has the value of a block without a gradient, -1e6, where the published code has
minus infinity; gradients at a lower resolution are padded with zeros where it does not divide the
higher one. As published, the images are noise, and weights are normal (He et al., by fan-in).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, final

import torch
from torch import nn
from torch.nn import functional

from motemo.errors import UsageError
from motemo.objectives.proxies._features import block_features, channel_rows, noise, signs
from motemo.objectives.proxies._weights import weighted_layers
from motemo.objectives.proxy import Batch, Proxy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPONENTS = ("az_expressivity", "az_progressivity", "az_trainability", "flops")
"""Names of the four scores that AZ-NAS aggregates; of all, more counts as better."""


@final
@dataclass(frozen=True, kw_only=True)
class AzExpressivity(Proxy):
    """Expressivity: entropy of the blocks' principal components, summed, in nats."""

    name: str = field(default="az_expressivity", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the sum over the blocks.

        Raises:
            EvaluationError: The network has fewer than two blocks with feature maps.
        """
        return sum(_entropies(network, batch))


@final
@dataclass(frozen=True, kw_only=True)
class AzProgressivity(Proxy):
    """Progressivity: least growth of that entropy from block to block, in nats."""

    name: str = field(default="az_progressivity", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the least growth.

        Raises:
            EvaluationError: The network has fewer than two blocks with feature maps.
        """
        return min(after - before for before, after in pairwise(_entropies(network, batch)))


@final
@dataclass(frozen=True, kw_only=True)
class AzTrainability(Proxy):
    """Trainability: mean over the blocks of 2 - s - 1/s, s the gradient's spectral norm."""

    name: str = field(default="az_trainability", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the mean over the blocks, at most 0.

        Raises:
            EvaluationError: The network has fewer than two blocks with feature maps.
        """
        _draw_weights(network)
        features = block_features(network, noise(batch.images).requires_grad_())
        scores = [_trainability(before, after) for before, after in pairwise(features)]
        return sum(scores) / len(scores)


def az_nas(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Aggregate the scores of a population by their ranks.

    Args:
        scores: `(n, 4)`, a column for each of `COMPONENTS`, a row an architecture.

    Returns:
        `(n,)` sums of log(rank / n), the worst having rank 1; at most 0, higher is better. Equal
        scores share the mean of their ranks.

    Raises:
        UsageError: The shape is another one, or a score is not a number.
    """
    import numpy as np
    from scipy.stats import rankdata

    if scores.ndim != 2 or scores.shape[1] != len(COMPONENTS) or np.isnan(scores).any():
        raise UsageError(
            f"AZ-NAS needs scores of shape (n, {len(COMPONENTS)}), the columns being "
            f"{', '.join(COMPONENTS)}, without NaN; got shape {scores.shape}."
        )
    total: NDArray[np.float64] = np.log(rankdata(scores, axis=0) / len(scores)).sum(axis=1)
    return total


def _entropies(network: nn.Module, batch: Batch) -> list[float]:
    _draw_weights(network)
    with torch.no_grad():
        return [_entropy(feature) for feature in block_features(network, noise(batch.images))]


def _entropy(feature: torch.Tensor) -> float:
    """Return the entropy of the shares of variance of the principal components, in nats."""
    rows = channel_rows(feature)
    variances = torch.linalg.eigvalsh((rows @ rows.T).double()).clamp_min(0)
    if not variances.any():
        return 0.0
    shares = variances / variances.sum()
    return float(-(shares * (shares + 1e-8).log()).sum())


def _trainability(before: torch.Tensor, after: torch.Tensor) -> float:
    """Return 2 - s - 1/s of the block between two maps, s by random gradients at its output."""
    coming = signs(after)
    [going] = torch.autograd.grad(
        after, [before], coming, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    if going.shape == coming.shape and bool((going == coming).all()):
        norm = 0.0
    else:
        size = [min(a, b) for a, b in zip(coming.shape[2:], going.shape[2:], strict=True)]
        product = _at_resolution(going, size) @ _at_resolution(coming, size).T
        norm = float(torch.linalg.matrix_norm(product / (len(coming) * size[0] * size[1]), 2))
    return 2 - norm - 1 / (norm + 1e-6)


def _at_resolution(maps: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Turn maps `(N, C, H, W)` into rows `(C s t, N h w)`, the surplus pixels becoming channels."""
    count, channels, *given = maps.shape
    (down, right), (height, width) = [-(-g // s) for g, s in zip(given, size, strict=True)], size
    maps = functional.pad(maps, (0, right * width - given[1], 0, down * height - given[0]))
    maps = maps.view(count, channels, height, down, width, right)
    return maps.permute(1, 3, 5, 0, 2, 4).reshape(channels * down * right, -1)


def _draw_weights(network: nn.Module) -> None:
    """Draw normal weights by fan-in, for rectifiers, and no biases."""
    for layer in weighted_layers(network):
        for name, parameter in layer.named_parameters(recurse=False):
            with torch.no_grad():
                if name == "weight":
                    drawn = nn.init.kaiming_normal_(torch.empty(parameter.shape))
                    parameter.copy_(drawn)
                else:
                    parameter.zero_()
