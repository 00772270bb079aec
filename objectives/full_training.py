"""One full training, epoch by epoch, that can be put aside after each and taken up again.

Everything that an epoch draws at random follows from the seed and its number, so the state after
an epoch is weights, the optimizer's moments and the curve; nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from motemo.errors import EvaluationError
from motemo.finalist import EpochResult
from motemo.objectives.fast_modules import accelerate, keep_channels_last
from motemo.objectives.full_training_images import TrainingImages
from motemo.objectives.full_training_recipe import FullRecipe
from motemo.objectives.torch_device import deterministic
from motemo.seeds import derive_seed, seeded_torch

OnStep: TypeAlias = Callable[[int, int], None]
"""Called after each step with how many are done, and how many there will be in all."""

_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.Embedding,
)


def go_on(_done: int, _steps: int) -> None:
    """Say nothing."""


class FullTraining:
    """A network on its way through a recipe.

    Attributes:
        network: It is moved to the device of the images, and left trained.
        images: What it is trained and validated on.
        recipe: How.
        seed: Seed of the order of the images, of crops and mirrorings, and of dropout.
        curve: The epochs so far.
    """

    def __init__(
        self, network: nn.Module, images: TrainingImages, recipe: FullRecipe, *, seed: int
    ) -> None:
        self.device = images.train.device
        if self.device.type == "cpu":
            accelerate(network)
        if not recipe.compiled:
            keep_channels_last(network)
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.images, self.recipe, self.seed = network, images, recipe, seed
        self.forward: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(network) if recipe.compiled else network
        )
        self.optimizer = _optimizer(network, recipe, self.device)
        self.curve: list[EpochResult] = []

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.recipe.epochs * self.recipe.steps(len(self.images.train))

    def epochs(self, on_step: OnStep = go_on) -> Iterator[EpochResult]:
        """Train the epochs that are left, and yield each.

        Raises:
            EvaluationError: A loss is not finite.
        """
        while len(self.curve) < self.recipe.epochs:
            yield self._epoch(on_step)

    def state(self) -> dict[str, Any]:
        """Return all that `resume` needs: tensors, numbers and texts."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": [asdict(epoch) for epoch in self.curve],
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve[:] = [EpochResult(**epoch) for epoch in state["curve"]]

    def _epoch(self, on_step: OnStep) -> EpochResult:
        start, number = time.perf_counter(), len(self.curve)
        seed = derive_seed("epoch", self.seed, number)
        with seeded_torch(seed, str(self.device)), deterministic():
            train_loss = self._fit(number, seed, on_step)
            val_loss, correct = self._validate()
        result = EpochResult(
            epoch=number + 1,
            train_loss=train_loss,
            val_loss=val_loss,
            val_accuracy=correct / len(self.images.val),
            seconds=time.perf_counter() - start,
        )
        for what, loss in (("training", train_loss), ("validation", val_loss)):
            if not math.isfinite(loss):
                raise EvaluationError(
                    f"training diverged: the {what} loss of epoch {number + 1} is {loss}"
                )
        self.curve.append(result)
        return result

    def _fit(self, number: int, seed: int, on_step: OnStep) -> float:
        """Train one epoch and return its mean loss."""
        self.network.train()
        steps = self.recipe.steps(len(self.images.train))
        total = torch.zeros((), device=self.device)
        for place, (inputs, labels) in enumerate(self.images.batches(self.recipe, seed=seed)):
            done = number * steps + place
            self._set_rate(self.recipe.rate(done, self.steps))
            self.optimizer.zero_grad(set_to_none=True)
            logits = self._logits(self.forward, inputs)
            loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.max_norm)
            self.optimizer.step()
            total += loss.detach()
            on_step(done + 1, self.steps)
        return total.item() / steps

    @torch.no_grad()
    def _validate(self) -> tuple[float, int]:
        """Return the mean loss on the validation images, and how many are named right."""
        self.network.eval()
        total = torch.zeros((), device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for inputs, labels in self.images.val_batches():
            logits = self._logits(self.network, inputs)
            total += F.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(dim=1) == labels).sum()
        return total.item() / len(self.images.val), int(correct.item())

    def _logits(
        self, forward: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor
    ) -> torch.Tensor:
        half = self.recipe.half(self.device.type)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            logits = forward(inputs)
        return logits.float()

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def _optimizer(
    network: nn.Module, recipe: FullRecipe, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimizer; what belongs to a normalisation, and biases, do not decay."""
    free = {p for m in network.modules() if isinstance(m, _NORMS) for p in m.parameters()}
    trained = [p for p in network.parameters() if p.requires_grad]
    decaying = [p for p in trained if p.ndim > 1 and p not in free]
    others = [p for p in trained if p.ndim <= 1 or p in free]
    groups = [
        {"params": decaying, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = True if device.type == "cuda" else None
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.peak, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=recipe.peak, fused=fused)
