"""What the zero-cost proxies share: a network with fresh weights, a batch of images, a number.

A proxy is one file of `objectives/proxies/`: a frozen dataclass with a name and `score`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean, stdev
from typing import Literal, TypeAlias

import torch
from torch import nn

from motemo.data.dataset import ImageData, require_images
from motemo.errors import EvaluationError, SettingsError
from motemo.objective import (
    Direction,
    Measurement,
    Objective,
    Outcome,
    Stage,
    evaluate_each,
)
from motemo.objectives.torch_device import deterministic, torch_device
from motemo.seeds import derive_seed, seeded_torch
from motemo.space import Architecture, Json

Which: TypeAlias = Literal["full", "reduced"]


@dataclass(frozen=True)
class Batch:
    """Some images and their labels, on the device that computes.

    Attributes:
        images: `(N, C, H, W)` float32, each channel standardised over the data set.
        labels: `(N,)` int64 in [0, classes).
        classes: Number of classes, K.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: int


@dataclass(frozen=True, kw_only=True)
class Proxy(Objective):
    """A score of a network with fresh weights, seen on one batch. Better as `direction` says.

    The value is the mean over `repeats` draws of weights and batch; its spread is that of such a
    mean. A score that is not finite fails the evaluation.

    Attributes:
        data: Where the batch, the image shape and the number of classes come from.
        network: `full` scores the network as deployed, `reduced` the reduced architecture.
        batch_size: Images in the batch; all there are, if fewer.
        seed: Seed of the batches and, together with each architecture's key, of its weights.
        repeats: Draws of weights and batch.
        train_device: torch device to compute on, such as `cpu` or `cuda`.
    """

    data: ImageData
    network: Which = "full"
    batch_size: int = 64
    seed: int = 0
    repeats: int = 1
    train_device: str = "cpu"
    unit: str = field(default="", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(default=Stage.PROXY, init=False)

    def __post_init__(self) -> None:
        require_images(self.data, self.name)
        if self.network not in ("full", "reduced"):
            raise SettingsError(
                f"Unknown network {self.network!r} for {self.name}. Allowed: 'full', 'reduced'."
            )
        if self.batch_size < 2:
            raise SettingsError(
                f"{self.name} needs a batch_size of at least 2; got {self.batch_size}."
            )
        if self.repeats < 1:
            raise SettingsError(f"{self.name} needs repeats of at least 1; got {self.repeats}.")
        torch_device(self.train_device)

    @abstractmethod
    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the score of a network, in training mode, with fresh weights.

        The network may be changed: each draw builds another. torch's global generator is seeded.

        Raises:
            EvaluationError: The proxy is not defined for this network, and why.
        """

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Score each network."""
        return evaluate_each(architectures, self._measure)

    def identity(self) -> dict[str, Json]:
        """Data, network, batch size, seed, repeats, kind of device."""
        return {
            "data": self.data.identity(),
            "network": self.network,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "repeats": self.repeats,
            "train_device": self.train_device.partition(":")[0],
        }

    def _measure(self, architecture: Architecture) -> Outcome:
        values = [self._draw(architecture, repeat) for repeat in range(self.repeats)]
        value = fmean(values)
        half = 1.96 * stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        return Measurement(
            value=value,
            unit=self.unit,
            low=value - half,
            high=value + half,
            record={"draws": list[Json](values)},
        )

    def _draw(self, architecture: Architecture, repeat: int) -> float:
        seed = derive_seed("proxy", self.seed, architecture.key, repeat)
        build = architecture.build if self.network == "full" else architecture.build_reduced
        network = build(input_shape=self.data.image_shape, classes=self.data.classes, seed=seed)
        device = torch_device(self.train_device)
        with seeded_torch(derive_seed("score", seed), self.train_device), deterministic():
            value = self.score(network.to(device).train(), self._batch(repeat, device))
        if not math.isfinite(value):
            raise EvaluationError(f"{self.name} is {value} for this network")
        return float(value)

    def _batch(self, repeat: int, device: torch.device) -> Batch:
        """Return a seeded choice of images, standardised by channel; all networks see the same."""
        seed = derive_seed("batch", self.seed, repeat)
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(self.data), generator=generator)[: self.batch_size]
        images = torch.from_numpy(self.data.images[chosen.numpy()]).float().div_(255)
        mean, deviation = _channels(self.data)
        images = (images - mean[:, None, None]) / deviation[:, None, None]
        labels = torch.from_numpy(self.data.labels[chosen.numpy()])
        return Batch(images.to(device), labels.to(device), self.data.classes)


@lru_cache(maxsize=8)
def _channels(data: ImageData) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of every channel, `(C,)` each, of images in [0, 1]."""
    axes = (0, 2, 3)
    mean = torch.from_numpy(data.images.mean(axis=axes) / 255).float()
    deviation = torch.from_numpy(data.images.std(axis=axes) / 255).float()
    return mean, deviation.clamp_min(1e-3)
