"""How to train a finalist: the recipe, a value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from motemo.errors import SettingsError
from motemo.space import Json

Flip: TypeAlias = Literal["colour", "always", "never"]

_RATES = {"adamw": 3e-3, "sgd": 0.1}
_DECAYS = {"adamw": 0.05, "sgd": 5e-4}
_LEAST_STEPS, _SMALLEST_BATCH = 32, 16
_CPU_FLAGS = ("amx_bf16", "avx512_bf16")
_CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "flip": ("colour", "always", "never"),
    "precision": ("auto", "float32", "bfloat16"),
}


@dataclass(frozen=True, kw_only=True)
class FullRecipe:
    """A short recipe that brings a network near what it can do.

    The learning rate rises in a straight line, then falls to zero along a cosine. Images are
    normalised, cropped at random from a reflected border of an eighth of their size, and mirrored
    where that makes sense. Weights of convolutions and matrix products decay; constants of
    normalisations and biases do not.

    References:
        Loshchilov and Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017
        (cosine); *Decoupled Weight Decay Regularization*, ICLR 2019 (AdamW). Goyal et al.,
        *Accurate, Large Minibatch SGD*, 2017 (warm-up, no decay of norms). He et al., *Bag of
        Tricks for Image Classification with Convolutional Neural Networks*, CVPR 2019.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images a step at most; fewer, down to 16, where an epoch would have fewer than
            32 steps. An epoch leaves out what is left over, other images each time.
        optimizer: `adamw`, which suits convolutions and attention alike, or `sgd` with Nesterov's
            momentum of 0.9.
        learning_rate: Highest learning rate; None for the optimizer's: 0.003 (adamw), 0.1 (sgd).
        warmup: Share of the steps in which the learning rate rises.
        weight_decay: Of the optimizer; None for 0.05 (adamw), 5e-4 (sgd).
        label_smoothing: Share of the target that is spread over all classes.
        max_norm: Longest gradient; longer ones are shortened.
        crop: Whether to crop at random; images below 16 pixels never are, since a pixel is much of
            them.
        flip: Whether to mirror left and right: `colour` if the images have colours (grey ones are
            often digits, letters or scans, which have a left and a right), `always` or `never`.
        precision: `float32`; `bfloat16` for convolutions and matrix products (autocast); `auto`:
            bfloat16 where the processor or GPU has instructions for it.
        compiled: Whether torch.compile compiles the network: seconds to minutes for each, then
            faster steps.
    """

    epochs: int = 12
    batch_size: int = 128
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float | None = None
    warmup: float = 0.2
    weight_decay: float | None = None
    label_smoothing: float = 0.1
    max_norm: float = 5.0
    crop: bool = True
    flip: Flip = "colour"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise SettingsError(
                    f"Unknown {name} {getattr(self, name)!r}. "
                    f"Allowed: {', '.join(map(repr, allowed))}."
                )
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"The training recipe needs {name} of at least 1; got {getattr(self, name)}."
                )
        for name, value in (("learning_rate", self.peak), ("max_norm", self.max_norm)):
            if not (value > 0 and math.isfinite(value)):
                raise SettingsError(f"The training recipe needs a {name} above 0; got {value}.")
        for name, value in (("weight_decay", self.decay), ("warmup", self.warmup)):
            if not 0 <= value < 1:
                raise SettingsError(f"The training recipe needs a {name} in [0, 1); got {value}.")
        if not 0 <= self.label_smoothing < 1:
            raise SettingsError(
                f"The training recipe needs label_smoothing in [0, 1); got {self.label_smoothing}."
            )

    @property
    def peak(self) -> float:
        """Highest learning rate."""
        return _RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    @property
    def decay(self) -> float:
        """Weight decay."""
        return _DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay

    def batch(self, images: int) -> int:
        """Return the images of a step, where so many are trained on."""
        fitting = max(_SMALLEST_BATCH, images // _LEAST_STEPS)
        return min(self.batch_size, fitting, images)

    def steps(self, images: int) -> int:
        """Return the steps of one epoch over so many images."""
        return images // self.batch(images)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, 0 for the first, of all steps."""
        rising = self.warmup * steps
        if step + 1 < rising:
            return self.peak * (step + 1) / rising
        share = (step - rising) / max(1.0, steps - rising)
        return self.peak * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2

    def flips(self, coloured: bool) -> bool:
        """Return whether images are mirrored that have colours, or that have none."""
        return self.flip == "always" or (self.flip == "colour" and coloured)

    def half(self, device: str) -> bool:
        """Return whether a torch device computes in bfloat16, by the kind of the device."""
        return self.precision == "bfloat16" or (self.precision == "auto" and _pays(device))

    def identity(self) -> dict[str, Json]:
        """All fields."""
        return asdict(self)


@cache
def _pays(device: str) -> bool:
    """Return whether a kind of device has instructions for bfloat16, which elsewhere is slow."""
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    if device != "cpu" or not cpuinfo.exists():
        return False
    flags = set(cpuinfo.read_text().split())
    return any(flag in flags for flag in _CPU_FLAGS)
