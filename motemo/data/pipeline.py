"""From a source to the data of a search: load, reduce, resize.

Every step adds what it did to the name, as in
`digits[classes=5,images_per_class=20,seed=0][16x16]`. A step that changes nothing adds nothing.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motemo.data.dataset import MIN_CLASSES, ImageData
from motemo.data.digits import load_digits
from motemo.data.folder import load_folder
from motemo.data.npz import load_npz
from motemo.data.sizes import Size, check_size, format_size, scale_pixels
from motemo.data.torchvision_sets import load_cifar10, load_cifar100
from motemo.errors import DataError
from motemo.seeds import derive_seed
from motemo.space import Shape

NAMES = ("digits", "cifar10", "cifar100")
"""Sources that have a name; the others are paths."""
DOWNLOADS = Path("~/.cache/motemo")
"""Where downloaded data go unless told otherwise."""


def load_data(
    source: str,
    *,
    image_size: Size | None = None,
    classes: int | None = None,
    images_per_class: int | None = None,
    seed: int = 0,
    root: Path | None = None,
) -> ImageData:
    """Load images, then reduce and resize them if asked to.

    Args:
        source: `digits`, `cifar10`, `cifar100`, the path of an `.npz` file, or the path of a
            folder with one sub-folder per class. A folder called like a name is `./digits`.
        image_size: Height and width in pixels; None keeps the size. Image files in a folder are
            scaled to it as they are read, once.
        classes: Number of classes to choose at random, see `take`.
        images_per_class: Number of images to choose at random of each, see `take`.
        seed: Seed of the choice.
        root: Folder for downloads, by default `~/.cache/motemo`.

    Raises:
        DataError: The source is unknown or cannot be read, or holds less than asked for.
    """
    if image_size is not None:
        check_size(image_size)
    data = _load(source, image_size=image_size, root=root or DOWNLOADS.expanduser())
    data = take(data, classes=classes, images_per_class=images_per_class, seed=seed)
    return data if image_size is None else resize(data, image_size)


def resize(data: ImageData, size: Size) -> ImageData:
    """Return the data with all images scaled, bilinear, with antialiasing when they shrink.

    Args:
        data: What to scale. It comes back as it is if it has this size already.
        size: Height and width in pixels.

    Raises:
        DataError: A side is zero or negative.
    """
    return _scaled(data, (data.image_shape[0], *size), format_size(size))


def in_shape(data: ImageData, shape: Shape) -> ImageData:
    """Return the data as images of another shape; grey and colour become each other.

    Args:
        data: What to scale. It comes back as it is if it has this shape already.
        shape: Channels, 1 or 3; height and width in pixels.

    Raises:
        DataError: A side is zero or negative, or there are other channels.
    """
    return _scaled(data, shape, "x".join(map(str, shape)))


def _scaled(data: ImageData, shape: Shape, step: str) -> ImageData:
    check_size(shape[1:])
    if data.image_shape == shape:
        return data
    return ImageData(
        name=f"{data.name}[{step}]",
        images=np.stack([scale_pixels(pixels, shape) for pixels in data.images]),
        labels=data.labels,
        class_names=data.class_names,
    )


def take(
    data: ImageData,
    *,
    classes: int | None = None,
    images_per_class: int | None = None,
    seed: int = 0,
) -> ImageData:
    """Return a plain random part of the data, in the original order of classes and images.

    Fewer classes are a subset of more with the same seed, and so are fewer images. Which images
    of a class are chosen does not depend on the other classes.

    Args:
        data: What to choose from. It comes back as it is if both numbers are None.
        classes: Number of classes, at least 2; None keeps all.
        images_per_class: Number of images of each class, at least 1; None keeps all.
        seed: Seed of the choice.

    Raises:
        DataError: There are fewer classes or images, or the numbers are too small.
    """
    if classes is None and images_per_class is None:
        return data
    kept = _choose_classes(data, classes, seed)
    chosen = [_choose_images(data, index, images_per_class, seed) for index in kept]
    order = np.sort(np.concatenate(chosen))
    asked = {"classes": classes, "images_per_class": images_per_class, "seed": seed}
    settings = ",".join(f"{key}={value}" for key, value in asked.items() if value is not None)
    return ImageData(
        name=f"{data.name}[{settings}]",
        images=data.images[order],
        labels=np.searchsorted(kept, data.labels[order]).astype(np.int64),
        class_names=tuple(data.class_names[index] for index in kept),
    )


def _load(source: str, *, image_size: Size | None, root: Path) -> ImageData:
    path = Path(source)
    match source:
        case "digits":
            return load_digits()
        case "cifar10":
            return load_cifar10(root)
        case "cifar100":
            return load_cifar100(root)
    if path.suffix.lower() == ".npz" and not path.is_dir():
        return load_npz(path)
    if source and path.is_dir():
        return load_folder(path, size=image_size)
    raise _unknown_source(source, path)


def _unknown_source(source: str, path: Path) -> DataError:
    found = " is a file, but not an .npz file." if path.is_file() else " is unknown."
    similar = () if path.is_file() else (*NAMES, *_neighbours(path))
    close = difflib.get_close_matches(source.lower(), similar, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return DataError(
        f"Data source {source!r}{found}{hint} Give one of {', '.join(NAMES)}, the path of an .npz "
        "file, or the path of an existing folder with one sub-folder per class."
    )


def _neighbours(path: Path) -> list[str]:
    """Return the paths beside a missing one that could be sources."""
    try:
        entries = sorted(path.parent.iterdir())
    except OSError:
        return []
    return [str(entry) for entry in entries if entry.suffix == ".npz" or entry.is_dir()]


def _choose_classes(data: ImageData, classes: int | None, seed: int) -> list[int]:
    """Return the indices of the classes to keep, ascending."""
    if classes is None:
        return list(range(data.classes))
    if not MIN_CLASSES <= classes <= data.classes:
        raise DataError(
            f"{data.name}: {classes} classes asked for; it has {data.classes}. "
            f"Ask for {MIN_CLASSES} to {data.classes}."
        )
    return _draw(data.classes, classes, "classes", seed)


def _choose_images(
    data: ImageData, index: int, images_per_class: int | None, seed: int
) -> NDArray[np.int64]:
    """Return the positions of the images to keep of one class, ascending."""
    positions = np.flatnonzero(data.labels == index)
    if images_per_class is None:
        return positions
    if not 1 <= images_per_class <= len(positions):
        raise DataError(
            f"{data.name}: {images_per_class} images per class asked for; class "
            f"{data.class_names[index]!r} has {len(positions)}. Ask for 1 to {len(positions)}."
        )
    return positions[_draw(len(positions), images_per_class, "images", seed, index)]


def _draw(count: int, wanted: int, *parts: str | int) -> list[int]:
    """Return `wanted` of the numbers below `count` at random, ascending.

    They are ranked by seeds derived from `parts`, so the draw is the same with every version of
    numpy, and smaller draws are subsets of larger ones.
    """
    ranked = sorted(range(count), key=lambda number: derive_seed("take", *parts, number))
    return sorted(ranked[:wanted])
