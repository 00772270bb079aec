"""Many trainings at once: in turns, from recordings, split by memory; each the same as alone."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from motemo.data.digits import load_digits
from motemo.data.examples import image_examples
from motemo.data.pipeline import take
from motemo.errors import EvaluationError, SettingsError
from motemo.objective import Failure, Measurement, Skipped
from motemo.objectives import trace as engine
from motemo.objectives.curves import EarlyAccuracy, Landscape
from motemo.objectives.mote import Mote
from motemo.objectives.recipe import Recipe
from motemo.objectives.trace import Start, Trace, record_trace, record_traces
from motemo.objectives.trainer import Trainer
from motemo.objectives.training import Training
from motemo.seeds import seeded_torch
from motemo.space import Architecture, Choice, Gene, Shape
from motemo.spaces.function import FunctionSpace
from motemo.spaces.nasbench201 import NasBench201

DATA = take(load_digits(), classes=3, images_per_class=15)
RECIPE = Recipe(epochs=2, batch_size=16, landscape_intervals=2, landscape_images=20)
RECIPES = {
    "adam": RECIPE,
    "sgd": replace(RECIPE, optimizer="sgd", learning_rate=0.01),
    "cosine": replace(RECIPE, schedule="cosine"),
    "fit": replace(RECIPE, landscape_mode="fit"),
    "bfloat16": replace(RECIPE, precision="bfloat16"),
    "one joins": replace(RECIPE, batch_size=22),
}
CELLS = [
    NasBench201().architecture(genotype).canonical
    for genotype in (
        "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|avg_pool_3x3~1|none~2|",
        "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    )
]


def network(number: int = 0) -> nn.Module:
    return CELLS[number].build_reduced(input_shape=(1, 8, 8), classes=3, seed=number)


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Dropout(0.5), network())


BUILDS: list[Callable[[], nn.Module]] = [
    *(partial(network, number) for number in range(len(CELLS))),
    with_dropout,
]


def losses(trace: object) -> tuple[object, ...]:
    """What of a trace must repeat."""
    assert isinstance(trace, Trace), trace
    return trace.epoch_losses, trace.landscape_losses, trace.held_out_accuracy, trace.stopped


def alone(build: Callable[[], nn.Module], seed: int, **options: Any) -> tuple[object, ...]:
    return losses(record_trace(build(), DATA, seed=seed, **{"recipe": RECIPE, **options}))


# In turns


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_each_is_the_same_as_alone(recipe: Recipe) -> None:
    starts = [Start(build, seed) for seed, build in enumerate(BUILDS)]
    together = record_traces(starts, DATA, recipe=recipe, held_out=0.2)
    assert [losses(found) for found in together] == [
        alone(start.build, start.seed, recipe=recipe, held_out=0.2) for start in starts
    ]


def test_those_that_leave_do_not_touch_the_others() -> None:
    def broken() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(5, 3))

    def cannot_be_built() -> nn.Module:
        raise ValueError("no such network")

    def wild() -> nn.Module:
        built = network()
        with torch.no_grad():
            next(built.parameters()).fill_(float("inf"))
        return built

    stopped, wild_one, raising, unbuilt, kept = record_traces(
        [
            Start(with_dropout, 1, lambda so_far: "enough" if len(so_far) == 1 else None),
            Start(wild, 2),
            Start(broken, 3),
            Start(cannot_be_built, 4),
            Start(with_dropout, 5),
        ],
        DATA,
        recipe=RECIPE,
    )
    assert isinstance(stopped, Trace)
    assert (stopped.stopped, len(stopped.epoch_losses)) == ("enough", 1)
    assert isinstance(wild_one, EvaluationError)
    assert isinstance(raising, RuntimeError)
    assert isinstance(unbuilt, ValueError)
    assert losses(kept) == alone(with_dropout, 5)


def test_a_setting_that_cannot_work_stops_all() -> None:
    def refuse(_losses: Sequence[float]) -> None:
        raise SettingsError("no")

    with pytest.raises(SettingsError):
        record_traces([Start(network, 0), Start(network, 1, refuse)], DATA, recipe=RECIPE)


def test_no_networks() -> None:
    assert record_traces([], DATA, recipe=RECIPE) == []


def test_torch_keeps_its_random_numbers() -> None:
    before = torch.get_rng_state()
    record_traces([Start(with_dropout, 0), Start(with_dropout, 1)], DATA, recipe=RECIPE)
    assert torch.equal(before, torch.get_rng_state())


# From recordings


def carried_out_twice(action: Callable[[], None]) -> Callable[[], None]:
    """What recording does on a GPU, but for the recording."""
    action()
    action()
    return action


def finish(trainer: Trainer) -> tuple[object, ...]:
    training = trainer.trace()
    while True:
        try:
            next(training)
        except StopIteration as end:
            return losses(end.value)


def trainer(build: Callable[[], nn.Module], recipe: Recipe) -> Trainer:
    return Trainer(build(), image_examples(DATA, recipe.label_smoothing), recipe, 0, 0.2)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_recorded_steps_leave_the_same_trace(recipe: Recipe) -> None:
    recorded, plain = trainer(network, recipe), trainer(network, recipe)
    recorded.record(carried_out_twice)
    assert recorded.replayed_fit is not None
    assert finish(recorded) == finish(plain)


def test_what_draws_random_numbers_is_not_recorded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with seeded_torch(0):
        tried = trainer(with_dropout, RECIPE)
        tried.record(carried_out_twice)
        found = finish(tried)
    assert "draws random numbers" in caplog.text
    assert tried.replayed_fit is None
    with seeded_torch(0):
        assert found == finish(trainer(with_dropout, RECIPE))


def test_what_cannot_be_recorded_is_trained_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(action: Callable[[], None]) -> Callable[[], None]:
        action()
        raise RuntimeError("waits for the device")

    caplog.set_level(logging.INFO)
    tried = trainer(network, RECIPE)
    tried.record(refuse)
    assert "waits for the device" in caplog.text
    assert finish(tried) == finish(trainer(network, RECIPE))


# Split by memory


class Crowded(nn.Module):
    """Fits into memory with so many others of its kind."""

    alive: ClassVar[weakref.WeakSet[Crowded]] = weakref.WeakSet()
    room = 3
    most = 0

    def __init__(self) -> None:
        super().__init__()
        self.network = network()
        self.alive.add(self)
        Crowded.most = max(Crowded.most, len(self.alive))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.alive) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        out: torch.Tensor = self.network(x)
        return out


@pytest.fixture(autouse=True)
def _deserted() -> None:
    gc.collect()
    Crowded.room, Crowded.most = 3, 0


def test_a_group_that_does_not_fit_is_split() -> None:
    starts = [Start(Crowded, seed) for seed in range(9)]
    found = record_traces(starts, DATA, recipe=RECIPE)
    assert [losses(one) for one in found] == [alone(network, seed) for seed in range(9)]


def test_what_does_not_fit_alone_is_its_own_failure() -> None:
    Crowded.room = 0
    found = record_traces(
        [Start(network, 0), Start(Crowded, 1), Start(network, 2)], DATA, recipe=RECIPE
    )
    assert losses(found[0]) == alone(network, 0)
    assert isinstance(found[1], torch.OutOfMemoryError)
    assert losses(found[2]) == alone(network, 2)


def test_no_more_are_begun_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "free_memory", lambda _device: 60 - 10 * len(Crowded.alive))
    Crowded.room = 9
    found = record_traces([Start(Crowded, seed) for seed in range(6)], DATA, recipe=RECIPE)
    assert Crowded.most == 5  # the last one leaves 10 of 60 free, less than twice what it took
    assert [losses(one) for one in found] == [alone(network, seed) for seed in range(6)]


# Estimates


MOTE = Mote(data=DATA, recipe=RECIPE)


def dense(chosen: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    if chosen["width"] == 1:
        raise RuntimeError("this one cannot be built")
    width = int(chosen["width"])
    layers = [nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes)]
    return nn.Sequential(*layers)


SPACE = FunctionSpace(name="dense", genes=(Gene("width", (1, 2, 8)),), build_network=dense)
DENSE = [SPACE.architecture(SPACE.write({"width": width})) for width in (1, 2, 8)]


def test_many_trainings_are_those_of_each() -> None:
    for found, cell in zip(MOTE.train_all(CELLS), CELLS, strict=True):
        one = MOTE.train(cell)
        assert isinstance(found, Training)
        assert isinstance(one, Training)
        assert (found.seed, found.attempts) == (one.seed, one.attempts)
        assert losses(found.trace) == losses(one.trace)


def test_diverged_trainings_start_again() -> None:
    wild = replace(MOTE, recipe=replace(RECIPE, learning_rate=1e30), retries=2)
    assert wild.train_all(CELLS) == [wild.train(cell) for cell in CELLS]


def test_only_those_that_diverged_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def recorded(starts: Sequence[Start], *args: Any, **options: Any) -> list[Trace | Exception]:
        begun.append(len(starts))
        found = record_traces(starts, *args, **options)
        return [EvaluationError("diverged"), *found[1:]] if len(begun) < 3 else found

    monkeypatch.setattr("motemo.objectives.training.record_traces", recorded)
    first, second, third = MOTE.train_all(CELLS)
    assert begun == [3, 1, 1]
    assert isinstance(first, Training)
    assert first.attempts == 3
    assert isinstance(second, Training)
    assert isinstance(third, Training)
    assert second.attempts == third.attempts == 1


@dataclass(frozen=True, kw_only=True)
class Together(Landscape):
    """The landscape, trained many at a time on any device."""

    @property
    def batched(self) -> bool:  # type: ignore[override]
        return True


def test_estimates_that_are_trained_together() -> None:
    together, each = Together(data=DATA, recipe=RECIPE), Landscape(data=DATA, recipe=RECIPE)
    assert not each.batched

    def values(estimate: Landscape, architectures: Sequence[Architecture]) -> list[float]:
        outcomes = estimate.evaluate(architectures)
        return [o.value for o in outcomes if isinstance(o, Measurement)]

    assert values(together, CELLS) == values(each, CELLS)
    assert len(values(each, CELLS)) == len(CELLS)
    broken, *good = together.evaluate(DENSE)
    assert broken == Failure("RuntimeError: this one cannot be built")
    assert all(isinstance(one, Measurement) for one in good)


def test_each_is_watched_by_its_own_name() -> None:
    def watch(architecture: Architecture, _losses: Sequence[float]) -> str | None:
        return "enough" if architecture == CELLS[1] else None

    first, second, third = Together(data=DATA, recipe=RECIPE).evaluate_watched(CELLS, watch)
    assert isinstance(first, Measurement)
    assert isinstance(second, Skipped)
    assert (second.reason, second.paid) == ("enough", True)
    assert isinstance(third, Measurement)


# On a GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_gpu_gives_the_trace_of_the_cpu(recipe: Recipe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    recipe = replace(recipe, epochs=1)  # rounding grows with every step
    starts = [Start(partial(network, number), number) for number in range(3)] * 4
    here = record_traces(starts, DATA, recipe=recipe)
    there = record_traces(starts, DATA, recipe=recipe, train_device="cuda")
    assert "without recorded steps" not in caplog.text
    for one, other in zip(here, there, strict=True):
        assert isinstance(one, Trace)
        assert isinstance(other, Trace)
        rough = 0.05 if recipe.precision == "bfloat16" else 0.005
        assert other.epoch_losses == pytest.approx(one.epoch_losses, rel=rough)
        assert other.landscape_losses == pytest.approx(one.landscape_losses, rel=4 * rough)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_repeats_itself_in_any_company() -> None:
    def found(seeds: Sequence[int]) -> list[object]:
        starts = [Start(BUILDS[seed % len(BUILDS)], seed) for seed in seeds]
        return [
            losses(one) for one in record_traces(starts, DATA, recipe=RECIPE, train_device="cuda")
        ]

    assert found(range(10)) == [found([seed])[0] for seed in range(10)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_what_cannot_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    class Waits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.sum().item() > 0
            out: torch.Tensor = self.network(x)
            return out

    caplog.set_level(logging.INFO)
    waiting, plain = record_traces(
        [Start(Waits, 0), Start(network, 0)],
        DATA,
        recipe=RECIPE,
        train_device="cuda",
    )
    assert "without recorded steps" in caplog.text
    assert isinstance(waiting, Trace)
    assert isinstance(plain, Trace)
    assert waiting.epoch_losses == pytest.approx(plain.epoch_losses, rel=0.005)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_estimates_are_batched_unless_the_clock_counts() -> None:
    assert EarlyAccuracy(data=DATA, train_device="cuda").batched
    assert not Mote.reference(DATA, train_device="cuda").batched
