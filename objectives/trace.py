"""Training traces: what short trainings of networks leave behind.

On a GPU, many networks are trained in turns, each on a stream of its own, so that their small
kernels run side by side.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn

from motemo.data.dataset import ImageData
from motemo.data.examples import Examples, image_examples
from motemo.errors import DeviceError, UsageError
from motemo.objectives.cuda_graph import cuda_recorder
from motemo.objectives.recipe import Recipe
from motemo.objectives.torch_device import deterministic, torch_device
from motemo.objectives.trainer import LossWatch as LossWatch
from motemo.objectives.trainer import Trace as Trace
from motemo.objectives.trainer import Trainer, random_generators
from motemo.objectives.trainer import go_on as go_on
from motemo.seeds import derive_seed, seeded_torch

MOST_TOGETHER = 8
"""Networks that are trained in turns at most. More would hardly find room to run side by side."""


@dataclass(frozen=True)
class Start:
    """How one training begins.

    Attributes:
        build: Returns the network; it maps inputs `(N, ...)`, such as images `(N, C, H, W)`, to
            what the loss of the examples takes: logits `(N, K)` for labelled images. It is called
            again if a training did not fit into memory.
        seed: Seed of the order of the examples; the same seed gives the same trace on one machine.
        watch: Judges the training after every epoch, and its time is not counted; a training that
            it does not stop leaves the same trace as one that nobody watches.
    """

    build: Callable[[], nn.Module]
    seed: int
    watch: LossWatch = go_on


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
        network: See `Start.build`.
        data: Images with labels, or any examples with a loss of their own.
        recipe: How to train.
        seed: See `Start.seed`.
        train_device: torch device, such as `cpu` or `cuda`.
        watch: See `Start.watch`.
        held_out: Share of the examples, a seeded choice, that is kept from training, to take the
            accuracy on; only where targets are class labels.

    Raises:
        DeviceError: The device is not available.
        EvaluationError: A loss is not finite.
    """
    (outcome,) = record_traces(
        [Start(lambda: network, seed, watch)],
        data,
        recipe=recipe,
        train_device=train_device,
        held_out=held_out,
    )
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def record_traces(
    starts: Sequence[Start],
    data: ImageData | Examples,
    *,
    recipe: Recipe,
    train_device: str = "cpu",
    held_out: float = 0.0,
) -> list[Trace | Exception]:
    """Train networks in turns, as many at a time as fit; each trace is the same as if alone.

    Args:
        starts: The trainings.
        data: See `record_trace`.
        recipe: How to train.
        train_device: torch device, such as `cpu` or `cuda`.
        held_out: See `record_trace`.

    Returns:
        In order, each network's trace, or what its training raised: `EvaluationError` if a loss is
        not finite, anything else from the network itself.

    Raises:
        DeviceError: The device is not available.
        UsageError: A setting cannot work, whatever the network.
    """
    device = torch_device(train_device)
    examples = _on_device(examples_of(data, recipe), device)
    outcomes: list[Trace | Exception] = []
    most = MOST_TOGETHER
    with seeded_torch(0, train_device), deterministic():
        while len(outcomes) < len(starts):
            group = starts[len(outcomes) :][:most]
            try:
                outcomes += _train_in_turns(group, examples, recipe, held_out)
            except torch.OutOfMemoryError as error:
                traceback.clear_frames(error.__traceback__)
                most = len(group) // 2
                if len(group) == 1:
                    outcomes.append(error)
                    most = MOST_TOGETHER
            if device.type == "cuda":
                torch.cuda.empty_cache()  # recordings hold memory that only this gives back
    return outcomes


def _train_in_turns(
    starts: Sequence[Start], examples: Examples, recipe: Recipe, held_out: float
) -> list[Trace | Exception]:
    """Train the first of these networks together, as many as there is memory for."""
    device = examples.inputs.device
    outcomes: dict[int, Trace | Exception] = {}
    waiting: dict[int, _Lane] = {}
    largest = 0
    for number, start in enumerate(starts):
        free = free_memory(device)
        if number and free < 2 * largest:
            break
        try:
            waiting[number] = _Lane(start, examples, recipe, held_out)
        except (UsageError, DeviceError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
            outcomes[number] = _unburdened(error)
        largest = max(largest, free - free_memory(device))
    while waiting:
        for number, lane in list(waiting.items()):
            outcome = lane.advance()
            if outcome is not None:
                outcomes[number] = outcome
                del waiting[number]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return [outcome for _, outcome in sorted(outcomes.items())]


class _Lane:
    """One network in training, with a stream and random numbers of its own."""

    def __init__(self, start: Start, examples: Examples, recipe: Recipe, held_out: float) -> None:
        device = examples.inputs.device
        network = start.build()
        self.generators = random_generators(device)
        states = []
        for generator in self.generators:
            generator.manual_seed(derive_seed("training", start.seed))
            states.append(generator.get_state())
        self.states = states
        self.stream = _stream(device)
        with self._turn():
            trainer = Trainer(network, examples, recipe, start.seed, held_out)
            if self.stream is not None:
                trainer.record(cuda_recorder(trainer.optimizer))
        self.training: Generator[None, None, Trace] = trainer.trace(start.watch)

    def advance(self) -> Trace | Exception | None:
        """Take one step; return the outcome if it was the last one."""
        with self._turn():
            try:
                next(self.training)
            except StopIteration as end:
                trace: Trace = end.value
                return trace
            except (UsageError, DeviceError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
                return _unburdened(error)
        return None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.set_state(state)
        with torch.cuda.stream(self.stream) if self.stream is not None else nullcontext():
            yield
        self.states = [generator.get_state() for generator in self.generators]


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _unburdened(error: Exception) -> Exception:
    """Return an error that no longer keeps the network, where it was raised, in memory."""
    traceback.clear_frames(error.__traceback__)
    return error


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU; of another device, more than anyone needs."""
    if device.type != "cuda":
        return 2**63
    free: int = torch.cuda.mem_get_info(device)[0]
    return free


def _on_device(examples: Examples, device: torch.device) -> Examples:
    return examples if device.type == "cpu" else _uploaded(examples, device)


@lru_cache(maxsize=2)
def _uploaded(examples: Examples, device: torch.device) -> Examples:
    """Return examples on a device, where they stay for the next trainings."""
    uploaded = replace(
        examples, inputs=examples.inputs.to(device), targets=examples.targets.to(device)
    )
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # other streams may read them from now on
    return uploaded
