"""A training trace: what a short training of a network leaves behind.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from motemo.data.dataset import ImageData
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.seeds import derive_seed, seeded_torch
from motemo.space import Json
from motemo.threads import single_threaded

LandscapeMode: TypeAlias = Literal["evaluate", "fit"]
LossWatch: TypeAlias = Callable[[Sequence[float]], str | None]
"""From the losses of all epochs so far to the reason to stop the training, or None."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, and how to look at the loss landscape afterwards.

    Adam on the cross-entropy with label smoothing, images in [0, 1], no augmentation, a new
    seeded shuffle every epoch.

    Attributes:
        epochs: Passes over the images (E).
        batch_size: Images per step; the last step of an epoch takes what is left.
        learning_rate: Adam's.
        adam_eps: Adam's term against division by zero.
        label_smoothing: Share of the target that is spread over all classes.
        landscape_intervals: Steps (G) on the line from the initial to the trained weights; the
            loss is taken at G + 1 points.
        landscape_mode: `evaluate` takes the mean loss without training, with batch statistics;
            `fit` trains one epoch from each point and takes its running loss, as the reference
            implementation does.
        landscape_images: At most so many images, a seeded choice, at each point in `evaluate`
            mode; None for all.
    """

    epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 5e-3
    adam_eps: float = 1e-7
    label_smoothing: float = 0.01
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
        if self.landscape_images is not None and self.landscape_images < 1:
            raise SettingsError(
                "The training recipe needs landscape_images of at least 1, or null (None) for all; "
                f"got {self.landscape_images}."
            )
        if self.landscape_mode not in ("evaluate", "fit"):
            raise SettingsError(
                f"Unknown landscape_mode {self.landscape_mode!r}. Allowed: 'evaluate', 'fit'."
            )

    def identity(self) -> dict[str, Json]:
        """All fields."""
        return asdict(self)


REFERENCE_RECIPE = Recipe(
    epochs=50,
    batch_size=1024,
    learning_rate=1e-3,
    landscape_mode="fit",
    landscape_images=None,
)
"""The recipe of the authors' reference implementation."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one training left behind.

    Attributes:
        epoch_losses: `(E,)` mean training loss of each epoch (CE_e); fewer if stopped.
        landscape_losses: `(G + 1,)` mean loss at the points from initial to trained weights; none
            if stopped.
        epoch_seconds: `(E,)` wall-clock seconds of each epoch; fewer if stopped.
        stopped: Why the training was stopped, or None.
    """

    epoch_losses: tuple[float, ...]
    landscape_losses: tuple[float, ...]
    epoch_seconds: tuple[float, ...]
    stopped: str | None = None

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of all epochs."""
        return sum(self.epoch_seconds)


def go_on(_losses: Sequence[float]) -> None:
    """Stop no training."""


def record_trace(
    network: nn.Module,
    data: ImageData,
    *,
    recipe: Recipe,
    seed: int,
    train_device: str = "cpu",
    watch: LossWatch = go_on,
) -> Trace:
    """Train a network and record its trace. The network is left trained.

    Args:
        network: Maps images `(N, C, H, W)` to logits `(N, K)`.
        data: Training images.
        recipe: How to train.
        seed: Seed of the order of the images; the same seed gives the same trace on one machine.
        train_device: torch device, such as `cpu` or `cuda`.
        watch: Judges the training after every epoch, and its time is not counted; a training that
            it does not stop leaves the same trace as one that nobody watches.

    Raises:
        DeviceError: The device is not available.
        EvaluationError: A loss is not finite.
    """
    device = torch_device(train_device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.from_numpy(data.images).to(device).float().div_(255)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(data.labels).to(device)
    cudnn = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with seeded_torch(derive_seed("training", seed), train_device), single_threaded(), cudnn:
        return _Trainer(network, images, labels, data.classes, recipe, seed).trace(watch)


def torch_device(name: str) -> torch.device:
    """Return the torch device of that name.

    Raises:
        DeviceError: torch does not know it, or it is not available here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        cuda = "cuda is available" if torch.cuda.is_available() else "cuda is not available"
        raise DeviceError(
            f"Cannot train on device {name!r}. Here, {cuda}; 'cpu' always is. "
            f"torch says: {str(error).splitlines()[0]}"
        ) from error
    return device


@dataclass
class _Trainer:
    network: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    classes: int
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=self.recipe.learning_rate, eps=self.recipe.adam_eps
        )

    def trace(self, watch: LossWatch) -> Trace:
        self.network.train()
        initial = self._weights()
        losses: list[float] = []
        seconds: list[float] = []
        stopped: str | None = None
        while stopped is None and len(losses) < self.recipe.epochs:
            start = time.perf_counter()
            losses.append(self._fit(f"epoch {len(losses)}"))
            seconds.append(time.perf_counter() - start)
            stopped = watch(tuple(losses))
        landscape = self._landscape(initial, self._weights()) if stopped is None else ()
        return Trace(
            epoch_losses=tuple(losses),
            landscape_losses=tuple(landscape),
            epoch_seconds=tuple(seconds),
            stopped=stopped,
        )

    def _weights(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def _landscape(
        self, initial: list[torch.Tensor], trained: list[torch.Tensor]
    ) -> Iterator[float]:
        look: Callable[[str], float] = (
            self._fit if self.recipe.landscape_mode == "fit" else self._evaluate
        )
        intervals = self.recipe.landscape_intervals
        for g in range(intervals + 1):
            with torch.no_grad():
                for parameter, start, end in zip(self.parameters, initial, trained, strict=True):
                    parameter.copy_(torch.lerp(start, end, g / intervals))
            yield look(f"point {g}")

    def _fit(self, name: str) -> float:
        """Train one epoch and return its running loss."""
        total = torch.zeros((), device=self.images.device)
        for batch in self._batches(name, len(self.labels)):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.detach() * len(batch)
        return self._finite(total.item() / len(self.labels), name)

    @torch.no_grad()
    def _evaluate(self, name: str) -> float:
        """Return the mean loss with batch statistics; the images are the same at every point.

        Everything but batch normalisation is in evaluation mode: no dropout.
        """
        for module in self.network.modules():
            module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)
        n = min(self.recipe.landscape_images or len(self.labels), len(self.labels))
        total = torch.zeros((), device=self.images.device)
        for batch in self._batches("landscape", n):
            total += self._loss(batch) * len(batch)
        return self._finite(total.item() / n, name)

    def _batches(self, name: str, n: int) -> tuple[torch.Tensor, ...]:
        """Return shuffled batches of n images; always shuffled, lest labels bias statistics.

        A single image left over joins the batch before: it has no batch statistics.
        """
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, name))
        order = torch.randperm(len(self.labels), generator=generator)[:n]
        batches = torch.split(order.to(self.images.device), self.recipe.batch_size)
        if len(batches) > 1 and len(batches[-1]) == 1:
            return (*batches[:-2], torch.cat(batches[-2:]))
        return batches

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        logits = self.network(self.images[batch])
        if logits.shape != (len(batch), self.classes):
            raise ValueError(
                f"the network must map {len(batch)} images to logits ({len(batch)}, "
                f"{self.classes}); it returned {tuple(logits.shape)}"
            )
        return F.cross_entropy(
            logits, self.labels[batch], label_smoothing=self.recipe.label_smoothing
        )

    @staticmethod
    def _finite(loss: float, name: str) -> float:
        if not math.isfinite(loss):
            raise EvaluationError(f"training diverged: the loss at {name} is {loss}")
        return loss
