"""What all estimates share that train a network for a short while and look at its trace.

Estimates with equal `training_identity` see the same training, so one serves them all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import nn

from motemo.data.dataset import ImageData
from motemo.data.examples import Examples
from motemo.errors import EvaluationError, SettingsError
from motemo.objective import (
    EPOCH_LOSSES,
    Direction,
    Failure,
    Outcome,
    Skipped,
    Stage,
    Watch,
    Watchable,
    evaluate_each,
)
from motemo.objectives.initialisation import SCHEMES, Initialisation, initialise
from motemo.objectives.recipe import Recipe
from motemo.objectives.torch_device import torch_device
from motemo.objectives.trace import LossWatch, Start, Trace, go_on, record_trace, record_traces
from motemo.seeds import derive_seed, seeded_torch
from motemo.space import Architecture, Json, Shape
from motemo.spaces.shrinking.rule import Shrinking

WhichNetwork: TypeAlias = Literal["full", "reduced", "published", "general"]
_NETWORKS = ("full", "reduced", "published", "general")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of one architecture.

    Attributes:
        trace: What it left behind.
        seed: Seed of the weights.
        attempts: Trainings until one did not diverge.
    """

    trace: Trace
    seed: int
    attempts: int

    def record(self) -> dict[str, Json]:
        """Return all of it, JSON-able."""
        return {
            EPOCH_LOSSES: list(self.trace.epoch_losses),
            "landscape_losses": list(self.trace.landscape_losses),
            "epoch_seconds": list(self.trace.epoch_seconds),
            "held_out_accuracy": self.trace.held_out_accuracy,
            "seed": self.seed,
            "attempts": self.attempts,
        }


