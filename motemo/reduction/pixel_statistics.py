"""`PixelStatistics`: an encoder without weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motemo.reduction.encoder import Encoder, Form, Progress, batches
from motemo.reduction.resizing import resize_images
from motemo.space import Json

_SIZE = (32, 32)
_BLOCKS = 4
_ORIENTATIONS = 8
_VERSION = 1
"""Raised whenever the outputs change."""


@dataclass(frozen=True, kw_only=True)
class PixelStatistics(Encoder):
    """Colours and edges of each part of the image, by plain arithmetic.

    Images are scaled to 32x32 and cut into 4x4 blocks. Of each block: mean and standard deviation
    of brightness, red-green and blue-yellow, and a histogram of the directions of edges (8 bins
    from 0 to 180 degrees, weighted by contrast). All 224 are standardised over the images, and
    projected on the principal components that vary most.

    Codes depend on all images together, and repeat exactly on one machine.

    Reference: Dalal and Triggs, *Histograms of Oriented Gradients for Human Detection*, CVPR 2005
    (for the edges).

    Attributes:
        components: Length of the output, at most; fewer where the images vary less.
    """

    components: int = 64

    @property
    def form(self) -> Form:
        """Unit length."""
        return "unit"

    def identity(self) -> dict[str, Json]:
        """Name, version and length of the output."""
        return {"name": "pixels", "version": _VERSION, "components": self.components}

    def encode(
        self, images: NDArray[np.uint8], on_progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return principal components `(N, D)`, D <= `components`."""
        parts = [
            _statistics(resize_images(batch, _SIZE)) for batch in batches(images, on_progress, 256)
        ]
        return _principal_components(np.concatenate(parts), self.components)


def _statistics(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return colours and edges, `(N, 224)`, of images `(N, 3, H, W)`."""
    red, green, blue = np.moveaxis(images / 255, 1, 0)
    brightness = (red + green + blue) / 3
    planes = (brightness, red - green, blue - (red + green) / 2)
    blocks = [_blocks(plane) for plane in planes]
    colours = [f(block, axis=2) for block in blocks for f in (np.mean, np.std)]
    return np.concatenate([*colours, _edges(brightness)], axis=1)


def _edges(brightness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return contrast by direction, `(N, blocks * orientations)`, of planes `(N, H, W)`."""
    down, right = np.gradient(brightness, axis=(1, 2))
    contrast = np.hypot(down, right)
    direction = np.arctan2(down, right) % np.pi  # an edge and its negative are one direction
    bins = np.minimum((direction * (_ORIENTATIONS / np.pi)).astype(int), _ORIENTATIONS - 1)
    sums = [_blocks(contrast * (bins == number)).sum(axis=2) for number in range(_ORIENTATIONS)]
    histogram = np.concatenate(sums, axis=1)
    total = histogram.sum(axis=1, keepdims=True)
    return np.sqrt(histogram / np.where(total > 0, total, 1))


def _blocks(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut planes `(N, H, W)` into `(N, blocks, pixels)`."""
    count, height, width = planes.shape
    rows, columns = height // _BLOCKS, width // _BLOCKS
    cut = planes.reshape(count, _BLOCKS, rows, _BLOCKS, columns).swapaxes(2, 3)
    return cut.reshape(count, _BLOCKS * _BLOCKS, rows * columns)


def _principal_components(statistics: NDArray[np.float64], components: int) -> NDArray[np.float32]:
    spread = statistics.std(axis=0)
    varied = statistics[:, spread > 0]
    standardised = (varied - varied.mean(axis=0)) / spread[spread > 0]
    covariance = standardised.T @ standardised / len(standardised)
    _, vectors = np.linalg.eigh(covariance)  # by ascending eigenvalue
    projected: NDArray[np.float32] = (standardised @ vectors[:, ::-1][:, :components]).astype(
        np.float32
    )
    return projected
