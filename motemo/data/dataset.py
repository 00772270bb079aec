"""`ImageData`: labelled images with an identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from motemo.errors import DataError, SettingsError
from motemo.space import Json, Shape

MIN_CLASSES = 2


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled training images, in memory.

    Two are equal when their identities are: name, shape and SHA-256 of the content.

    Attributes:
        name: Where it came from, and which steps it went through.
        images: `(N, C, H, W)` uint8, C = 1 (grey) or 3 (RGB).
        labels: `(N,)` int64 class indices in [0, K).
        class_names: Names of the K classes.

    Raises:
        DataError: The arrays do not fit together, or there are fewer than two classes.
    """

    name: str
    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != np.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
            raise DataError(
                f"{self.name}: images must be uint8 of shape (N, 1 or 3, H, W); "
                f"got {self.images.dtype} of shape {shape}."
            )
        if self.labels.dtype != np.int64 or self.labels.shape != shape[:1]:
            raise DataError(
                f"{self.name}: labels must be int64 of shape ({shape[0]},); "
                f"got {self.labels.dtype} of shape {self.labels.shape}."
            )
        present = np.unique(self.labels)
        if len(present) < MIN_CLASSES:
            raise DataError(
                f"{self.name}: images of {len(present)} class(es) found; "
                "a classification data set needs at least two."
            )
        if present[0] != 0 or not len(present) == present[-1] + 1 == len(self.class_names):
            raise DataError(
                f"{self.name}: labels must run from 0 to {len(self.class_names) - 1}, one per "
                f"class name; got {len(present)} values from {present[0]} to {present[-1]}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageData) and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def image_shape(self) -> Shape:
        """Shape of one image, (C, H, W)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @cached_property
    def coloured(self) -> bool:
        """Whether any image has colours: three channels can hold grey ones."""
        return any(
            not np.array_equal(self.images[:, 0], channel)
            for channel in self.images.swapaxes(0, 1)[1:]
        )

    @property
    def classes(self) -> int:
        """Number of classes, K."""
        return len(self.class_names)

    @cached_property
    def sha256(self) -> str:
        """Digest of images and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()

    def identity(self) -> dict[str, Json]:
        """Name, shape, number of classes and digest."""
        return {
            "name": self.name,
            "shape": list(self.images.shape),
            "classes": self.classes,
            "sha256": self.sha256,
        }


def require_images(data: object, name: str) -> None:
    """Raise unless data are labelled images, which an objective of that name needs.

    Raises:
        SettingsError: They are something else.
    """
    if not isinstance(data, ImageData):
        raise SettingsError(
            f"{name} takes labelled images (ImageData), such as load_data returns; got "
            f"{type(data).__name__}. Estimates that train take motemo.Examples."
        )
