"""Encoders by name."""

from __future__ import annotations

from pathlib import Path

from motemo.errors import SettingsError
from motemo.reduction.encoder import Encoder
from motemo.reduction.onnx_encoder import OnnxEncoder
from motemo.reduction.pixel_statistics import PixelStatistics
from motemo.reduction.vgg16 import Vgg16

PIXELS = "pixels"
VGG16 = "torchvision:vgg16"
DEVICES = ("cpu", "cuda")

_PICKLED = (".pt", ".pt2", ".pth", ".ts", ".torchscript", ".pkl", ".pickle")


def encoder_by_name(name: str, *, threads: int = 1, device: str = "cpu") -> Encoder:
    """Return an encoder.

    Args:
        name: `pixels`, `torchvision:vgg16`, or the path of an `.onnx` file.
        threads: Threads of an ONNX encoder.
        device: `cpu` or `cuda`, for the encoders that have weights.

    Raises:
        DataError: There is no such file.
        SettingsError: The name is none of these, or the device is unknown, or there is less
            than one thread.
    """
    if device not in DEVICES:
        raise SettingsError(f"Unknown encoder device {device!r}. Allowed: {', '.join(DEVICES)}.")
    if threads < 1:
        raise SettingsError(f"An encoder needs at least 1 thread; got {threads}.")
    if name == PIXELS:
        return PixelStatistics()
    if name == VGG16:
        return Vgg16(device=device)
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        return OnnxEncoder(path=Path(name), threads=threads, device=device)
    if suffix in _PICKLED:
        raise SettingsError(
            f"The encoder {name!r} is a saved torch model. Loading one can run any code that is "
            "in it, so motemo does not. Export it: torch.onnx.export(model, images, "
            "'encoder.onnx'), and give the .onnx file."
        )
    raise SettingsError(
        f"Unknown encoder {name!r}. Give {PIXELS}, {VGG16}, or the path of an .onnx file."
    )
