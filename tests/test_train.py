"""Training finalists for real: what they are trained on, that nothing is lost, what is written."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Run
from optuna.storages import InMemoryStorage
from safetensors.torch import load_file
from torch import nn

import motemo
from motemo.data.digits import load_digits
from motemo.data.pipeline import in_shape, resize, take
from motemo.errors import OutputError, SettingsError
from motemo.final_training import Trained, records_of, train_finalists
from motemo.finalist import Finalist, read_finalist, read_finalists
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Failure, Measurement
from motemo.objectives.accuracy import Accuracy, wilson
from motemo.objectives.full_training_folder import Place, train_in
from motemo.objectives.full_training_images import TrainingImages, split
from motemo.objectives.full_training_recipe import FullRecipe
from motemo.rescoring import best_trials
from motemo.space import Choice, Shape
from motemo.spaces.by_name import space_by_name
from motemo.storage import load_study, sqlite_url

DATA = take(load_digits(), images_per_class=30)
RECIPE = FullRecipe(epochs=2)
ACCURACY = Accuracy(data=DATA, recipe=RECIPE)
CPU = torch.device("cpu")


def perceptron(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    """One hidden layer. One of them is short of memory beside others, the widest overflows."""
    width = int(values["width"])
    if width == HUNGRY and multiprocessing.parent_process() is not None:
        raise torch.OutOfMemoryError("CUDA out of memory")
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(shape)), width),
        nn.BatchNorm1d(width),
        nn.Dropout(0.1),
        nn.ReLU(),
        nn.Linear(width, classes),
    )
    with torch.no_grad():
        network[-1].weight.mul_(1e38 if width == BROKEN else 1.0)  # type: ignore[operator]
    return network


HUNGRY, BROKEN = 32, 64
SPACE = motemo.FunctionSpace(
    name="perceptrons",
    genes=(motemo.Gene("width", (4, 16, HUNGRY, BROKEN)),),
    build_network=perceptron,
)
WIDTHS = (4, 16, HUNGRY, BROKEN)


def front_of(space: motemo.Space = SPACE) -> Front:
    """A search whose estimate is the width."""
    axes = (
        Axis("estimate", "", Direction.MAXIMIZE),
        Axis("cost", "", Direction.MINIMIZE),
    )
    members = [
        Member(
            trial=10 + number,
            architecture=space.architecture(space.write({"width": width})),
            measurements={
                "estimate": Measurement.exact(float(width), ""),
                "cost": Measurement.exact(float(width), ""),
            },
        )
        for number, width in enumerate(WIDTHS)
    ]
    return Front.of(members, axes=axes)


def place(folder: Path, width: int = 16) -> Place:
    return Place(SPACE.architecture(SPACE.write({"width": width})), 7, folder)


def outcome(finalist: Finalist) -> tuple[object, ...]:
    """All that must repeat: everything but seconds."""
    curve = [(e.epoch, e.train_loss, e.val_loss, e.val_accuracy) for e in finalist.curve]
    return finalist.val_accuracy, curve, finalist.weights.read_bytes()


def leaving_at(wanted: int) -> Callable[[int, int], None]:
    def leave(step: int, _steps: int) -> None:
        if step == wanted:
            raise KeyboardInterrupt

    return leave


# The images


def test_split_is_disjoint_stratified_and_repeats() -> None:
    rows = split(DATA, 0.2, 3)
    assert sorted([*rows.train, *rows.val]) == list(range(len(DATA)))
    assert np.bincount(DATA.labels[rows.val]).tolist() == [6] * 10
    split.cache_clear()
    again, other = split(DATA, 0.2, 3), split(DATA, 0.2, 4)
    assert np.array_equal(rows.val, again.val)
    assert not np.array_equal(rows.val, other.val)


@pytest.mark.parametrize(("share", "held_out"), [(0.001, 1), (0.999, 29)])
def test_split_leaves_none_of_a_class_out(share: float, held_out: int) -> None:
    assert np.bincount(DATA.labels[split(DATA, share, 0).val]).tolist() == [held_out] * 10


def test_split_of_a_single_image() -> None:
    labels = np.array([0] + [1] * 19)
    few = replace(DATA, images=DATA.images[:20], labels=labels, class_names=("a", "b"))
    with pytest.raises(SettingsError, match=r"class 'a' of .* has a single image"):
        Accuracy(data=few)


def test_batches_are_whole_images_cropped_and_mirrored() -> None:
    recipe = replace(RECIPE, flip="always")
    rows = split(DATA, 0.1, 0)
    images = TrainingImages.of(DATA, rows, recipe, device=CPU)
    plain = DATA.images[rows.train].astype(np.float32) / 255
    assert images.mean[0] == pytest.approx(plain.mean(), rel=1e-5)
    assert images.std[0] == pytest.approx(plain.std(), rel=1e-5)
    originals = {((image - images.mean[0]) / images.std[0]).round(3).tobytes() for image in plain}
    kept, mirrored = 0, 0
    for inputs, labels in images.batches(recipe, seed=1):
        assert inputs.shape == (16, 1, 8, 8)
        assert labels.shape == (16,)
        for image in inputs.numpy():
            kept += image.round(3).tobytes() in originals
            mirrored += np.ascontiguousarray(image[:, :, ::-1]).round(3).tobytes() in originals
    assert min(kept, mirrored) > 90
    assert kept + mirrored >= 16 * (270 // 16)


def test_crops_move_by_an_eighth() -> None:
    data = resize(DATA, (16, 16))
    images = TrainingImages.of(data, split(data, 0.1, 0), RECIPE, device=CPU)
    assert images.train.shape == (270, 20, 20, 1)
    first, same, other = (next(images.batches(RECIPE, seed=seed))[0] for seed in (1, 1, 2))
    assert first.shape == (16, 1, 16, 16)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_tiny_images_are_not_cropped() -> None:
    images = TrainingImages.of(DATA, split(DATA, 0.1, 0), RECIPE, device=CPU)
    assert images.train.shape == (270, 8, 8, 1)


@pytest.mark.parametrize(
    ("flip", "coloured", "expected"),
    [
        ("colour", False, False),
        ("colour", True, True),
        ("always", False, True),
        ("never", True, False),
    ],
)
def test_what_is_mirrored(flip: str, coloured: bool, expected: bool) -> None:
    assert FullRecipe(flip=flip).flips(coloured) is expected  # type: ignore[arg-type]


def test_grey_images_in_three_channels_have_no_colours() -> None:
    grey = in_shape(DATA, (3, 16, 16))
    assert grey.image_shape == (3, 16, 16)
    assert not grey.coloured
    shifted = replace(grey, images=grey.images + np.array([0, 1, 0], np.uint8)[:, None, None])
    assert shifted.coloured
    assert in_shape(shifted, (1, 8, 8)).image_shape == (1, 8, 8)


# The recipe


def test_rate_rises_and_falls() -> None:
    recipe = FullRecipe(learning_rate=1.0, warmup=0.2)
    rates = [recipe.rate(step, 100) for step in range(100)]
    assert np.argmax(rates) in (19, 20)
    assert max(rates) == pytest.approx(1.0, abs=1e-2)
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 1e-3


@pytest.mark.parametrize(
    ("images", "batch", "steps"), [(45_000, 128, 351), (1_600, 50, 32), (100, 16, 6), (5, 5, 1)]
)
def test_few_images_get_smaller_batches(images: int, batch: int, steps: int) -> None:
    assert FullRecipe().batch(images) == batch
    assert FullRecipe().steps(images) == steps


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": 0.0}, {"warmup": 1.0}, {"optimizer": "lion"}, {"flip": "up"}],
)
def test_recipe_that_cannot_work(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        FullRecipe(**wrong)  # type: ignore[arg-type]


# The objective


def test_wilson_interval() -> None:
    assert wilson(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson(1.0, 10)[1] == wilson(0.0, 10)[0] + 1.0 == 1.0


def test_accuracy_learns_digits() -> None:
    objective = Accuracy(data=load_digits(), recipe=FullRecipe(epochs=16))
    architecture = SPACE.architecture(SPACE.write({"width": 32}))
    [measured] = objective.evaluate([architecture])
    assert isinstance(measured, Measurement)
    assert measured.value > 0.9
    assert measured.low < measured.value < measured.high
    assert measured.record["val_images"] == 179
    losses = measured.record["epoch_losses"]
    assert isinstance(losses, list)
    assert len(losses) == 16
    assert losses[-1] < losses[0]  # type: ignore[operator]


def test_diverged_training_is_a_failure() -> None:
    [failed] = ACCURACY.evaluate([SPACE.architecture(SPACE.write({"width": BROKEN}))])
    assert isinstance(failed, Failure)
    assert "training diverged: the training loss of epoch 1 is" in failed.reason


# One finalist in its folder


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path, optimizer: str) -> None:
    recipe = replace(RECIPE, epochs=3, optimizer=optimizer)  # type: ignore[arg-type]
    accuracy = replace(ACCURACY, recipe=recipe)
    whole = train_in(place(tmp_path / "whole"), accuracy)

    for middle in (20, 40):
        with pytest.raises(KeyboardInterrupt):
            train_in(place(tmp_path / "cut"), accuracy, on_step=leaving_at(middle))
        assert read_finalist(tmp_path / "cut") is None
    steps: list[int] = []
    cut = train_in(place(tmp_path / "cut"), accuracy, on_step=lambda step, _: steps.append(step))
    assert steps == [*range(33, 49)]
    assert outcome(cut) == outcome(whole)
    assert sorted(path.name for path in cut.folder.iterdir()) == [
        "finalist.json",
        "weights.safetensors",
    ]


def test_weights_load_back_and_give_the_accuracy_again(tmp_path: Path) -> None:
    trained = train_in(place(tmp_path), ACCURACY)
    assert read_finalist(tmp_path) == trained
    network = SPACE.architecture(trained.genotype).build(
        input_shape=trained.input_shape, classes=trained.classes
    )
    network.load_state_dict(load_file(trained.weights))
    rows = split(DATA, 0.1, 0).val
    images = DATA.images[rows].astype(np.float32) / 255
    mean, std = (np.array(x).reshape(1, -1, 1, 1) for x in (trained.mean, trained.std))
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(((images - mean) / std).astype(np.float32)))
    found = logits.argmax(dim=1).numpy() == DATA.labels[rows]
    assert trained.val_images == len(rows) == 30
    assert trained.val_accuracy == pytest.approx(found.mean(), abs=1e-9)


def test_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_in(place(tmp_path), ACCURACY, on_step=leaving_at(20))
    for other in (replace(ACCURACY, seed=1), replace(ACCURACY, recipe=FullRecipe(epochs=3))):
        with pytest.raises(OutputError, match="by other settings"):
            train_in(place(tmp_path), other)
    with pytest.raises(OutputError, match="another architecture"):
        train_in(place(tmp_path, width=4), ACCURACY)
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(OutputError, match="Delete it"):
        train_in(place(tmp_path), ACCURACY)


def test_damaged_finalist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trained" / "trial_0003").mkdir(parents=True)
    assert read_finalists(tmp_path) == ()
    for content in ("{", "[]", '{"format": 1}', '{"format": 9}'):
        (tmp_path / "trained" / "trial_0003" / "finalist.json").write_text(content)
        with pytest.raises(OutputError, match="to train this one again"):
            read_finalists(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("trial", "<b>"), ("epochs", True), ("val_accuracy", math.nan), ("class_names", [1, 2])],
)
def test_finalist_with_an_entry_of_another_kind_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    made = train_in(place(tmp_path), Accuracy(data=DATA, recipe=FullRecipe(epochs=1)))
    file = made.folder / "finalist.json"
    content = json.loads(file.read_text())
    assert read_finalist(tmp_path) == made
    file.write_text(json.dumps({**content, name: value}))
    with pytest.raises(OutputError, match="not of the right kind"):
        read_finalist(tmp_path)


# Several finalists


def trained(folder: Path, **options: object) -> Trained:
    return train_finalists(front_of(), ACCURACY, folder, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def all_trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run") / "trained"
    return trained(folder, k=4, together=2, storage=sqlite_url(folder.parent / "study.db"))


def test_one_that_diverges_does_not_hold_the_others_up(all_trained: Trained) -> None:
    by_trial = {finalist.trial: finalist for finalist in all_trained.finalists}
    assert sorted(by_trial) == [10, 11, 12, 13]
    failed = by_trial.pop(13)
    assert failed.val_accuracy is None
    assert "diverged" in str(failed.failure)
    assert not failed.weights.exists()
    assert all(one.failure is None and one.weights.exists() for one in by_trial.values())
    assert [m.trial for m in all_trained.front.evaluated] == [10, 11, 12]


def test_the_front_has_accuracy_in_place_of_the_estimate(all_trained: Trained) -> None:
    front = all_trained.front
    assert [axis.name for axis in front.axes] == ["accuracy", "cost"]
    assert all_trained.replaced.name == "estimate"
    by_trial = {finalist.trial: finalist for finalist in all_trained.finalists}
    for member in front.evaluated:
        measured, finalist = member.measurements["accuracy"], by_trial[member.trial]
        assert (measured.value, measured.low, measured.high) == (
            finalist.val_accuracy,
            finalist.val_low,
            finalist.val_high,
        )
    run = all_trained.finalists[0].folder.parents[1]
    stored = motemo.read_front(load_study(sqlite_url(run / "study.db"), "trained"), space=SPACE)
    values = [
        sorted(m.measurements["accuracy"].value for m in one.evaluated) for one in (stored, front)
    ]
    assert values[0] == values[1]
    assert read_finalists(run) == tuple(sorted(by_trial.values(), key=lambda one: one.trial))


def test_estimate_and_truth_side_by_side(all_trained: Trained) -> None:
    rows = records_of(all_trained)
    assert [row["trial"] for row in rows] == [13, 12, 11, 10]
    assert [row["estimate_rank"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["accuracy_rank"] is None
    reached = [row.finalist.val_accuracy or 0.0 for row in all_trained.rows[1:]]
    ranks = [row["accuracy_rank"] for row in rows[1:]]
    assert ranks == [1 + sum(other > one for other in reached) for one in reached]
    pairs = [(a, b) for a, b in product(range(3), repeat=2) if a < b]
    concordant = sum(np.sign(reached[a] - reached[b]) for a, b in pairs)
    if len(set(reached)) == 3:
        assert all_trained.agreement.tau == pytest.approx(concordant / 3)
    assert all_trained.agreement.n == 3
    assert np.isnan(all_trained.agreement.tau_low)


def test_nothing_is_trained_twice_and_values_do_not_depend_on_company(
    all_trained: Trained, tmp_path: Path
) -> None:
    steps: list[int] = []
    first = trained(tmp_path / "trained", trials=[11])
    more = trained(
        tmp_path / "trained", trials=[10], report=lambda progress: steps.append(progress.trial)
    )
    assert {finalist.trial for finalist in first.finalists} == {11}
    assert {finalist.trial for finalist in more.finalists} == {10, 11}
    by_trial = {finalist.trial: finalist for finalist in all_trained.finalists}
    for finalist in more.finalists:
        assert outcome(finalist) == outcome(by_trial[finalist.trial])
    stamps = [finalist.weights.stat().st_mtime_ns for finalist in more.finalists]
    trained(tmp_path / "trained", trials=[10, 11])
    assert [finalist.weights.stat().st_mtime_ns for finalist in more.finalists] == stamps


def test_files_that_are_gone_are_made_again(tmp_path: Path) -> None:
    storage = sqlite_url(tmp_path / "study.db")
    [before] = trained(tmp_path / "trained", trials=[10], storage=storage).finalists
    known = outcome(before)
    shutil.rmtree(before.folder)
    [after] = trained(tmp_path / "trained", trials=[10], storage=storage).finalists
    assert outcome(after) == known


def test_shortage_of_memory_is_not_held_against_a_finalist(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing, "parent_process", lambda: "somebody")
        short = trained(tmp_path / "trained", trials=[11, 12])
    assert [finalist.trial for finalist in short.finalists] == [11]
    assert "Trial 12 is out of memory on cpu, even alone" in caplog.text
    later = trained(tmp_path / "trained", trials=[11, 12])
    assert [finalist.failure for finalist in later.finalists] == [None, None]


def test_other_settings_are_named(tmp_path: Path) -> None:
    trained(tmp_path / "trained", trials=[10])
    other = replace(ACCURACY, recipe=replace(RECIPE, epochs=3), seed=5)
    with pytest.raises(SettingsError) as raised:
        train_finalists(front_of(), other, tmp_path / "trained", trials=[10])
    assert "recipe.epochs: stored 2, given 3" in str(raised.value)
    assert "seed: stored 0, given 5" in str(raised.value)
    assert "--name" in str(raised.value)


def test_finalists_of_another_space_are_not_taken_for_these(tmp_path: Path) -> None:
    trained(tmp_path / "trained", trials=[10])
    changed = front_of(replace(SPACE, version="2"))
    with pytest.raises(SettingsError, match=r'space.version: stored "1", given "2"'):
        train_finalists(changed, ACCURACY, tmp_path / "trained", trials=[10])


def test_trial_that_the_search_lacks(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no trial 99"):
        trained(tmp_path / "trained", trials=[99])


def test_space_that_cannot_be_sent_is_trained_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = replace(SPACE, build_network=lambda *given: perceptron(*given))
    found = train_finalists(
        front_of(own), ACCURACY, tmp_path / "trained", trials=[10, 11], together=2
    )
    assert [finalist.failure for finalist in found.finalists] == [None, None]
    assert "one at a time" in caplog.text


def test_space_of_a_file_is_made_anew_in_each_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import motemo\nfrom test_train import perceptron\n"
        "SPACE = motemo.FunctionSpace(name='mine', genes=(motemo.Gene('width', (4, 16, 32, 64)),),"
        " build_network=lambda *given: perceptron(*given))\n"
    )
    found = train_finalists(
        front_of(space_by_name(f"{file}:SPACE")),
        ACCURACY,
        tmp_path / "trained",
        trials=[10, 11],
        together=2,
        space_name=f"{file}:SPACE",
    )
    assert [finalist.failure for finalist in found.finalists] == [None, None]
    assert "one at a time" not in caplog.text


def test_best_trials_are_those_that_rescoring_takes() -> None:
    front = front_of()
    objective = motemo.Params()
    cheapest = motemo.rescore(front, objective, 2, replaces="cost", storage=InMemoryStorage())
    assert sorted(best_trials(front, 2)) == [member.trial for member in cheapest.evaluated]
    assert sorted(best_trials(front, 9)) == [10, 11, 12, 13]


# The command


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of small networks, found by a search from Python."""
    folder = tmp_path_factory.mktemp("searched")
    space = motemo.NasBench201(channels=4, cells=1)
    from motemo.objectives.proxies.synflow import SynFlow

    motemo.search(
        space,
        [SynFlow(data=DATA), motemo.Params()],
        trials=4,
        sampler="random",
        storage=sqlite_url(folder / "study.db"),
    )
    return folder


