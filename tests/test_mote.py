"""MOTE: terms, calibration, traces, and the objective."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from motemo.data.digits import load_digits
from motemo.data.pipeline import take
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.objective import Failure, Measurement
from motemo.objectives import mote as module
from motemo.objectives import training
from motemo.objectives.calibration import PUBLISHED, BoxCox, Calibration
from motemo.objectives.mote import PUBLISHED_SECONDS, YARDSTICK, Mote
from motemo.objectives.recipe import REFERENCE_RECIPE, Recipe
from motemo.objectives.terms import Terms, landscape_term, speed_term
from motemo.objectives.trace import Trace, record_trace
from motemo.seeds import derive_seed
from motemo.space import Architecture, Choice, Gene, Shape
from motemo.spaces.function import FunctionSpace
from motemo.spaces.nasbench201 import NasBench201

DATA = take(load_digits(), classes=3, images_per_class=16)
RECIPE = Recipe(epochs=2, batch_size=16, landscape_intervals=3, landscape_images=24)
MOTE = Mote(data=DATA, recipe=RECIPE)
CELLS = [
    NasBench201().architecture(genotype).canonical
    for genotype in (
        "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
        "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    )
]


def scored(objective: Mote, architectures: Sequence[Architecture] = CELLS[:1]) -> list[Measurement]:
    outcomes = objective.evaluate(architectures)
    assert all(isinstance(outcome, Measurement) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Measurement)]


def values(objective: Mote, architectures: Sequence[Architecture] = CELLS[:1]) -> list[float]:
    return [measurement.value for measurement in scored(objective, architectures)]


def repeatable(measurement: Measurement) -> Mapping[str, object]:
    return {k: v for k, v in measurement.record.items() if k != "epoch_seconds"}


# Terms and calibration


def test_terms_by_hand() -> None:
    assert landscape_term([2.0, 1.0, 0.5]) == 0.5 + 1 + 2
    assert speed_term([2.0, 1.0], 3.0) == 3 / 1.5
    calibration = Calibration(
        landscape=BoxCox.published(2.0, 0.5), speed=BoxCox.published(0.5, 2.0)
    )
    by_hand = (4 * 0.5) * ((3.5**2 - 1) / 2) + (0.25 * 2) * ((math.sqrt(2) - 1) / 0.5)
    assert calibration.combine(Terms(landscape=3.5, speed=2.0)) == pytest.approx(by_hand)


def test_published_traces(shared_data: Path) -> None:
    with np.load(shared_data / "nasbench201_mote_traces_half.npz") as traces:
        columns = [traces[name].astype(float).tolist() for name in PUBLISHED_COLUMNS]
    calibration = PUBLISHED["nasbench201"]
    ours, theirs = [], []
    for epochs, landscape, seconds, *published in zip(*columns, strict=True):
        terms = Terms(landscape_term(landscape), speed_term(epochs, seconds))
        ours.append([terms.landscape, terms.speed, calibration.combine(terms)])
        theirs.append(published)
    assert len(ours) == 7807
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


PUBLISHED_COLUMNS = (
    *("epoch_losses", "landscape_losses", "train_seconds"),
    *("landscape_term", "speed_term", "mote"),
)


def test_box_cox_fit_finds_the_exponent() -> None:
    normal = np.random.default_rng(0).normal(8, 1, 4000)
    fitted = BoxCox.fit((0.5 * normal + 1) ** 2)
    assert fitted.lam == pytest.approx(0.5, abs=0.1)
    weighted = [fitted.weighted(x) for x in (0.5 * normal + 1) ** 2]
    assert np.std(weighted) == pytest.approx(1)


@pytest.mark.parametrize(("power", "lam"), [(0.2, 2.0), (40.0, 0.1)])
def test_box_cox_exponent_is_bounded(power: float, lam: float) -> None:
    x = np.random.default_rng(0).normal(8, 1, 1000) ** power
    assert BoxCox.fit(x).lam == lam


def test_box_cox_of_equal_values() -> None:
    assert BoxCox.fit([3.0, 3.0, 3.0]) == BoxCox(1.0, 1.0)


def test_calibration_fit() -> None:
    terms = [Terms(x, x**2) for x in (1.0, 2.0, 4.0, 5.0)]
    fitted = Calibration.fit(terms)
    assert fitted.landscape == BoxCox.fit([1, 2, 4, 5])
    assert fitted.speed == BoxCox.fit([1, 4, 16, 25])
    scores = [fitted.combine(t) for t in terms]
    assert scores == sorted(scores)
    with pytest.raises(SettingsError, match="at least 3 architectures; got 2"):
        Calibration.fit(terms[:2])


# Traces


def network(seed: int = 0) -> nn.Module:
    return CELLS[0].build_reduced(input_shape=DATA.image_shape, classes=DATA.classes, seed=seed)


def trace(recipe: Recipe = RECIPE, *, seed: int = 0) -> Trace:
    return record_trace(network(), DATA, recipe=recipe, seed=seed)


def test_a_trace_has_a_loss_per_epoch_and_point() -> None:
    found = trace()
    assert (len(found.epoch_losses), len(found.landscape_losses)) == (2, 4)
    assert found.train_seconds > 0
    assert found.landscape_losses[-1] < found.landscape_losses[0]


def test_a_trace_depends_on_the_seed_alone() -> None:
    assert trace().epoch_losses == trace().epoch_losses
    assert trace().epoch_losses != trace(seed=1).epoch_losses


def test_the_first_point_is_the_initial_network() -> None:
    whole = replace(RECIPE, landscape_images=None, batch_size=len(DATA))
    images = torch.from_numpy(DATA.images).float() / 255
    with torch.no_grad():
        logits = network().train()(images)
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(DATA.labels), label_smoothing=0.01)
    assert trace(whole).landscape_losses[0] == pytest.approx(loss.item(), rel=1e-5)


def test_fitting_the_landscape_trains_an_epoch_from_each_point() -> None:
    fit, look = trace(replace(RECIPE, landscape_mode="fit")), trace()
    assert fit.epoch_losses == look.epoch_losses
    assert len(fit.landscape_losses) == 4
    assert fit.landscape_losses != look.landscape_losses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs of at least 1; got 0"),
        ({"batch_size": 0}, "batch_size of at least 1"),
        ({"landscape_intervals": 0}, "landscape_intervals of at least 1"),
        ({"landscape_mode": "guess"}, "Unknown landscape_mode 'guess'"),
    ],
)
def test_impossible_recipe(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Recipe(**options)


@pytest.mark.parametrize("images", [0, -1])
def test_impossible_number_of_landscape_images(images: int) -> None:
    with pytest.raises(SettingsError, match="landscape_images"):
        Recipe(landscape_images=images)


# The objective


def test_the_record_explains_the_value() -> None:
    (measurement,) = scored(MOTE)
    record: Any = measurement.record
    json.dumps(record)
    terms = Terms(
        landscape_term(record["landscape_losses"]),
        speed_term(record["epoch_losses"], PUBLISHED_SECONDS),
    )
    assert (record["landscape_term"], record["speed_term"]) == (terms.landscape, terms.speed)
    assert measurement.value == PUBLISHED["nasbench201"].combine(terms)
    assert measurement.low == measurement.value == measurement.high
    assert record["attempts"] == 1
    assert record["seed"] == derive_seed("mote", 0, CELLS[0].key, 0)


def test_the_same_twice_and_in_any_batch() -> None:
    together = [repeatable(m) for m in scored(MOTE, CELLS)]
    alone = [repeatable(m) for c in reversed(CELLS) for m in scored(MOTE, [c])]
    assert together == alone[::-1]


SCRIPT = """
from test_mote import CELLS, MOTE, repeatable, scored
import json
print(json.dumps([[m.value, repeatable(m)] for m in scored(MOTE, CELLS[:2])]))
"""


def test_the_same_in_another_process() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "5"}
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    here = [[m.value, repeatable(m)] for m in scored(MOTE, CELLS[:2])]
    assert json.loads(finished.stdout) == here


def test_another_seed_gives_another_value() -> None:
    assert values(MOTE) != values(replace(MOTE, seed=1))


def test_torch_is_left_as_it_was() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        values(MOTE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(state, torch.get_rng_state())


def test_reference() -> None:
    reference = Mote.reference(DATA, seed=3)
    assert reference.recipe == REFERENCE_RECIPE
    assert (reference.speed_cost, reference.seed) == ("seconds", 3)
    activations = sum(isinstance(m, nn.ReLU) for m in reference.build(CELLS[0], seed=0).modules())
    plain = replace(reference, network="reduced").build(CELLS[0], seed=0)
    assert activations == 2 + sum(isinstance(m, nn.ReLU) for m in plain.modules())
    short = replace(reference, recipe=replace(REFERENCE_RECIPE, epochs=2, landscape_intervals=2))
    (measurement,) = scored(short)
    losses: Any = measurement.record["landscape_losses"]
    assert len(losses) == 3


def test_seconds_are_scaled_to_the_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(network: nn.Module, data: object, *, recipe: Recipe, **options: object) -> Trace:
        seconds = (99.0, 2.0) if recipe.epochs == 2 else (4.0, 4.0, 4.0)
        return Trace(epoch_losses=(1.0,), landscape_losses=(1.0,), epoch_seconds=seconds)

    monkeypatch.setattr(training, "record_trace", recorded)
    objective = replace(MOTE, speed_cost="seconds", seed=99, recipe=Recipe(epochs=3))
    (measurement,) = scored(objective)
    assert measurement.record["speed_term"] == pytest.approx(PUBLISHED_SECONDS * 12 / (3 * 2))


def test_flops_are_scaled_to_the_published_median() -> None:
    objective = replace(MOTE, speed_cost="flops")
    yardstick = NasBench201().architecture(YARDSTICK).canonical
    light, middle = (
        float(str(m.record["speed_term"])) for m in scored(objective, [CELLS[0], yardstick])
    )
    same = float(str(scored(MOTE, [yardstick])[0].record["speed_term"]))
    assert middle == pytest.approx(same)
    assert light < middle


def test_diverging_training_is_a_failure() -> None:
    wild = replace(MOTE, recipe=replace(RECIPE, learning_rate=1e30), retries=2)
    first, second = wild.evaluate(CELLS[:2])
    assert isinstance(first, Failure)
    assert isinstance(second, Failure)
    assert "training diverged: the loss at " in first.reason
    assert first.reason.endswith("(in each of 3 attempts)")


def test_a_diverged_training_starts_again_from_other_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.Tensor] = []

    def recorded(network: nn.Module, *args: Any, **options: Any) -> Trace:
        seen.append(next(network.parameters()).detach().clone())
        if len(seen) < 3:
            raise EvaluationError("training diverged")
        return record_trace(network, *args, **options)

    monkeypatch.setattr(training, "record_trace", recorded)
    (measurement,) = scored(MOTE)
    assert measurement.record["attempts"] == 3
    assert measurement.record["seed"] == derive_seed("mote", 0, CELLS[0].key, 2)
    assert not torch.equal(seen[0], seen[1])


def test_missing_train_device() -> None:
    for device in ("xyzzy", "cuda:99"):
        with pytest.raises(DeviceError, match=f"Cannot train on device '{device}'"):
            replace(MOTE, train_device=device).evaluate(CELLS[:1])


def test_unknown_speed_cost() -> None:
    with pytest.raises(SettingsError, match="Unknown speed_cost 'hours'"):
        Mote(data=DATA, speed_cost="hours")  # type: ignore[arg-type]


def test_identity_names_what_changes_a_value() -> None:
    changes: list[dict[str, Any]] = [
        {"seed": 1},
        {"retries": 1},
        {"terms": "speed"},
        {"network": "full"},
        {"network": "published"},
        {"width": 0.5},
        {"depth": 2.0},
        {"initialisation": "orthogonal"},
        {"common_order": False},
        {"speed_cost": "flops"},
        {"recipe": Recipe(epochs=1)},
        {"calibration": PUBLISHED["darts"]},
        {"calibration_size": 3},
        {"data": take(load_digits(), classes=2, images_per_class=16)},
    ]
    identities = [MOTE.identity(), *(replace(MOTE, **change).identity() for change in changes)]
    assert len({json.dumps(identity) for identity in identities}) == 1 + len(changes)


# A space without published constants


def dense(chosen: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    width = int(chosen["width"])
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), width), nn.ReLU(), nn.Linear(width, classes)
    )


SPACE = FunctionSpace(
    name="dense", genes=(Gene("width", (1, 2, 4, 8, 16, 32)),), build_network=dense
)
DENSE = [SPACE.architecture(SPACE.write({"width": width})) for width in (1, 4, 32)]


def test_a_new_space_is_calibrated_from_its_own_architectures() -> None:
    objective = replace(MOTE, calibration_size=4)
    small, _, large = values(objective, DENSE)
    assert small < large
    found = values(objective, DENSE[1:2])
    assert values(objective, DENSE)[1:2] == found
    constants = replace(MOTE, calibration=PUBLISHED["nasbench201"])
    assert values(constants, DENSE[1:2]) != found


def test_calibration_does_not_depend_on_what_is_asked_first() -> None:
    module._space_calibration.cache_clear()
    one = values(MOTE, DENSE)
    module._space_calibration.cache_clear()
    assert values(MOTE, DENSE[::-1]) == one[::-1]


def test_calibration_of_a_space_that_cannot_be_trained() -> None:
    wild = replace(MOTE, recipe=replace(RECIPE, learning_rate=1e30), retries=0)
    trained = MOTE.train(DENSE[0])
    assert isinstance(trained, training.Training)
    outcome = wild.judge(DENSE[0], trained)
    assert isinstance(outcome, Failure)
    assert "calibration failed" in outcome.reason


def test_identity_of_a_wall_clock_value_names_the_host() -> None:
    assert "host" in json.dumps(replace(MOTE, speed_cost="seconds").identity())


def with_dropout(chosen: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Dropout(0.5), dense(chosen, shape, classes))


def test_dropout_is_seeded_too() -> None:
    space = replace(SPACE, name="with-dropout", build_network=with_dropout)
    architectures = [space.architecture(dense_one.genotype) for dense_one in DENSE]
    first = values(MOTE, architectures)
    torch.rand(3)
    assert values(MOTE, architectures) == first


def test_calibration_survives_an_architecture_that_cannot_be_built() -> None:
    def fragile(chosen: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        if chosen["width"] == 1:
            raise RuntimeError("this one cannot be built")
        return dense(chosen, shape, classes)

    space = replace(SPACE, name="fragile", build_network=fragile)
    broken, good = MOTE.evaluate([space.architecture(a.genotype) for a in DENSE[:2]])
    assert broken == Failure("RuntimeError: this one cannot be built")
    assert isinstance(good, Measurement)
    assert good.record["calibration"]


@pytest.mark.parametrize("options", [{"calibration_size": 2}, {"retries": -1}])
def test_impossible_options(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        replace(MOTE, **options)
