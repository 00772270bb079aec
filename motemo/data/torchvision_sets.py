"""CIFAR-10 and CIFAR-100 through torchvision, an optional extra."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from motemo.data.dataset import ImageData
from motemo.errors import DataError


class Cifar(Protocol):
    """What is used of a CIFAR data set of torchvision."""

    data: NDArray[np.uint8]
    targets: Sequence[int]
    classes: Sequence[str]


class CifarClass(Protocol):
    """The classes `CIFAR10` and `CIFAR100` of torchvision."""

    def __call__(self, root: str, *, train: bool, download: bool) -> Cifar:
        """Open the data, and download them if they are not in `root` yet."""


def load_cifar10(root: str | Path) -> ImageData:
    """Return the 50,000 training images of CIFAR-10, RGB, 32x32 pixels, 10 classes.

    Reference: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009,
    https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf.

    Args:
        root: Folder of torchvision's files. They are downloaded if they are not there yet.

    Raises:
        DataError: torchvision is missing, or the data cannot be read or downloaded.
    """
    return _load("cifar10", _datasets("cifar10").CIFAR10, root)


def load_cifar100(root: str | Path) -> ImageData:
    """Return the 50,000 training images of CIFAR-100, RGB, 32x32 pixels, 100 fine classes.

    Reference: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009,
    https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf.

    Args:
        root: Folder of torchvision's files. They are downloaded if they are not there yet.

    Raises:
        DataError: torchvision is missing, or the data cannot be read or downloaded.
    """
    return _load("cifar100", _datasets("cifar100").CIFAR100, root)


def convert(name: str, cifar: Cifar) -> ImageData:
    """Return the data of torchvision as `ImageData`.

    Args:
        name: Name of the result.
        cifar: `data` is `(N, H, W, 3)` uint8, `targets` holds N class indices.
    """
    return ImageData(
        name=name,
        images=np.ascontiguousarray(cifar.data.transpose(0, 3, 1, 2)),
        labels=np.asarray(cifar.targets, dtype=np.int64),
        class_names=tuple(cifar.classes),
    )


def _datasets(name: str) -> ModuleType:
    try:
        return import_module("torchvision.datasets")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise DataError(
            f"{name} needs torchvision, which cannot be imported here: {error}. "
            "Run: pip install motemo[torchvision]"
        ) from error


def _load(name: str, cifar_class: CifarClass, root: str | Path) -> ImageData:
    try:
        cifar = cifar_class(str(root), train=True, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name}: torchvision could not read or download the data in {root}: {error}. "
            "Check the folder and the network, or put the files there by hand."
        ) from error
    return convert(name, cifar)
