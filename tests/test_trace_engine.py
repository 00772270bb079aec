"""The training engine: fast modules, recipes, initialisation, curves, examples of other kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from motemo.data.digits import load_digits
from motemo.data.examples import Examples, image_examples
from motemo.data.pipeline import take
from motemo.errors import DataError, SettingsError
from motemo.objective import Failure, Measurement, Skipped
from motemo.objectives.calibration import PUBLISHED
from motemo.objectives.curves import EarlyAccuracy, Landscape, Speed, Tse, TseE, TseEma
from motemo.objectives.fast_modules import SameAvgPool, TiledAvgPool, accelerate
from motemo.objectives.initialisation import SCHEMES, initialise
from motemo.objectives.mote import Mote
from motemo.objectives.recipe import Recipe
from motemo.objectives.trace import Trace, record_trace
from motemo.objectives.training import TraceEstimate
from motemo.registry import OBJECTIVES
from motemo.space import Choice, Gene, Shape
from motemo.spaces.function import FunctionSpace
from motemo.spaces.nasbench201 import NasBench201

DATA = take(load_digits(), classes=3, images_per_class=20)
RECIPE = Recipe(epochs=3, batch_size=16, landscape_intervals=2, landscape_images=24)
CELL = (
    NasBench201()
    .architecture("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|avg_pool_3x3~1|none~2|")
    .canonical
)


# Fast modules


@pytest.mark.parametrize(
    ("plain", "fast"),
    [
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), SameAvgPool),
        (nn.AvgPool2d((5, 5), (1, 1), (2, 2), count_include_pad=False), SameAvgPool),
        (nn.AvgPool2d(4, ceil_mode=True), TiledAvgPool),
        (nn.AvgPool2d(2, stride=2, ceil_mode=True), TiledAvgPool),
    ],
)
@pytest.mark.parametrize("size", [(8, 8), (7, 12)])
def test_fast_modules_compute_the_same(
    plain: nn.Module, fast: type[nn.Module], size: tuple[int, int]
) -> None:
    network = accelerate(nn.Sequential(nn.Sequential(plain)))
    inner = next(iter(network.children()))
    assert isinstance(next(iter(inner.children())), fast)
    x = torch.randn(3, 5, *size, dtype=torch.float64, requires_grad=True)
    expected, found = plain(x), network(x)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, x, grad), torch.autograd.grad(expected, x, grad)
    )


@pytest.mark.parametrize(
    "plain",
    [
        nn.AvgPool2d(3, 1, 1),
        nn.AvgPool2d(2, 1, 1, count_include_pad=False),
        nn.AvgPool2d((3, 1), 1, (1, 0), count_include_pad=False),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False, divisor_override=4),
        nn.AvgPool2d(4),
        nn.MaxPool2d(3, 1, 1),
    ],
)
def test_other_modules_stay(plain: nn.Module) -> None:
    assert accelerate(nn.Sequential(plain))[0] is plain  # type: ignore[index]


def test_the_fast_path_gives_the_trace_of_plain_pytorch() -> None:
    """A training written out by hand, with torch's own modules."""
    recipe = replace(RECIPE, epochs=2)
    fast = record_trace(
        CELL.build_reduced(input_shape=(1, 8, 8), classes=3), DATA, recipe=recipe, seed=5
    )
    network = CELL.build_reduced(input_shape=(1, 8, 8), classes=3).train()
    images = torch.from_numpy(DATA.images).float() / 255
    labels = torch.from_numpy(DATA.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, eps=1e-7)
    losses = []
    for epoch in range(recipe.epochs):
        total = 0.0
        for batch in _order(5, f"epoch {epoch}", len(DATA)).split(recipe.batch_size):
            optimizer.zero_grad()
            logits = network(images[batch])
            loss = nn.functional.cross_entropy(logits, labels[batch], label_smoothing=0.01)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(DATA))
    assert fast.epoch_losses == pytest.approx(losses, rel=1e-4)


def _order(seed: int, name: str, n: int) -> torch.Tensor:
    from motemo.seeds import derive_seed

    generator = torch.Generator().manual_seed(derive_seed("order", seed, name))
    return torch.randperm(n, generator=generator)


def test_bfloat16_stays_close() -> None:
    exact, rough = (
        record_trace(
            CELL.build_reduced(input_shape=(1, 8, 8), classes=3),
            DATA,
            recipe=replace(RECIPE, precision=precision),
            seed=0,
        )
        for precision in ("float32", "bfloat16")
    )
    assert exact.epoch_losses != rough.epoch_losses
    assert rough.epoch_losses == pytest.approx(exact.epoch_losses, rel=0.05)


