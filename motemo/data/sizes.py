"""Image sizes: checking them, and scaling one image."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motemo.errors import DataError

Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""


def check_size(size: Size) -> None:
    """Check that both sides are at least one pixel.

    Raises:
        DataError: A side is zero or negative.
    """
    if min(size) < 1:
        raise DataError(
            f"Image size {format_size(size)} is impossible. "
            "Give height and width in pixels, each at least 1, for example 32x32."
        )


def format_size(size: Size) -> str:
    """Return a size as `HxW`."""
    height, width = size
    return f"{height}x{width}"


def scale(image: Image.Image, size: Size) -> NDArray[np.uint8]:
    """Return the image scaled to `size`, bilinear, with antialiasing when it shrinks.

    Args:
        image: In mode `L` or `RGB`.
        size: Height and width in pixels.

    Returns:
        `(C, H, W)` contiguous, C = 1 or 3.
    """
    height, width = size
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.reshape(height, width, -1).transpose(2, 0, 1))
