"""The test images that come with some sources."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motemo.data.dataset import ImageData
from motemo.data.pipeline import DOWNLOADS
from motemo.data.torchvision_sets import convert
from motemo.errors import DataError
from motemo.reduction.resizing import resize_images

_X_TEST, _Y_TEST, _Y_TRAIN = "x_test", "y_test", "y_train"
_BY_TORCHVISION = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Test images, which no choice has looked at.

    Attributes:
        images: `(N, C, H, W)`.
        labels: `(N,)` class indices; N may be 0.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def of_classes(self, kept: tuple[int, ...]) -> HeldOut:
        """Return the images of some classes, ascending, which count from 0 then."""
        rows = np.isin(self.labels, kept)
        labels = np.searchsorted(kept, self.labels[rows]).astype(np.int64)
        return HeldOut(self.images[rows], labels)


def load_held_out(source: str, data: ImageData) -> HeldOut | None:
    """Return the test images of a source, if it has any.

    An `.npz` file has them if it holds `x_test` and `y_test` beside `x_train` and `y_train`;
    cifar10 and cifar100 have them; the others do not.

    Args:
        source: What the data were loaded from, as `load_data` takes it.
        data: The training images. Test images come in their size, and labels count as theirs;
            images of classes that these have not are left out.

    Raises:
        DataError: They cannot be read, or are not images like the training images.
    """
    if source in _BY_TORCHVISION:
        return _by_torchvision(source, data)
    path = Path(source)
    if path.suffix.lower() != ".npz" or path.is_dir():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not {_X_TEST, _Y_TEST, _Y_TRAIN} <= set(archive.files):
                return None
            images, labels = archive[_X_TEST], archive[_Y_TEST].reshape(-1)
            values = np.unique(archive[_Y_TRAIN])
    except _UNREADABLE as error:
        raise DataError(f"{path}: {_X_TEST!r} or {_Y_TEST!r} cannot be read: {error}.") from error
    if not len(images):
        return None
    if len(images) != len(labels) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{path}: {_X_TEST!r} holds {len(images)} images, {_Y_TEST!r} {len(labels)} labels of "
            f"dtype {labels.dtype}. Store one integer label per image, or leave both arrays out."
        )
    known = np.isin(labels, values)
    pixels = _to_pixels(path, images, data)[known]
    indices = np.searchsorted(values, labels[known]).astype(np.int64)
    return HeldOut(resize_images(pixels, data.image_shape[1:]), indices)


def _by_torchvision(source: str, data: ImageData) -> HeldOut:
    cifar_class = getattr(import_module("torchvision.datasets"), _BY_TORCHVISION[source])
    try:
        cifar = cifar_class(str(DOWNLOADS.expanduser()), train=False, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{source}: the test images cannot be read: {error}.") from error
    test = convert(source, cifar)
    return HeldOut(resize_images(test.images, data.image_shape[1:]), test.labels)


def _to_pixels(path: Path, images: NDArray[Any], data: ImageData) -> NDArray[np.uint8]:
    """Return `(N, C, H, W)` uint8, read as training images are."""
    channels = data.image_shape[0]
    ordered = images[:, np.newaxis] if images.ndim == 3 else images
    if ordered.ndim == 4 and ordered.shape[3] == channels:
        ordered = ordered.transpose(0, 3, 1, 2)
    floats = np.issubdtype(ordered.dtype, np.floating)
    fits = ordered.ndim == 4 and ordered.shape[1] == channels
    in_range = ordered.dtype == np.uint8 or (floats and ordered.min() >= 0 and ordered.max() <= 1)
    if not fits or not in_range:
        raise DataError(
            f"{path}: {_X_TEST!r}, {images.dtype} of shape {images.shape}, does not fit the "
            f"training images, {channels} channel(s) of uint8 0..255 or floats in [0, 1]. Store "
            f"both alike, or leave {_X_TEST!r} out."
        )
    return np.rint(ordered * 255.0).astype(np.uint8) if floats else np.ascontiguousarray(ordered)
