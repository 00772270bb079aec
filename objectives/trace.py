"""A training trace: what a short training of a network leaves behind.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from motemo.data.dataset import ImageData
from motemo.data.examples import Examples, image_examples
from motemo.errors import EvaluationError
from motemo.objectives.fast_modules import accelerate, keep_channels_last
from motemo.objectives.recipe import Recipe
from motemo.objectives.torch_device import deterministic, torch_device
from motemo.seeds import derive_seed, seeded_torch

LossWatch: TypeAlias = Callable[[Sequence[float]], str | None]
"""From the losses of all epochs so far to the reason to stop the training, or None."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one training left behind.

    Attributes:
        epoch_losses: `(E,)` mean training loss of each epoch (CE_e); fewer if stopped.
        landscape_losses: `(G + 1,)` mean loss at the points from initial to trained weights; none
            if stopped.
        epoch_seconds: `(E,)` wall-clock seconds of each epoch; fewer if stopped.
        held_out_accuracy: Share of the held-out examples that the trained network names right, in
            [0, 1]; None if none were held out, or if stopped.
        stopped: Why the training was stopped, or None.
    """

    epoch_losses: tuple[float, ...]
    landscape_losses: tuple[float, ...]
    epoch_seconds: tuple[float, ...]
    held_out_accuracy: float | None = None
    stopped: str | None = None

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of all epochs."""
        return sum(self.epoch_seconds)


def go_on(_losses: Sequence[float]) -> None:
    """Stop no training."""


def examples_of(data: ImageData | Examples, recipe: Recipe) -> Examples:
    """Return the examples that a recipe trains on."""
    if isinstance(data, ImageData):
        return image_examples(data, recipe.label_smoothing)
    return data


def record_trace(
    network: nn.Module,
    data: ImageData | Examples,
    *,
    recipe: Recipe,
    seed: int,
    train_device: str = "cpu",
    watch: LossWatch = go_on,
    held_out: float = 0.0,
) -> Trace:
    """Train a network and record its trace. The network is left trained.

    Args:
        network: Maps inputs `(N, ...)`, such as images `(N, C, H, W)`, to what the loss of the
            examples takes: logits `(N, K)` for labelled images.
        data: Images with labels, or any examples with a loss of their own.
        recipe: How to train.
        seed: Seed of the order of the examples; the same seed gives the same trace on one machine.
        train_device: torch device, such as `cpu` or `cuda`.
        watch: Judges the training after every epoch, and its time is not counted; a training that
            it does not stop leaves the same trace as one that nobody watches.
        held_out: Share of the examples, a seeded choice, that is kept from training, to take the
            accuracy on; only where targets are class labels.

    Raises:
        DeviceError: The device is not available.
        EvaluationError: A loss is not finite.
    """
    device = torch_device(train_device)
    keep_channels_last(accelerate(network))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    examples, kept_out = _split(examples_of(data, recipe), held_out, seed)
    trainer = _Trainer(network, examples, kept_out, device, recipe, seed)
    with seeded_torch(derive_seed("training", seed), train_device), deterministic():
        return trainer.trace(watch)


def _split(examples: Examples, held_out: float, seed: int) -> tuple[Examples, Examples | None]:
    if not held_out:
        return examples, None
    generator = torch.Generator().manual_seed(derive_seed("held out", seed))
    order = torch.randperm(len(examples), generator=generator)
    n = round(held_out * len(examples))
    return examples.take(order[n:]), examples.take(order[:n])


@dataclass
class _Trainer:
    network: nn.Module
    examples: Examples
    held_out: Examples | None
    device: torch.device
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        self.inputs = self.examples.inputs.to(self.device)
        self.targets = self.examples.targets.to(self.device)
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = _optimizer(self.parameters, self.recipe)
        self.steps = 0

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
        accuracy = self._accuracy() if stopped is None else None
        landscape = self._landscape(initial, self._weights()) if stopped is None else ()
        return Trace(
            epoch_losses=tuple(losses),
            landscape_losses=tuple(landscape),
            epoch_seconds=tuple(seconds),
            held_out_accuracy=accuracy,
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
        total = torch.zeros((), device=self.device)
        batches = self._batches(name, len(self.examples))
        for batch in batches:
            self._set_learning_rate(len(batches))
            self.optimizer.zero_grad(set_to_none=True)
            loss = self._loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.detach() * len(batch)
        return self._finite(total.item() / len(self.examples), name)

    def _set_learning_rate(self, steps_an_epoch: int) -> None:
        if self.recipe.schedule == "cosine":
            share = min(1.0, self.steps / (steps_an_epoch * self.recipe.epochs))
            factor = (1 + math.cos(math.pi * share)) / 2
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * factor
        self.steps += 1

    @torch.no_grad()
    def _evaluate(self, name: str) -> float:
        """Return the mean loss with batch statistics; the examples are the same at every point."""
        self._only_normalise()
        n = min(self.recipe.landscape_images or len(self.examples), len(self.examples))
        total = torch.zeros((), device=self.device)
        for batch in self._batches("landscape", n):
            total += self._loss(batch) * len(batch)
        return self._finite(total.item() / n, name)

    @torch.no_grad()
    def _accuracy(self) -> float | None:
        """Return the share of held-out examples that are named right, with batch statistics."""
        if self.held_out is None:
            return None
        was_training = [(module, module.training) for module in self.network.modules()]
        self._only_normalise()
        right = 0
        parts = math.ceil(len(self.held_out) / self.recipe.batch_size)
        for inputs, targets in zip(
            self.held_out.inputs.tensor_split(parts),
            self.held_out.targets.tensor_split(parts),
            strict=True,
        ):
            named = self._outputs(inputs.to(self.device)).argmax(dim=1)
            right += int((named == targets.to(self.device)).sum())
        for module, training in was_training:
            module.training = training
        return right / len(self.held_out)

    def _only_normalise(self) -> None:
        """Put everything but batch normalisation in evaluation mode: no dropout."""
        for module in self.network.modules():
            module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)

    def _batches(self, name: str, n: int) -> tuple[torch.Tensor, ...]:
        """Return shuffled batches of n examples; always shuffled, lest labels bias statistics.

        A single example left over joins the batch before: it has no batch statistics.
        """
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, name))
        order = torch.randperm(len(self.examples), generator=generator)[:n]
        batches = torch.split(order.to(self.device), self.recipe.batch_size)
        if len(batches) > 1 and len(batches[-1]) == 1:
            return (*batches[:-2], torch.cat(batches[-2:]))
        return batches

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        return self.examples.loss(self._outputs(self.inputs[batch]), self.targets[batch])

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            outputs: torch.Tensor = self.network(inputs)
        return outputs.float() if half else outputs

    @staticmethod
    def _finite(loss: float, name: str) -> float:
        if not math.isfinite(loss):
            raise EvaluationError(f"training diverged: the loss at {name} is {loss}")
        return loss


def _optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.Adam(parameters, lr=recipe.learning_rate, eps=recipe.adam_eps)