@dataclass(frozen=True, kw_only=True)
class TraceEstimate(Watchable):
    """An estimate that is read from the trace of a short training. No unit.

    The trace repeats exactly on one machine.

    Attributes:
        data: The images to train on, best a reduced data set; or examples of another kind.
        recipe: How to train.
        network: `reduced` trains the reduced architecture of the space, `published` the one of the
            published scores, where it is another, `general` the one that the general rule makes of
            the full network, `full` the network as deployed.
        shrinking: The general rule.
        width: Scales the channels of the network; 1 leaves it as it is.
        depth: Scales its number of layers; 1 leaves it as it is.
        initialisation: How the weights are drawn; `space` leaves it to the space.
        common_order: Whether all architectures see the same images in the same order, so that
            these set none apart; else each has an order of its own.
        seed: Seed of the order of images and, together with each architecture's key, of its
            weights.
        retries: How often a diverged training starts again from other weights.
        train_device: torch device to train on, such as `cpu` or `cuda`.
    """

    data: ImageData | Examples
    recipe: Recipe = field(default_factory=Recipe)
    network: WhichNetwork = "reduced"
    shrinking: Shrinking = field(default_factory=Shrinking)
    width: float = 1.0
    depth: float = 1.0
    initialisation: Initialisation = "space"
    common_order: bool = True
    seed: int = 0
    retries: int = 3
    train_device: str = "cpu"
    unit: str = field(default="", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(default=Stage.TRAIN, init=False)

    def __post_init__(self) -> None:
        for name, allowed in (("network", _NETWORKS), ("initialisation", SCHEMES)):
            if getattr(self, name) not in allowed:
                raise SettingsError(
                    f"Unknown {name} {getattr(self, name)!r} for {self.name}. "
                    f"Allowed: {', '.join(map(repr, allowed))}."
                )
        for name in ("width", "depth"):
            if not 0 < getattr(self, name) <= 16:
                raise SettingsError(
                    f"{self.name} needs a {name} above 0 and at most 16; "
                    f"got {getattr(self, name)}. 1 leaves the network as it is."
                )
        if self.retries < 0:
            raise SettingsError(f"retries cannot be negative; got {self.retries}. Give 0 or more.")
        torch_device(self.train_device)

    @abstractmethod
    def judge(self, architecture: Architecture, training: Training) -> Outcome:
        """Return the estimate that a training amounts to."""

    @property
    def held_out(self) -> float:
        """Share of the examples that is kept from training, to take the accuracy on."""
        return 0.0

    @property
    def batched(self) -> bool:  # type: ignore[override]
        """Whether networks are trained many at a time: on a GPU.

        Where the clock counts, as the host in the identity tells, each is trained alone.
        """
        return torch.device(self.train_device).type == "cuda" and "host" not in self.identity()

    def evaluate_watched(
        self, architectures: Sequence[Architecture], watch: Watch
    ) -> list[Outcome]:
        """Train each network and judge its training."""
        if self.batched:
            trained = iter(self.train_all(architectures, watch))
            return evaluate_each(architectures, lambda a: self._judged(a, next(trained)))
        return evaluate_each(
            architectures, lambda a: self._judged(a, self.train(a, partial(watch, a)))
        )

    def training_identity(self) -> dict[str, Json]:
        """Everything that changes a training; a retry only happens where one diverged."""
        return {
            "data": self.data.identity(),
            "recipe": self.recipe.identity(),
            "network": self.shrinking.identity() if self.network == "general" else self.network,
            "width": self.width,
            "depth": self.depth,
            "initialisation": self.initialisation,
            "common_order": self.common_order,
            "held_out": self.held_out,
            "seed": self.seed,
            "retries": self.retries,
            "train_device": self.train_device.partition(":")[0],
        }

    def identity(self) -> dict[str, Json]:
        """Everything that changes a training; estimates with options of their own add these."""
        return self.training_identity()

    def train(
        self, architecture: Architecture, watch: LossWatch = go_on
    ) -> Training | Failure | Skipped:
        """Train until a trace is finite.

        A training that `watch` stops is skipped, with what there is of its trace.
        """
        reasons: list[str] = []
        for attempt in range(1 + self.retries):
            seed = self._seed(architecture, attempt)
            try:
                trace = self.trace(architecture, seed=seed, watch=watch)
            except EvaluationError as error:
                reasons.append(str(error))
                continue
            return _finished(trace, seed, attempt)
        return _diverged(reasons)

    def train_all(
        self,
        architectures: Sequence[Architecture],
        watch: Watch = lambda _architecture, _losses: None,
    ) -> list[Training | Failure | Skipped]:
        """Train many at a time, each until its trace is finite; in order, as `train` gives them.

        Anything else that a network raises is its failure.

        Raises:
            UsageError: A setting cannot work, whatever the architecture.
            DeviceError: The device is not available.
        """
        reasons: dict[int, list[str]] = {number: [] for number in range(len(architectures))}
        found: dict[int, Training | Failure | Skipped] = {}
        for attempt in range(1 + self.retries):
            waiting = [number for number in reasons if number not in found]
            if not waiting:
                break
            starts = [self._start(architectures[n], attempt, watch) for n in waiting]
            outcomes = record_traces(
                starts,
                self.data,
                recipe=self.recipe,
                train_device=self.train_device,
                held_out=self.held_out,
            )
            for number, outcome in zip(waiting, outcomes, strict=True):
                if isinstance(outcome, Trace):
                    seed = self._seed(architectures[number], attempt)
                    found[number] = _finished(outcome, seed, attempt)
                elif isinstance(outcome, EvaluationError):
                    reasons[number].append(str(outcome))
                else:
                    found[number] = Failure(f"{type(outcome).__name__}: {outcome}")
        return [found.get(number) or _diverged(reasons[number]) for number in reasons]

    def _start(self, architecture: Architecture, attempt: int, watch: Watch) -> Start:
        seed = self._seed(architecture, attempt)
        return Start(
            partial(self.build, architecture, seed=seed),
            self._order_seed(seed),
            partial(watch, architecture),
        )

    def _order_seed(self, seed: int) -> int:
        """Return the seed of the order of images, for a network with weights of `seed`."""
        return derive_seed("order", self.seed) if self.common_order else seed

    def _seed(self, architecture: Architecture, attempt: int) -> int:
        return derive_seed("mote", self.seed, architecture.key, attempt)

    def trace(self, architecture: Architecture, *, seed: int, watch: LossWatch = go_on) -> Trace:
        """Train once, from the weights of `seed`.

        Raises:
            EvaluationError: The training diverged.
        """
        return record_trace(
            self.build(architecture, seed=seed),
            self.data,
            recipe=self.recipe,
            seed=self._order_seed(seed),
            train_device=self.train_device,
            watch=watch,
            held_out=self.held_out,
        )

    def build(self, architecture: Architecture, *, seed: int) -> nn.Module:
        """Return the network that is trained, its weights a function of `seed` alone."""
        if (self.width, self.depth) != (1.0, 1.0):
            scaled = architecture.space.scaled(width=self.width, depth=self.depth)
            architecture = replace(architecture, space=scaled)
        build = (
            architecture.build if self.network == "full" else partial(self.reduced, architecture)
        )
        if isinstance(self.data, ImageData):
            shape, classes = self.data.image_shape, self.data.classes
        else:
            shape, classes = self.data.input_shape, self.data.outputs
        network = build(input_shape=shape, classes=classes, seed=seed)
        with seeded_torch(derive_seed("initialisation", seed)):
            initialise(network, self.initialisation)
        return network

    def reduced(
        self, architecture: Architecture, *, input_shape: Shape, classes: int, seed: int = 0
    ) -> nn.Module:
        """Return the reduced architecture: of the space, as published, or of the general rule."""
        if self.network == "published":
            architecture = replace(architecture, space=architecture.space.as_published())
        if self.network != "general":
            return architecture.build_reduced(input_shape=input_shape, classes=classes, seed=seed)
        with seeded_torch(seed):
            return self.shrinking.build(
                architecture.space,
                architecture.genotype,
                input_shape=input_shape,
                classes=classes,
            )

    def _judged(
        self, architecture: Architecture, training: Training | Failure | Skipped
    ) -> Outcome:
        return self.judge(architecture, training) if isinstance(training, Training) else training


def _finished(trace: Trace, seed: int, attempt: int) -> Training | Skipped:
    training = Training(trace=trace, seed=seed, attempts=attempt + 1)
    if trace.stopped is not None:
        return Skipped(trace.stopped, training.record(), paid=True)
    return training


def _diverged(reasons: Sequence[str]) -> Failure:
    return Failure(f"{reasons[-1]} (in each of {len(reasons)} attempts)")
