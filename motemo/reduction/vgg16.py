"""`Vgg16`: the encoder of the paper, through torchvision, an optional extra."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motemo.errors import DataError, DeviceError
from motemo.reduction.encoder import Encoder, Form, Progress, batches
from motemo.space import Json

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "IMAGENET1K_V1"
_SIDE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, as the weights were trained."""


@dataclass(frozen=True, kw_only=True)
class Vgg16(Encoder):
    """Class probabilities of a VGG-16 trained on ImageNet, not fine-tuned.

    Images are scaled to 224x224. The weights (528 MB) are downloaded once. An image takes 15.5
    billion multiply-adds: 50,000 of them are a matter of hours on a CPU.

    Reference: Simonyan and Zisserman, *Very Deep Convolutional Networks for Large-Scale Image
    Recognition*, ICLR 2015; as encoder: Zhang et al., *MOTE-NAS*, NeurIPS 2024.

    Attributes:
        device: torch device, such as `cpu` or `cuda`.
    """

    device: str = "cpu"

    @property
    def form(self) -> Form:
        """Softmax, as in the paper."""
        return "softmax"

    def identity(self) -> dict[str, Json]:
        """Name of network and weights, and SHA-256 of the weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return {"name": "torchvision:vgg16", "weights": WEIGHTS, "sha256": digest.hexdigest()}

    def encode(
        self, images: NDArray[np.uint8], on_progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the 1,000 logits of each image.

        Raises:
            DataError: torchvision or the weights cannot be had.
            DeviceError: There is no such device.
        """
        import torch
        from torch.nn import functional

        network = self._network
        mean, std = (
            torch.tensor(value, device=self.device).view(1, 3, 1, 1) for value in (_MEAN, _STD)
        )
        parts = []
        with torch.inference_mode():
            for pixels in batches(images, on_progress):
                batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device) / 255
                scaled = functional.interpolate(
                    batch, size=(_SIDE, _SIDE), mode="bilinear", antialias=True
                )
                parts.append(network((scaled - mean) / std).cpu().numpy())
        return np.concatenate(parts)

    @cached_property
    def _network(self) -> nn.Module:
        try:
            models = import_module("torchvision.models")
        except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
            raise DataError(
                f"The encoder torchvision:vgg16 needs torchvision, which cannot be imported here: "
                f"{error}. Run: pip install motemo[torchvision]; or give --encoder an ONNX file."
            ) from error
        try:
            network: nn.Module = models.vgg16(weights=WEIGHTS)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"The encoder torchvision:vgg16 could not get its weights: {error}. Check the "
                "network, or give --encoder an ONNX file."
            ) from error
        try:
            return network.eval().to(self.device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: torch without CUDA
            raise DeviceError(f"torch cannot use the device {self.device!r}: {error}.") from error