@pytest.fixture
def copied(searched: Path, tmp_path: Path) -> str:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.db").write_bytes((searched / "study.db").read_bytes())
    return "run"


SMALL = ("--data", "digits", "--images-per-class", "30", "--epochs", "2", "--together", "1")


def test_train_from_the_command_line(run: Run, copied: str) -> None:
    first = run("train", copied, "--top", "2", *SMALL)
    assert first.status == 0, first.err
    assert "Kendall" in first.out
    assert "accuracy" in first.out
    files = {"front.csv", "front.json", "front.html", "comparison.csv"}
    assert files <= {path.name for path in Path("run/trained").iterdir()}
    finalists = read_finalists(Path("run"))
    assert len(finalists) == 2
    assert finalists[0].recipe["recipe"] == {  # what was used, not what was left to the optimizer
        **motemo.FullRecipe(epochs=2).identity(),
        "learning_rate": 0.003,
        "weight_decay": 0.05,
    }

    again = run("train", copied, "--top", "2", "--json", "--quiet", *SMALL)
    assert (again.status, again.err) == (0, "")
    told = json.loads(again.out)
    assert {row["trial"]: row["val_accuracy"] for row in told["finalists"]} == {
        finalist.trial: finalist.val_accuracy for finalist in finalists
    }
    assert told["agreement"]["n"] == 2
    assert [axis["name"] for axis in told["front"]["axes"]] == ["accuracy", "params"]

    other = run("train", copied, "--top", "2", *SMALL, "--epochs", "3")
    assert other.status == 2
    assert "recipe.epochs: stored 2, given 3" in other.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--top", "2"), "Give --data"),
        (("--data", "digits", "--top", "2", "--trial", "1"), "not both"),
        (("--data", "digits", "--top", "0"), "at least 1"),
        (("--data", "digits", "--name", "../elsewhere"), "plain name"),
        (("--data", "digits", "--trial", "77"), "no trial 77"),
        (("--data", "digits", "--val-share", "1.5"), "val_share"),
        (("--data", "digits", "--replaces", "params"), "cannot replace 'params'"),
    ],
)
def test_settings_that_cannot_work(
    run: Run, copied: str, options: tuple[str, ...], message: str
) -> None:
    result = run("train", copied, *options)
    assert result.status == 2
    assert message in " ".join(result.err.split())
    assert not list(Path("run").glob("*/trial_*"))


