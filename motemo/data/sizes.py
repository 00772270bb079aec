"""Image sizes: checking them, and scaling one image, grey or in colour."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motemo.errors import DataError
from motemo.space import Shape

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


def scale_pixels(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Return one image `(C, H, W)` in another shape; grey and colour become each other.

    Args:
        pixels: The image, C = 1 or 3.
        shape: The shape wanted. More channels than one become equal where the image is grey.
    """
    channels, *size = shape
    grey = len(pixels) == 1
    image = Image.fromarray(pixels[0] if grey else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    scaled = scale(image.convert("RGB" if channels == 3 else "L"), (size[0], size[1]))
    return scaled if len(scaled) == channels else np.repeat(scaled, channels, axis=0)
