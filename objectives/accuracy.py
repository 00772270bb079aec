"""`accuracy`: the full network, really trained, on images that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from motemo.data.dataset import ImageData, require_images
from motemo.errors import SettingsError
from motemo.finalist import EpochResult
from motemo.objective import (
    EPOCH_LOSSES,
    Direction,
    Measurement,
    Outcome,
    Skipped,
    Stage,
    Watch,
    Watchable,
    evaluate_each,
)
from motemo.objectives.full_training import FullTraining
from motemo.objectives.full_training_images import Split, TrainingImages, split
from motemo.objectives.full_training_recipe import FullRecipe
from motemo.objectives.torch_device import torch_device
from motemo.seeds import derive_seed
from motemo.space import Architecture, Json

_Z = 1.959964  # 95 %


@dataclass(frozen=True, kw_only=True)
class Accuracy(Watchable):
    """Share of held-out images that the trained full network names right. Higher is better.

    The network is built for the images that it is trained on. A part of each class is held out,
    the same for all networks; the accuracy is that after the last epoch, with its 95 % interval
    over the held-out images (Wilson). On one machine it repeats exactly. A training that diverges
    is not tried again.

    Reference: Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*,
    Journal of the American Statistical Association 1927.

    Attributes:
        data: The images. Those held out are of these; test images stay untouched.
        recipe: How to train.
        val_share: Share of each class that is held out; at least one image, and not all.
        seed: Seed of the split, of the order of the images and of crops; with each architecture's
            key, of its weights.
        train_device: torch device to train on, such as `cpu` or `cuda`.
    """

    name: str = field(default="accuracy", init=False)
    data: ImageData
    recipe: FullRecipe = field(default_factory=FullRecipe)
    val_share: float = 0.1
    seed: int = 0
    train_device: str = "cpu"
    unit: str = field(default="", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(default=Stage.TRAIN, init=False)

    def __post_init__(self) -> None:
        require_images(self.data, self.name)
        if not 0 < self.val_share < 1:
            raise SettingsError(
                f"accuracy needs a val_share above 0 and below 1; got {self.val_share}. 0.1 holds "
                "a tenth of the images out."
            )
        torch_device(self.train_device)
        self.split  # noqa: B018  (so that too few images are found now)

    @property
    def split(self) -> Split:
        """Which images train and which are held out."""
        return split(self.data, self.val_share, self.seed)

    @cached_property
    def images(self) -> TrainingImages:
        """The images, on the device."""
        device = torch_device(self.train_device)
        return TrainingImages.of(self.data, self.split, self.recipe, device=device)

    def training(self, architecture: Architecture) -> FullTraining:
        """Return the training of an architecture, not begun yet."""
        network = architecture.build(
            input_shape=self.data.image_shape,
            classes=self.data.classes,
            seed=derive_seed("accuracy", self.seed, architecture.key),
        )
        order = derive_seed("accuracy", "order", self.seed)
        return FullTraining(network, self.images, self.recipe, seed=order)

    def measurement(self, curve: Sequence[EpochResult]) -> Measurement:
        """Return what a finished training measured."""
        share, count = curve[-1].val_accuracy, len(self.split.val)
        low, high = wilson(share, count)
        record = {**_record(curve), "val_images": count}
        return Measurement(value=share, unit=self.unit, low=low, high=high, record=record)

    def evaluate_watched(
        self, architectures: Sequence[Architecture], watch: Watch
    ) -> list[Outcome]:
        """Train one network after the other."""
        return evaluate_each(architectures, lambda a: self._train(a, watch))

    def identity(self) -> dict[str, Json]:
        """Everything that changes a training."""
        return {
            "data": self.data.identity(),
            "recipe": self.recipe.identity(),
            "val_share": self.val_share,
            "seed": self.seed,
            "train_device": self._kind,
            "bfloat16": self.recipe.half(self._kind),
        }

    @property
    def _kind(self) -> str:
        return self.train_device.partition(":")[0]

    def _train(self, architecture: Architecture, watch: Watch) -> Outcome:
        training = self.training(architecture)
        for _ in training.epochs():
            losses = tuple(epoch.train_loss for epoch in training.curve)
            stopped = watch(architecture, losses)
            if stopped is not None:
                return Skipped(stopped, _record(training.curve), paid=True)
        return self.measurement(training.curve)


def _record(curve: Sequence[EpochResult]) -> dict[str, Json]:
    columns: dict[str, Callable[[EpochResult], float]] = {
        EPOCH_LOSSES: lambda epoch: epoch.train_loss,
        "val_losses": lambda epoch: epoch.val_loss,
        "val_accuracies": lambda epoch: epoch.val_accuracy,
        "epoch_seconds": lambda epoch: epoch.seconds,
    }
    return {name: [read(epoch) for epoch in curve] for name, read in columns.items()}


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was found in `count` trials.

    Args:
        share: In [0, 1].
        count: At least 1.
    """
    center = share + _Z**2 / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    scale = 1 + _Z**2 / count
    low, high = (center - half) / scale, (center + half) / scale
    return max(0.0, min(low, share)), min(1.0, max(high, share))