def test_all_that_diverge(run: Run, copied: str) -> None:
    absurd = ("--set", "accuracy.recipe.learning_rate=1e30")
    result = run("train", copied, "--top", "2", *SMALL, *absurd)
    assert result.status == 1
    assert "No finalist could be trained" in result.err
    assert "diverged" in result.err


def test_killed_training_goes_on_to_the_same_result(
    run: Run, copied: str, searched: Path, tmp_path: Path
) -> None:
    [trial] = best_trials(
        motemo.read_front(load_study(sqlite_url(searched / "study.db"), "motemo")), 1
    )
    options = ("--top", "1", "--set", "accuracy.recipe.epochs=8", *SMALL)
    command = [sys.executable, "-m", "motemo", "train", copied, *options]
    folder = tmp_path / "run" / "trained" / f"trial_{trial:04d}"
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (folder / "checkpoint.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "finalist.json").exists()
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert 1 <= len(checkpoint["state"]["curve"]) < 8

    assert run("train", copied, *options).status == 0
    assert run("train", copied, *options, "--name", "whole").status == 0
    [resumed], [whole] = (read_finalists(tmp_path / "run", name=n) for n in ("trained", "whole"))
    assert outcome(resumed) == outcome(whole)
    assert asdict(resumed.curve[0])["seconds"] == checkpoint["state"]["curve"][0]["seconds"]
