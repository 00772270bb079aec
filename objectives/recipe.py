"""How to train a network for a trace: the recipe, a value.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024, for the published recipe.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from motemo.errors import SettingsError
from motemo.space import Json

LandscapeMode: TypeAlias = Literal["evaluate", "fit"]

_CHOICES = {
    "optimizer": ("adam", "sgd"),
    "schedule": ("constant", "cosine"),
    "precision": ("float32", "bfloat16"),
    "landscape_mode": ("evaluate", "fit"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, and how to look at the loss landscape afterwards.

    Images are in [0, 1], not augmented, and shuffled anew, by a seed, in every epoch.

    Attributes:
        epochs: Passes over the images (E).
        images: Train on at most so many of them, a seeded choice; None for all.
        batch_size: Images per step; the last step of an epoch takes what is left.
        optimizer: `adam`, or `sgd` with Nesterov's momentum of 0.9.
        learning_rate: Of the optimizer.
        schedule: `constant`, or `cosine`: the learning rate falls to zero over all epochs.
        adam_eps: Adam's term against division by zero.
        label_smoothing: Share of the target that is spread over all classes; for images with
            labels, whose loss is the cross-entropy.
        precision: `float32`, or `bfloat16` for convolutions and matrix products (autocast);
            weights, normalisation constants and losses stay float32.
        landscape_intervals: Steps (G) on the line from the initial to the trained weights; the
            loss is taken at G + 1 points.
        landscape_mode: `evaluate` takes the mean loss without training, with batch statistics;
            `fit` trains one epoch from each point and takes its running loss, as the reference
            implementation does.
        landscape_images: At most so many images, a seeded choice, at each point in `evaluate`
            mode; None for all.
    """

    epochs: int = 4
    images: int | None = 500
    batch_size: int = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 5e-3
    schedule: Literal["constant", "cosine"] = "constant"
    adam_eps: float = 1e-7
    label_smoothing: float = 0.01
    precision: Literal["float32", "bfloat16"] = "float32"
    landscape_intervals: int = 10
    landscape_mode: LandscapeMode = "evaluate"
    landscape_images: int | None = 256

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "landscape_intervals"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"The training recipe needs {name} of at least 1; got {getattr(self, name)}."
                )
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise SettingsError(
                f"The training recipe needs a learning_rate above 0; got {self.learning_rate}."
            )
        if not 0 <= self.label_smoothing < 1:
            raise SettingsError(
                "The training recipe needs label_smoothing of at least 0 and below 1; "
                f"got {self.label_smoothing}."
            )
        for name in ("images", "landscape_images"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise SettingsError(
                    f"The training recipe needs {name} of at least 1, or null (None) for all; "
                    f"got {getattr(self, name)}."
                )
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise SettingsError(
                    f"Unknown {name} {getattr(self, name)!r}. "
                    f"Allowed: {', '.join(map(repr, allowed))}."
                )
        if self.schedule == "cosine" and self.landscape_mode == "fit":
            raise SettingsError(
                "The landscape cannot be taken by fitting after a cosine schedule, which ends at "
                "a learning rate of zero. Choose schedule 'constant' or landscape_mode 'evaluate'."
            )

    def identity(self) -> dict[str, Json]:
        """All fields."""
        return asdict(self)


REFERENCE_RECIPE = Recipe(
    epochs=50,
    images=None,
    batch_size=1024,
    learning_rate=1e-3,
    landscape_mode="fit",
    landscape_images=None,
)
"""The recipe of the authors' reference implementation."""
