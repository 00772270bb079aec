"""The images of a full training: split, normalised, cropped and mirrored, always by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from motemo.data.dataset import ImageData
from motemo.errors import SettingsError
from motemo.objectives.full_training_recipe import FullRecipe
from motemo.seeds import derive_seed

_BORDER, _LEAST_TO_CROP = 8, 16
"""The border from which crops are taken is so small a part of the image, if that is so large."""
_LOOK = 512
"""Validation images at once."""
_LEAST_STD = 1e-3

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images `(n, C, H, W)`, normalised, and labels `(n,)`."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which images train and which are held out.

    Attributes:
        train: `(n,)` positions, ascending.
        val: `(m,)` positions, ascending.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]


@lru_cache(maxsize=4)
def split(data: ImageData, share: float, seed: int) -> Split:
    """Hold a share of each class out, at least one image and not all; by a seed.

    The choice depends on nothing but data, share and seed, so it is the same for all networks.

    Raises:
        SettingsError: A class has a single image.
    """
    held_out: list[int] = []
    for label, name in enumerate(data.class_names):
        rows = np.flatnonzero(data.labels == label)
        if len(rows) < 2:
            raise SettingsError(
                f"The class {name!r} of {data.name} has a single image; to train and to hold one "
                "out takes two. Give more images of it, or leave the class out."
            )
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        order = np.random.default_rng(derive_seed("held out", seed, label)).permutation(rows)
        held_out += order[:count].tolist()
    val = np.sort(np.array(held_out, dtype=np.int64))
    return Split(train=np.setdiff1d(np.arange(len(data)), val), val=val)


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Images on the device that trains.

    Attributes:
        train: `(n, H + 2p, W + 2p, C)` uint8, with the border for crops.
        train_labels: `(n,)`.
        val: `(m, H, W, C)` uint8.
        val_labels: `(m,)`.
        mean: Mean of each channel over the training images, of pixel values in [0, 1].
        std: Standard deviation of the same.
        border: Pixels of the border, p.
        mirrored: Whether every other image, by chance, is mirrored.
    """

    train: torch.Tensor = field(repr=False)
    train_labels: torch.Tensor = field(repr=False)
    val: torch.Tensor = field(repr=False)
    val_labels: torch.Tensor = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    border: int
    mirrored: bool

    @classmethod
    def of(
        cls, data: ImageData, rows: Split, recipe: FullRecipe, *, device: torch.device
    ) -> TrainingImages:
        """Put the images on a device."""
        images = data.images.transpose(0, 2, 3, 1)
        train, val = images[rows.train], images[rows.val]
        smaller = min(train.shape[1:3])
        border = smaller // _BORDER if recipe.crop and smaller >= _LEAST_TO_CROP else 0
        mean, std = _moments(train)
        around = ((0, 0), (border, border), (border, border), (0, 0))
        return cls(
            train=torch.from_numpy(np.pad(train, around, mode="reflect")).to(device),
            train_labels=torch.from_numpy(data.labels[rows.train]).to(device),
            val=torch.from_numpy(np.ascontiguousarray(val)).to(device),
            val_labels=torch.from_numpy(data.labels[rows.val]).to(device),
            mean=mean,
            std=std,
            border=border,
            mirrored=recipe.flips(data.coloured),
        )

    def batches(self, recipe: FullRecipe, *, seed: int) -> Iterator[Batch]:
        """Yield the batches of one epoch: shuffled, cropped and mirrored by the seed.

        What is drawn is drawn on the CPU, so that it is the same on every device.
        """
        n, device = len(self.train), self.train.device
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(n, generator=generator)
        shifts = torch.randint(0, 2 * self.border + 1, (2, n), generator=generator)
        mirrored = torch.rand(n, generator=generator) < 0.5
        if not self.mirrored:
            mirrored[:] = False
        size, steps = recipe.batch(n), recipe.steps(n)
        drawn = (order.to(device), shifts.to(device), mirrored.to(device))
        for parts in islice(
            zip(*(torch.split(x, size, dim=-1) for x in drawn), strict=True), steps
        ):
            yield self._normalised(self._windows(*parts)), self.train_labels[parts[0]]

    def val_batches(self) -> Iterator[Batch]:
        """Yield the validation images, as they are but normalised."""
        parts = (torch.split(self.val, _LOOK), torch.split(self.val_labels, _LOOK))
        for images, labels in zip(*parts, strict=True):
            yield self._normalised(images), labels

    def _windows(
        self, rows: torch.Tensor, shifts: torch.Tensor, mirrored: torch.Tensor
    ) -> torch.Tensor:
        """Return `(b, H, W, C)` parts of training images.

        Args:
            rows: `(b,)` positions of the images.
            shifts: `(2, b)` upper and left corners of the parts.
            mirrored: `(b,)` which to mirror.
        """
        height, width = (size - 2 * self.border for size in self.train.shape[1:3])
        down = torch.arange(height, device=rows.device)
        across = torch.arange(width, device=rows.device)
        columns = torch.where(mirrored[:, None], width - 1 - across, across) + shifts[1][:, None]
        lines = down + shifts[0][:, None]
        return self.train[rows[:, None, None], lines[:, :, None], columns[:, None, :]]

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Turn `(n, H, W, C)` bytes into `(n, C, H, W)` numbers, channels last in memory."""
        mean, std = self._constants
        return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)

    @cached_property
    def _constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation, on the device."""
        device = self.train.device
        return torch.tensor(self.mean, device=device), torch.tensor(self.std, device=device)


def _moments(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of `(n, H, W, C)`, exactly."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[3]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        shares = counts / counts.sum()
        mean = float(shares @ levels)
        means.append(mean)
        stds.append(max(float(np.sqrt(shares @ (levels - mean) ** 2)), _LEAST_STD))
    return tuple(means), tuple(stds)
