"""Images of one size from images of another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motemo.data.sizes import Size, scale


def resize_images(images: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return images `(N, C, H, W)` scaled to a height and width, as the data of a search are."""
    if images.shape[2:] == size:
        return images
    return np.stack([scale(Image.fromarray(_for_pil(image)), size) for image in images])


def _for_pil(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """Return one image `(C, H, W)` as `(H, W)` or `(H, W, 3)`."""
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
