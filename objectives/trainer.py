"""One network on its way through a short training, a step at a time.

A `Trainer` gives way after each step, so that many networks can be trained in turns.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import nn

from motemo.data.examples import Examples
from motemo.errors import EvaluationError
from motemo.objectives.cuda_graph import CannotRecordError, Recorder, Replayed, Step
from motemo.objectives.fast_modules import accelerate, keep_channels_last
from motemo.objectives.recipe import Recipe
from motemo.seeds import derive_seed

_logger = logging.getLogger(__name__)

LossWatch: TypeAlias = Callable[[Sequence[float]], str | None]
"""From the losses of all epochs so far to the reason to stop the training, or None."""

Turns: TypeAlias = Generator[None, None, float]
"""Gives way after each step; in the end, returns the mean loss over its examples."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one training left behind.

    Attributes:
        epoch_losses: `(E,)` mean training loss of each epoch (CE_e); fewer if stopped.
        landscape_losses: `(G + 1,)` mean loss at the points from initial to trained weights; none
            if stopped.
        epoch_seconds: `(E,)` seconds of each epoch, without the turns of others; fewer if stopped.
            On the CPU, processor time, so that busy neighbours do not count. On a GPU, the wall
            clock; where others compute at the same time, only the sum over all is exact.
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
        """Seconds of all epochs."""
        return sum(self.epoch_seconds)


def go_on(_losses: Sequence[float]) -> None:
    """Stop no training."""