# Recipes


def test_a_recipe_may_take_some_of_the_images() -> None:
    def losses(images: int | None) -> tuple[float, ...]:
        recipe = replace(RECIPE, images=images, epochs=1, batch_size=64)
        built = CELL.build_reduced(input_shape=(1, 8, 8), classes=3)
        return record_trace(built, DATA, recipe=recipe, seed=0).epoch_losses

    assert losses(None) == losses(len(DATA)) != losses(24)
    few = take(DATA, images_per_class=8)
    built = CELL.build_reduced(input_shape=(1, 8, 8), classes=3)
    assert losses(24) != record_trace(built, few, recipe=RECIPE, seed=0).epoch_losses


def test_all_networks_see_the_same_images_in_the_same_order() -> None:
    class Seen(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.width, self.head = width, nn.Linear(64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen[self.width].append(x.clone())
            logits: torch.Tensor = self.head(x.flatten(1))
            return logits

    seen: dict[int, list[torch.Tensor]] = {1: [], 64: []}
    space = _space(lambda chosen, _shape, _classes: Seen(int(chosen["width"])))
    estimate = Mote(data=DATA, recipe=RECIPE, terms="speed", network="full")  # nothing but trains
    estimate.evaluate([space.architecture(f'{{"width":{width}}}') for width in seen])
    assert all(map(torch.equal, seen[1], seen[64]))
    first = seen[1]
    for other in (replace(estimate, seed=1), replace(estimate, common_order=False)):
        seen[1] = []
        other.evaluate([space.architecture('{"width":1}')])
        assert not torch.equal(first[0], seen[1][0])


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "lion"},
        {"images": 0},
        {"schedule": "steps"},
        {"precision": "int8"},
        {"epochs": 0},
    ],
)
def test_recipes_refuse(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        Recipe(**options)


def test_a_cosine_schedule_leaves_nothing_to_fit() -> None:
    with pytest.raises(SettingsError, match="after a cosine schedule"):
        Recipe(schedule="cosine", landscape_mode="fit")


def test_every_choice_of_a_recipe_changes_the_trace() -> None:
    recipes = [
        RECIPE,
        replace(RECIPE, optimizer="sgd"),
        replace(RECIPE, schedule="cosine"),
        replace(RECIPE, label_smoothing=0.1),
    ]
    losses = {
        record_trace(
            CELL.build_reduced(input_shape=(1, 8, 8), classes=3), DATA, recipe=recipe, seed=0
        ).epoch_losses
        for recipe in recipes
    }
    assert len(losses) == len(recipes)


# Initialisation


@pytest.mark.parametrize("scheme", SCHEMES)
def test_initialisation(scheme: Any) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.Linear(64, 10))
    before = [p.clone() for p in network.parameters()]
    initialise(network, scheme)
    same = [torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True)]
    assert same == ([True] * 6 if scheme == "space" else [False, False, True, True, False, False])
    if "glorot" in scheme:
        assert network[0].weight.var().item() == pytest.approx(2 / (9 * (8 + 64)), rel=0.1)
    if "he" in scheme:
        assert network[0].weight.var().item() == pytest.approx(2 / (9 * 8), rel=0.1)


def test_width_and_depth_scale_the_network() -> None:
    def parameters(**options: Any) -> int:
        built = Mote(data=DATA, **options).build(CELL, seed=0)
        return sum(p.numel() for p in built.parameters())

    usual = parameters()
    assert parameters(width=0.5) < usual < parameters(depth=2.0)
    assert parameters(network="full", width=0.25, depth=0.2) < parameters(network="full")
    for options in ({"width": 0.0}, {"depth": 17.0}, {"network": "half"}):
        with pytest.raises(SettingsError, match=next(iter(options))):
            Mote(data=DATA, **options)  # type: ignore[arg-type]


# Curves


CURVES: list[tuple[Callable[..., TraceEstimate], Callable[[Trace], float]]] = [
    (Tse, lambda t: -sum(t.epoch_losses)),
    (TseE, lambda t: -t.epoch_losses[2]),
    (
        TseEma,
        lambda t: -(0.25 * t.epoch_losses[0] + 0.25 * t.epoch_losses[1] + 0.5 * t.epoch_losses[2]),
    ),
    (Landscape, lambda t: sum(1 / loss for loss in t.landscape_losses)),
    (
        partial(Landscape, every=2),
        lambda t: 1 / t.landscape_losses[0] + 1 / t.landscape_losses[2],
    ),
    (Speed, lambda t: 3 / sum(t.epoch_losses)),
]


