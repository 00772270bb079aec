"""Images in one `.npz` file: two arrays and, if wanted, the names of the classes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from motemo.data.dataset import MIN_CLASSES, ImageData
from motemo.errors import DataError

_PAIRS = (("x_train", "y_train"), ("images", "labels"))
_CLASS_NAMES = "class_names"
_READ = (*(name for pair in _PAIRS for name in pair), _CLASS_NAMES)
_CHANNELS = (1, 3)
_ALLOWED_IMAGES = (
    "Images must have shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, "
    "as uint8 or as floats in [0, 1]."
)
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise on content that is corrupt, pickled or encrypted."""

AnyArray: TypeAlias = NDArray[Any]


def load_npz(path: str | Path) -> ImageData:
    """Return the training images of an `.npz` file.

    The file holds `x_train` and `y_train` (or `images` and `labels`):

    * images: `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)` with C = 1 or 3, as uint8 or as floats
      in [0, 1], which are scaled to 0..255 and rounded. Where both four-dimensional readings
      fit, as with `(N, 3, 3, 3)`, the last axis holds the channels.
    * labels: `(N,)` or `(N, 1)`, any integers. Their sorted distinct values become 0..K-1.
    * `class_names`: optional strings, indexed by the label as stored in the file.

    Pickled content is never loaded.

    Args:
        path: The file. The name of the data is the file name without its folder.

    Raises:
        DataError: The file is missing or unreadable, or its arrays do not fit the above.
    """
    path = Path(path)
    found, arrays = _read(path)
    images_name, labels_name = _find_pair(path, found)
    images = _to_pixels(path, images_name, arrays[images_name])
    labels = _to_integers(path, labels_name, arrays[labels_name])
    if len(images) != len(labels):
        raise DataError(
            f"{path}: {images_name!r} holds {len(images)} images but {labels_name!r} holds "
            f"{len(labels)} labels. Store one label per image."
        )
    values, indices = np.unique(labels, return_inverse=True)
    if len(values) < MIN_CLASSES:
        raise DataError(
            f"{path}: every label in {labels_name!r} is {values[0]}. "
            "Store images of at least two classes."
        )
    return ImageData(
        name=path.name,
        images=images,
        labels=indices.astype(np.int64),
        class_names=_names_of(path, values.tolist(), arrays.get(_CLASS_NAMES)),
    )


def _read(path: Path) -> tuple[list[str], dict[str, AnyArray]]:
    """Return the names of all arrays in the file, and those arrays that matter here."""
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise DataError(f"{path}: {found}. Give the path of an .npz file.")
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: not an .npz file, which is a zip archive of arrays. "
            "Write one with numpy.savez_compressed(path, x_train=..., y_train=...)."
        )
    try:
        with path.open("rb") as stream:
            return _read_members(stream)
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read: {str(error).rstrip('.')}. Arrays must be plain numbers or "
            "strings, complete and not pickled. Write the file again with numpy.savez_compressed."
        ) from error


def _read_members(stream: BinaryIO) -> tuple[list[str], dict[str, AnyArray]]:
    with np.load(stream, allow_pickle=False) as archive:
        arrays = {name: np.asarray(archive[name]) for name in _READ if name in archive.files}
        return sorted(archive.files), arrays


def _find_pair(path: Path, found: list[str]) -> tuple[str, str]:
    for pair in _PAIRS:
        if set(pair) <= set(found):
            return pair
    wanted = " or ".join(" and ".join(map(repr, pair)) for pair in _PAIRS)
    listing = ", ".join(map(repr, found)) or "none"
    raise DataError(
        f"{path}: the arrays {wanted} are needed. Arrays found: {listing}. Rename or add them."
    )


def _to_pixels(path: Path, name: str, images: AnyArray) -> NDArray[np.uint8]:
    """Return `(N, C, H, W)` uint8 images."""
    if images.size == 0:
        raise DataError(
            f"{path}: {name!r} is empty, of shape {images.shape}. Store at least two images."
        )
    ordered = _channels_first(path, name, images)
    if ordered.dtype == np.uint8:
        return np.ascontiguousarray(ordered)
    if not np.issubdtype(ordered.dtype, np.floating):
        raise DataError(
            f"{path}: {name!r} has dtype {images.dtype}. {_ALLOWED_IMAGES} "
            f"Convert pixels 0..255 with {name}.astype(numpy.uint8)."
        )
    return _from_floats(path, name, ordered)


def _channels_first(path: Path, name: str, images: AnyArray) -> AnyArray:
    """Return a `(N, C, H, W)` view."""
    if images.ndim == 3:
        return images[:, np.newaxis]
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in _CHANNELS:
        return images
    raise DataError(
        f"{path}: {name!r} has shape {images.shape}. {_ALLOWED_IMAGES} Reshape the array."
    )


def _from_floats(path: Path, name: str, images: AnyArray) -> NDArray[np.uint8]:
    low, high = images.min(), images.max()
    if np.isnan(low) or np.isnan(high):
        raise DataError(
            f"{path}: {name!r} contains NaN in {np.isnan(images).any(axis=(1, 2, 3)).sum()} of "
            f"{len(images)} images. {_ALLOWED_IMAGES} Repair or leave out these images."
        )
    if low < 0 or high > 1:
        raise DataError(
            f"{path}: {name!r} holds floats from {low:g} to {high:g}. {_ALLOWED_IMAGES} "
            "Undo any normalisation, and store pixels 0..255 as uint8."
        )
    scaled = np.multiply(images, 255, dtype=np.float32, casting="same_kind")
    return np.ascontiguousarray(np.rint(scaled, out=scaled).astype(np.uint8))


def _to_integers(path: Path, name: str, labels: AnyArray) -> AnyArray:
    """Return `(N,)` integer labels."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{path}: {name!r} has dtype {labels.dtype}. Labels must be integers; "
            f"store one number per class, and the names in {_CLASS_NAMES!r}."
        )
    if labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1):
        return labels.reshape(-1)
    raise DataError(
        f"{path}: {name!r} has shape {labels.shape}. Labels must have shape (N,) or (N, 1); "
        "turn one-hot rows into integers with .argmax(axis=1)."
    )


def _names_of(path: Path, labels: list[int], names: AnyArray | None) -> tuple[str, ...]:
    """Return one name for each distinct label."""
    if names is None:
        return tuple(map(str, labels))
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(
            f"{path}: {_CLASS_NAMES!r} has dtype {names.dtype} and shape {names.shape}. "
            "It must be a list of strings, one per label; store numpy.array([...], dtype=str)."
        )
    if labels[0] < 0 or labels[-1] >= len(names):
        raise DataError(
            f"{path}: labels run from {labels[0]} to {labels[-1]}, but {_CLASS_NAMES!r} names "
            f"labels 0 to {len(names) - 1}. Add names, or leave {_CLASS_NAMES!r} out."
        )
    return tuple(str(names[label]) for label in labels)
