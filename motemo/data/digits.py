"""scikit-learn's handwritten digits: small, offline, and enough for a first search."""

from __future__ import annotations

import numpy as np

from motemo.data.dataset import ImageData

_BRIGHTEST = 16
"""Value of a white pixel in scikit-learn's arrays."""


def load_digits() -> ImageData:
    """Return 1,797 grey images of 8x8 pixels in ten classes, "0" to "9".

    The data ship with scikit-learn; nothing is downloaded. Values 0..16 become 0..255.

    Reference: Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine
    Learning Repository, 1998, https://doi.org/10.24432/C50P49 (its test set).
    """
    from sklearn.datasets import load_digits as load

    bunch = load()
    images = np.rint(bunch.images * (255 / _BRIGHTEST)).astype(np.uint8)
    return ImageData(
        name="digits",
        images=images[:, np.newaxis],
        labels=bunch.target.astype(np.int64),
        class_names=tuple(str(name) for name in bunch.target_names),
    )