@pytest.mark.parametrize(("curve", "by_hand"), CURVES)
def test_curves_judge_the_training_of_mote(
    curve: Callable[..., TraceEstimate], by_hand: Callable[[Trace], float]
) -> None:
    mote, estimate = Mote(data=DATA, recipe=RECIPE), curve(data=DATA, recipe=RECIPE)
    assert estimate.training_identity() == mote.training_identity()
    training = mote.train(CELL)
    assert not isinstance(training, Skipped)
    judged = estimate.judge(CELL, training)  # type: ignore[arg-type]
    (evaluated,) = estimate.evaluate([CELL])
    assert isinstance(judged, Measurement)
    assert isinstance(evaluated, Measurement)
    assert judged.value == evaluated.value == pytest.approx(by_hand(training.trace))  # type: ignore[union-attr]


def test_early_accuracy_is_taken_on_what_was_held_out() -> None:
    estimate = EarlyAccuracy(data=DATA, recipe=replace(RECIPE, epochs=12))
    assert estimate.training_identity() != Mote(data=DATA, recipe=RECIPE).training_identity()
    (measurement,) = estimate.evaluate([CELL])
    assert isinstance(measurement, Measurement)
    assert measurement.value * 12 == pytest.approx(round(measurement.value * 12))
    assert measurement.value > 0.5


def test_curves_refuse() -> None:
    for bad in (
        lambda: TseE(data=DATA, last=0),
        lambda: TseEma(data=DATA, decay=1.0),
        lambda: EarlyAccuracy(data=DATA, share=1.0),
        lambda: EarlyAccuracy(data=DATA, share=0.001),
        lambda: EarlyAccuracy(data=DATA, share=0.999),
        lambda: Landscape(data=DATA, every=3),
    ):
        with pytest.raises(SettingsError, match=r"tse_e|tse_ema|early_accuracy|landscape"):
            bad()


# Examples of other kinds


def _space(build: Callable[[Mapping[str, Choice], Shape, int], nn.Module]) -> FunctionSpace:
    return FunctionSpace(name="own", genes=(Gene("width", (1, 64)),), build_network=build)


def _values(space: FunctionSpace, examples: Examples) -> list[float]:
    estimate = Mote(
        data=examples, recipe=replace(RECIPE, epochs=6), calibration_size=3, terms="speed"
    )
    genotypes: Sequence[str] = ('{"width":1}', '{"width":64}')
    outcomes = estimate.evaluate([space.architecture(g) for g in genotypes])
    assert all(isinstance(o, Measurement) for o in outcomes), outcomes
    return [o.value for o in outcomes if isinstance(o, Measurement)]


def test_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(128, 2, generator=generator)
    y = torch.sin(6 * x[:, :1]) + x[:, 1:]

    def build(chosen: Mapping[str, Choice], shape: Shape, outputs: int) -> nn.Module:
        width = int(chosen["width"])
        return nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Linear(width, outputs))

    narrow, wide = _values(
        _space(build),
        Examples(name="sine", inputs=x, targets=y, loss=nn.functional.mse_loss, outputs=1),
    )
    assert wide > narrow


def test_segmentation_from_a_loader() -> None:
    images = image_examples(DATA, 0.0).inputs
    masks = (images[:, 0] > 0.5).long()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, masks), batch_size=7
    )

    def build(chosen: Mapping[str, Choice], shape: Shape, outputs: int) -> nn.Module:
        width = int(chosen["width"])
        return nn.Sequential(
            nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, outputs, 1)
        )

    examples = Examples.of_loader(
        loader, name="bright pixels", loss=nn.functional.cross_entropy, outputs=2
    )
    assert len(examples) == len(DATA)
    narrow, wide = _values(_space(build), examples)
    assert wide > narrow


def test_sequences() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 5, (96, 6), generator=generator)
    sums = (tokens.sum(dim=1) % 3).long()

    class Reader(nn.Module):
        def __init__(self, width: int, outputs: int) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, width)
            self.reader = nn.GRU(width, width, batch_first=True)
            self.head = nn.Linear(width, outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.reader(self.embedding(x))[0][:, -1])
            return logits

    def build(chosen: Mapping[str, Choice], shape: Shape, outputs: int) -> nn.Module:
        return Reader(int(chosen["width"]), outputs)

    narrow, wide = _values(
        _space(build),
        Examples(
            name="sums", inputs=tokens, targets=sums, loss=nn.functional.cross_entropy, outputs=3
        ),
    )
    assert wide > narrow