@dataclass
class Trainer:
    """Trains one network and records its trace.

    Attributes:
        network: It is moved to the device, and left trained.
        examples: All examples, on the device; those held out too.
        recipe: How to train.
        seed: Seed of the order of the examples, and of the choice of those held out.
        held_out: Share of the examples that is kept from training.
    """

    network: nn.Module
    examples: Examples
    recipe: Recipe
    seed: int
    held_out: float = 0.0

    def __post_init__(self) -> None:
        self.device = self.examples.inputs.device
        if self.device.type == "cpu":
            accelerate(self.network)
        keep_channels_last(self.network)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = _optimizer(self.parameters, self.recipe, self.device)
        self.rows, self.rows_held_out = self._split()
        self.total = torch.zeros((), device=self.device)
        self.steps = 0
        self.seconds = 0.0
        self.clock = time.thread_time if self.device.type == "cpu" else time.perf_counter
        self.replayed_fit: Step | None = None
        self.replayed_look: Step | None = None
        self.network.train()

    def trace(self, watch: LossWatch = go_on) -> Generator[None, None, Trace]:
        """Train, look at the landscape and return the trace; give way after each step.

        Raises:
            EvaluationError: A loss is not finite.
        """
        initial = self._weights()
        losses: list[float] = []
        seconds: list[float] = []
        stopped: str | None = None
        while stopped is None and len(losses) < self.recipe.epochs:
            self.seconds = 0.0
            losses.append((yield from self._fit_epoch(f"epoch {len(losses)}")))
            seconds.append(self.seconds)
            stopped = watch(tuple(losses))
        trace = Trace(
            epoch_losses=tuple(losses),
            landscape_losses=(),
            epoch_seconds=tuple(seconds),
            stopped=stopped,
        )
        if stopped is not None:
            return trace
        accuracy = self._accuracy()
        landscape = yield from self._landscape(initial)
        return replace(trace, held_out_accuracy=accuracy, landscape_losses=tuple(landscape))

    def record(self, recorder: Recorder) -> None:
        """Take steps from recordings from now on, if the network's can be recorded.

        Recording takes some steps; what they changed is put back.
        """
        generators = random_generators(self.device)
        states = [generator.get_state() for generator in generators]
        kept = [*self.network.parameters(), *self.network.buffers()]
        initial = [tensor.detach().clone() for tensor in kept]
        try:
            self._record(recorder)
            if not all(map(torch.equal, states, (g.get_state() for g in generators))):
                raise CannotRecordError("the network draws random numbers, as dropout does")
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.replayed_fit = self.replayed_look = None
            _logger.info("Training without recorded steps: %s", error)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        with torch.no_grad():
            for tensor, value in zip(kept, initial, strict=True):
                tensor.copy_(value)
            for moments in self.optimizer.state.values():
                for value in moments.values():
                    if isinstance(value, torch.Tensor):  # all begin at zero, the count of steps too
                        value.zero_()
        self.optimizer.zero_grad(set_to_none=True)
        self.network.train()

    def _record(self, recorder: Recorder) -> None:
        self.replayed_fit = Replayed(self._fit, self._batches("epoch 0"), recorder)
        if self.recipe.landscape_mode == "evaluate":
            self._only_normalise()
            self.replayed_look = Replayed(self._look, self._landscape_batches(), recorder)

    def _split(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return the rows to train on, None for all, and those held out."""
        n = len(self.examples)
        held_out, most = round(self.held_out * n), self.recipe.images or n
        if most >= n and not self.held_out:
            return None, None
        generator = torch.Generator().manual_seed(derive_seed("held out", self.seed))
        order = torch.randperm(n, generator=generator)
        kept = order[:held_out].to(self.device) if self.held_out else None
        return order[held_out : held_out + most], kept

    def _weights(self) -> list[torch.Tensor]:
        return [p.detach().clone() for p in self.parameters]

    def _landscape(self, initial: list[torch.Tensor]) -> Generator[None, None, list[float]]:
        """Return the losses at `(G + 1,)` points from the initial to the trained weights."""
        trained = self._weights()
        fits = self.recipe.landscape_mode == "fit"
        batches = () if fits else self._landscape_batches()
        if not fits:
            self._only_normalise()
        look = self.replayed_look or self._look
        intervals = self.recipe.landscape_intervals
        losses = []
        for g in range(intervals + 1):
            with torch.no_grad():
                for parameter, start, end in zip(self.parameters, initial, trained, strict=True):
                    torch.lerp(start, end, g / intervals, out=parameter)
            name = f"point {g}"
            point = self._fit_epoch(name) if fits else self._turns(look, batches, name)
            losses.append((yield from point))
        return losses

    def _fit_epoch(self, name: str) -> Turns:
        """Train one epoch and return its running loss."""
        batches = self._batches(name)
        return self._turns(self._scheduled(len(batches)), batches, name)

    def _turns(self, step: Step, batches: Sequence[torch.Tensor], name: str) -> Turns:
        """Take one step after the other; the loss is read from the device in the end."""
        start = self.clock()
        self.total.zero_()
        for batch in batches:
            step(batch)
            self.seconds += self.clock() - start
            yield
            start = self.clock()
        loss = self.total.item() / sum(map(len, batches))
        self.seconds += self.clock() - start
        if not math.isfinite(loss):
            raise EvaluationError(f"training diverged: the loss at {name} is {loss}")
        return loss

    def _scheduled(self, steps_an_epoch: int) -> Step:
        """Return the training step, with the learning rate that is due."""
        fit = self.replayed_fit or self._fit
        if self.recipe.schedule == "constant":
            return fit

        def step(batch: torch.Tensor) -> None:
            share = min(1.0, self.steps / (steps_an_epoch * self.recipe.epochs))
            rate = self.recipe.learning_rate * (1 + math.cos(math.pi * share)) / 2
            for group in self.optimizer.param_groups:
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
            self.steps += 1
            fit(batch)

        return step

    def _fit(self, batch: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.total += loss.detach() * len(batch)

    @torch.no_grad()
    def _look(self, batch: torch.Tensor) -> None:
        self.total += self._loss(batch) * len(batch)

    @torch.no_grad()
    def _accuracy(self) -> float | None:
        """Return the share of held-out examples that are named right, with batch statistics."""
        if self.rows_held_out is None:
            return None
        self._only_normalise()
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        n = len(self.rows_held_out)
        for rows in self.rows_held_out.tensor_split(math.ceil(n / self.recipe.batch_size)):
            outputs = self._outputs(self.examples.inputs[rows])
            if outputs.dim() != 2:
                raise EvaluationError(
                    "accuracy needs an output (N, classes) of the network; its shape is "
                    f"{tuple(outputs.shape)}"
                )
            named = outputs.argmax(dim=1)
            right += (named == self.examples.targets[rows]).sum()
        self.network.train()
        return right.item() / n

    def _only_normalise(self) -> None:
        """Put everything but batch normalisation in evaluation mode: no dropout."""
        for module in self.network.modules():
            module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)

    def _landscape_batches(self) -> tuple[torch.Tensor, ...]:
        """Return the batches that the loss is taken on at every point."""
        return self._batches("landscape", self.recipe.landscape_images)

    def _batches(self, name: str, limit: int | None = None) -> tuple[torch.Tensor, ...]:
        """Return shuffled batches of rows; always shuffled, lest labels bias statistics.

        A single example left over joins the batch before: it has no batch statistics.
        """
        n = len(self.examples) if self.rows is None else len(self.rows)
        generator = torch.Generator().manual_seed(derive_seed("order", self.seed, name))
        order = torch.randperm(n, generator=generator)[:limit]
        rows = order if self.rows is None else self.rows[order]
        batches = torch.split(rows.to(self.device), self.recipe.batch_size)
        if len(batches) > 1 and len(batches[-1]) == 1:
            return (*batches[:-2], torch.cat(batches[-2:]))
        return batches

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        inputs, targets = self.examples.inputs[batch], self.examples.targets[batch]
        return self.examples.loss(self._outputs(inputs), targets)

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            outputs: torch.Tensor = self.network(inputs)
        return outputs.float() if half else outputs


def random_generators(device: torch.device) -> list[torch.Generator]:
    """Return the global generators that a network on that device may draw from."""
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.cuda.current_device() if device.index is None else device.index
    return [torch.default_generator, torch.cuda.default_generators[index]]


def _optimizer(
    parameters: list[nn.Parameter], recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimizer; on a GPU, one whose steps can be recorded."""
    rate: float | torch.Tensor = recipe.learning_rate
    fused = True if device.type == "cuda" else None
    if fused and recipe.schedule == "cosine":  # a number would be recorded once for all
        rate = torch.tensor(rate, device=device)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.Adam(parameters, lr=rate, eps=recipe.adam_eps, fused=fused)
