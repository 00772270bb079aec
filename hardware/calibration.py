"""Images for reduced precision: to fix its scales by, and to see what it changes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motemo.onnx.session import example_images
from motemo.space import Shape

if TYPE_CHECKING:
    from torch import nn

    from motemo.data.dataset import ImageData

COUNT = 32
"""How many images, or one batch of the device if that is more."""


def calibration_images(
    data: ImageData | None, input_shape: Shape, *, batch: int = 1
) -> NDArray[np.float32]:
    """Return images in [0, 1], float32 `(N, C, H, W)`, N the next multiple of the batch size.

    They are spread evenly over the data, from first to last, and scaled to the input shape; grey
    and colour become each other. Without data they are random.
    """
    count = batch * -(-COUNT // batch)
    if data is None:
        return example_images(input_shape, batch=count)
    from motemo.data.sizes import scale_pixels

    chosen = np.linspace(0, len(data) - 1, count).round().astype(int)
    pixels = np.stack([scale_pixels(data.images[index], input_shape) for index in chosen])
    return pixels.astype(np.float32) / np.float32(255)


def settled(network: nn.Module, images: NDArray[np.float32]) -> nn.Module:
    """Return a copy whose batch normalisation has the statistics of some images.

    Untrained networks come without statistics: their activations then grow or vanish from layer
    to layer, and no precision but float32 can hold them. Latency does not depend on it. A network
    that was trained keeps its own.
    """
    import torch
    from torch import nn

    from motemo.threads import single_threaded

    network = copy.deepcopy(network).eval()
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    fresh = [layer for layer in layers if layer.num_batches_tracked == 0]
    if not fresh:
        return network
    for layer in fresh:
        layer.train()
        layer.momentum = None  # their plain average
    with torch.no_grad(), single_threaded():
        network(torch.from_numpy(images))
    return network.eval()