def test_examples_refuse() -> None:
    with pytest.raises(DataError, match="4 inputs and 3 targets"):
        Examples(
            name="odd",
            inputs=torch.zeros(4, 1),
            targets=torch.zeros(3),
            loss=nn.functional.mse_loss,
            outputs=1,
        )
    with pytest.raises(DataError, match="the loader must give batches"):
        Examples.of_loader([], name="none", loss=nn.functional.mse_loss, outputs=1)


def test_examples_are_known_by_their_content() -> None:
    one, two = (
        Examples(
            name="a",
            inputs=torch.full((3, 1), value),
            targets=torch.zeros(3, 1),
            loss=nn.functional.mse_loss,
            outputs=1,
        )
        for value in (0.0, 1.0)
    )
    assert one != two
    assert one.identity() != two.identity()
    assert one.take(torch.tensor([0, 1, 2])) == one
    assert replace(one, loss=nn.functional.l1_loss).identity() != one.identity()


def test_losses_are_known_by_name_and_options() -> None:
    def identity(loss: Callable[..., torch.Tensor]) -> object:
        return examples(loss).identity()["loss"]

    def examples(loss: Callable[..., torch.Tensor]) -> Examples:
        x = torch.zeros(3, 1)
        return Examples(name="a", inputs=x, targets=x, loss=loss, outputs=1)

    assert identity(nn.functional.mse_loss) == "torch.nn.functional.mse_loss"
    assert identity(nn.MSELoss()) == identity(nn.MSELoss())
    steep, flat = (partial(nn.functional.huber_loss, delta=delta) for delta in (2.0, 1.0))
    different = [nn.MSELoss(), nn.L1Loss(), nn.CrossEntropyLoss(label_smoothing=0.1)]
    assert len({str(identity(loss)) for loss in (*different, steep, flat)}) == 5
    # lambdas share a name, but what one process keeps of the one is not given to the other
    assert examples(lambda a, b: (a - b).abs().mean()) != examples(lambda a, b: (a * b).mean())


def test_a_loss_below_zero_fails_with_the_reason() -> None:
    def build(chosen: Mapping[str, Choice], shape: Shape, outputs: int) -> nn.Module:
        return nn.Linear(shape[0], outputs)

    x = torch.rand(16, 2, generator=torch.Generator().manual_seed(0))
    for calibration in (None, PUBLISHED["nasbench201"]):
        estimate = Mote(
            data=Examples(
                name="a",
                inputs=x,
                targets=x[:, :1],
                loss=lambda a, b: nn.functional.mse_loss(a, b) - 5,
                outputs=1,
            ),
            recipe=replace(RECIPE, epochs=1),
            calibration=calibration,
        )
        (outcome,) = estimate.evaluate([_space(build).architecture('{"width":1}')])
        assert isinstance(outcome, Failure)
        assert "a loss is -" in outcome.reason


@pytest.mark.parametrize(
    "targets", [torch.zeros(16, 8, 8, dtype=torch.int64), torch.zeros(16, 1), torch.zeros(16)]
)
def test_accuracy_needs_one_class_for_each_example(targets: torch.Tensor) -> None:
    examples = Examples(
        name="maps", inputs=torch.zeros(16, 3), targets=targets, loss=nn.MSELoss(), outputs=2
    )
    with pytest.raises(SettingsError, match=r"early_accuracy needs a class for each example.*maps"):
        EarlyAccuracy(data=examples)


def test_accuracy_needs_one_output_for_each_class() -> None:
    def build(chosen: Mapping[str, Choice], shape: Shape, outputs: int) -> nn.Module:
        return nn.Conv2d(shape[0], outputs, 1)

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs.mean((2, 3)), targets)

    x, y = torch.rand(16, 3, 4, 4), torch.arange(16) % 2
    examples = Examples(name="maps", inputs=x, targets=y, loss=loss, outputs=2)
    estimate = EarlyAccuracy(data=examples, recipe=replace(RECIPE, epochs=1))
    (outcome,) = estimate.evaluate([_space(build).architecture('{"width":1}')])
    assert isinstance(outcome, Failure)
    assert "an output (N, classes) of the network; its shape is (" in outcome.reason


@pytest.mark.parametrize("name", ["naswot", "accuracy"])
def test_objectives_that_need_images_say_so(name: str) -> None:
    x = torch.zeros(4, 3)
    examples = Examples(name="numbers", inputs=x, targets=x, loss=nn.MSELoss(), outputs=3)
    with pytest.raises(SettingsError, match=f"{name} takes labelled images.*got Examples"):
        OBJECTIVES.create(name, offered={"data": examples})
