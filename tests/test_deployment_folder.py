"""Deployment folders: whole, true to the network, and of use without motemo and torch."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from clean_process import run_model, runtime_packages
from command_line import Run
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn

import motemo
from motemo.deployment.folder import deploy
from motemo.deployment.owned_folder import replace_folder
from motemo.errors import OutputError, SettingsError
from motemo.finalist import EpochResult, Finalist, finalist_folder, write_finalist
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement, Outcome, Stage
from motemo.space import Json

SHAPE = (1, 8, 8)
MEAN, STD = (0.3,), (0.4,)


@dataclass(frozen=True, kw_only=True)
class OnPi(motemo.Objective):
    """A latency, as `motemo front --device` measures it."""

    name: str = "latency_ms"
    unit: str = "ms"
    direction: Direction = Direction.MINIMIZE
    stage: Stage = Stage.MEASURE
    occupies_host: bool = False

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return [Measurement(value=5.0, unit="ms", low=4.5, high=5.5) for _ in architectures]

    def identity(self) -> dict[str, Json]:
        return {"device": {"name": "pi", "processor": "Cortex-A76", "threads": 4}}


def _finished(folder: Path) -> Path:
    """Search without training, in a process of its own."""
    objectives = ["--objective", "params", "--objective", "flops"]
    data = ["--data-classes", "3", "--images-per-class", "20"]
    command = ["search", *data, *objectives, "--sampler", "random", "--trials", "4", "--out", "run"]
    completed = subprocess.run(
        [sys.executable, "-m", "motemo", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of which one model was trained, and one export failed."""
    folder = _finished(tmp_path_factory.mktemp("exported"))
    trials = [member.trial for member in _front(folder).evaluated]
    _train(folder, trials[0])
    _train(folder, trials[1], failure="the loss became NaN")
    storage = f"sqlite:///{folder / 'study.db'}"
    motemo.rescore(
        _front(folder), OnPi(), 4, replaces="flops", storage=storage, study_name="motemo on pi 1"
    )
    return folder


def _front(folder: Path) -> Front:
    import optuna

    storage = f"sqlite:///{folder / 'study.db'}"
    return motemo.read_front(optuna.load_study(study_name="motemo", storage=storage))


def _train(run: Path, trial: int, *, failure: str | None = None) -> None:
    """Write a finalist as training does; a few images set its batch statistics."""
    member = next(m for m in _front(run).evaluated if m.trial == trial)
    network = member.architecture.build(input_shape=SHAPE, classes=3, seed=5)
    network(torch.from_numpy(_normalised(_images(64, seed=1))))
    weights = None if failure else save(network.state_dict())
    accuracy = None if failure else 0.75
    finalist = Finalist(
        trial=trial,
        genotype=member.architecture.genotype,
        space=member.architecture.space.name,
        input_shape=SHAPE,
        classes=3,
        class_names=("zero", "<one>", "two|three"),
        mean=MEAN,
        std=STD,
        val_accuracy=accuracy,
        val_low=None if failure else 0.6,
        val_high=None if failure else 0.9,
        val_images=20,
        epochs=2,
        recipe={"optimizer": "adamw"},
        curve=(EpochResult(epoch=1, train_loss=1, val_loss=1, val_accuracy=0.7, seconds=1),),
        failure=failure,
        folder=finalist_folder(run / "trained", trial),
    )
    write_finalist(finalist, weights)


def _images(count: int, *, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, *SHAPE), dtype=np.float32)


def _normalised(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return (images - np.float32(MEAN[0])) / np.float32(STD[0])


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runtime_packages(tmp_path_factory.mktemp("runtime"))


def _logits(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = network.eval()(torch.from_numpy(images)).numpy()
    return logits


# --- the command ---


def test_trained_and_untrained_models_without_motemo(
    run: Run, exported: Path, runtime: Path, tmp_path: Path
) -> None:
    trained, failed, untrained, *_ = _front(exported).evaluated
    numbers = [str(member.trial) for member in (trained, failed, untrained)]
    chosen = [word for number in numbers for word in ("--trial", number)]
    answer = run("export", str(exported), *chosen, "--program", "--json")
    assert answer.status == 0, answer.err
    records = json.loads(answer.out)
    assert [record["trained"] for record in records] == [True, False, False]
    assert [record["failure"] for record in records] == [
        None,
        "its training failed: the loss became NaN",
        None,
    ]
    good, bad = Path(records[0]["folder"]), Path(records[2]["folder"])
    assert good == exported / "deploy" / f"trial_{trained.trial:04d}"
    _check_trained(good, trained, runtime, tmp_path)
    _check_untrained(bad, untrained, runtime, tmp_path)


def _check_trained(folder: Path, member: Member, runtime: Path, tmp_path: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("model.onnx", "model_int8.onnx", "weights.safetensors", "program.pt2"),
        *("architecture.json", "architecture.svg", "MODEL_CARD.md", "run.py"),
    }
    onnx.checker.check_model(onnx.load(folder / "model.onnx"))
    facts = json.loads((folder / "architecture.json").read_text())
    network = member.architecture.build(input_shape=tuple(facts["input_shape"]), classes=3)
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    images = _images(5)
    expected = _logits(network, _normalised(images))

    np.save(tmp_path / "images.npy", images)
    answers = run_model(folder, runtime, tmp_path / "images.npy")
    assert np.array([logits for _, logits in answers]) == pytest.approx(expected, abs=1e-4)
    classes = ("zero", "<one>", "two|three")
    assert [name for name, _ in answers] == [classes[i] for i in expected.argmax(axis=1)]

    reduced = run_model(folder, runtime, tmp_path / "images.npy", "model_int8.onnx")
    apart = np.abs(np.array([logits for _, logits in reduced]) - expected).max()
    assert 0 < apart < 0.5 * np.abs(expected).max()

    program = torch.export.load(folder / "program.pt2").module()
    again = program(torch.from_numpy(_normalised(images))).detach().numpy()
    assert again == pytest.approx(expected, abs=1e-5)

    Image.fromarray((images[0, 0] * 255).astype(np.uint8)).resize((31, 57)).save(tmp_path / "x.png")
    [(name, _)] = run_model(folder, runtime, tmp_path / "x.png")
    assert name in classes

    card = (folder / "MODEL_CARD.md").read_text()
    assert "UNTRAINED" not in card
    assert "**75.00 %** of 20 held-out validation images" in card
    assert "rank 1 of 1 trained finalists" in card
    (params,) = re.findall(r"another input:.* and has 3: params ([\d.]+) M, flops [\d.]+ M", card)
    weights = sum(weights.numel() for weights in network.parameters())
    assert float(params) == pytest.approx(weights / 1e6, rel=0.01)
    assert "&lt;one&gt;, two\\|three" in card


def _check_untrained(folder: Path, member: Member, runtime: Path, tmp_path: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {"model.untrained.onnx", "model_int8.untrained.onnx"} < names
    assert {"weights.untrained.safetensors", "program.untrained.pt2"} < names
    properties = {p.key: p.value for p in onnx.load(folder / "model.untrained.onnx").metadata_props}
    assert properties["motemo.weights"] == "untrained"
    assert properties["motemo.genotype"] == member.architecture.genotype
    images = np.random.default_rng(0).random((2, 3, 32, 32), dtype=np.float32)
    np.save(tmp_path / "colours.npy", images)
    answers = run_model(folder, runtime, tmp_path / "colours.npy")
    expected = _logits(member.architecture.build(classes=3), images)
    assert np.array([logits for _, logits in answers]) == pytest.approx(expected, abs=1e-5)
    card = (folder / "MODEL_CARD.md").read_text()
    assert "**UNTRAINED.**" in card
    assert f"```text\n{member.architecture.genotype}\n```" in card
    assert " of 4 | computed |" in card
    assert "| latency\\_ms | lower | 5.0 ms ± 0.5 | 1 of 4 | pi (Cortex-A76, threads 4) |" in card


def test_the_command_of_a_card_makes_the_same_search(run: Run, exported: Path) -> None:
    trial = str(_front(exported).evaluated[2].trial)
    assert run("export", str(exported), "--trial", trial, "--out", "here").status == 0
    card = next(Path("here").glob("trial_*/MODEL_CARD.md")).read_text()
    (command,) = re.findall(r"^motemo (search .*)$", card, re.MULTILINE)
    again = run(*shlex.split(command), "--out", str(exported))
    assert again.status == 0, again.err  # other settings than those of the study are refused


def test_without_trials_it_exports_what_select_picks(run: Run, exported: Path) -> None:
    picked = [
        str(record["trial"]) for record in json.loads(run("select", str(exported), "--json").out)
    ]
    answer = run("export", str(exported), "--out", "here", "--json")
    made = [record for record in json.loads(answer.out) if record["folder"]]
    assert {str(record["trial"]) for record in made} <= set(picked)
    assert {path.name for path in Path("here").iterdir() if not path.name.startswith(".")} == {
        f"trial_{record['trial']:04d}" for record in made
    }


def test_the_command_refuses(run: Run, exported: Path) -> None:
    answer = run("export", str(exported), "--trial", "99")
    assert (answer.status, answer.out) == (2, "")
    assert "Trial 99 was not evaluated in this search" in answer.err
    answer = run("export", f"sqlite:///{exported / 'study.db'}")
    assert answer.status == 2
    assert "--out" in answer.err
    for command in ("export", "report"):
        answer = run(command, str(exported), "--name", "lang")
        assert answer.status == 2
        assert "Called otherwise: " in answer.err
    Path("file").touch()
    trial = str(_front(exported).evaluated[2].trial)
    answer = run("export", str(exported), "--trial", trial, "--out", "file/here")
    assert (answer.status, answer.out) == (2, "")
    assert "Cannot make file/here" in answer.err


def test_nothing_exported_is_an_error(run: Run, exported: Path) -> None:
    failed = _front(exported).evaluated[1].trial
    answer = run("export", str(exported), "--trial", str(failed), "--out", "here", "--quiet")
    assert answer.status == 1
    assert "the loss became NaN" in answer.err


# --- from Python, with a space of one's own ---


def _build(values: Any, input_shape: Any, classes: int) -> nn.Module:
    if values["width"] == 13:
        raise RuntimeError("13 brings bad luck")
    body = nn.Conv2d(input_shape[0], values["width"], 3)
    return nn.Sequential(
        body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(values["width"], classes)
    )


SPACE = motemo.FunctionSpace(
    name="<script>alert(1)</script>",
    genes=(motemo.Gene("width", (3, 5, 13)), motemo.Gene("note", ("`|*", "plain"))),
    build_network=_build,
)


def _own_front() -> Front:
    axes = [Axis("score", "", Direction.MAXIMIZE), Axis("params", "count", Direction.MINIMIZE)]
    members = [
        Member(
            number,
            SPACE.architecture(SPACE.write({"width": width, "note": "`|*"})),
            {
                "score": Measurement.exact(width, ""),
                "params": Measurement(value=width, unit="count", low=width - 1, high=width + 1),
            },
        )
        for number, width in enumerate((3, 5, 13))
    ]
    return Front.of(members, axes=axes)


def test_what_fails_for_one_model_does_not_touch_the_others(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    results = deploy(
        _own_front(), [2, 0], tmp_path / "out", on_progress=lambda *now: progress.append(now)
    )
    assert [result.trial for result in results] == [2, 0]
    assert results[0].folder is None
    assert "13 brings bad luck" in str(results[0].failure)
    assert results[1].folder == tmp_path / "out" / "trial_0000"
    assert "no images" in str(results[1].int8)
    assert not list(results[1].folder.glob("*int8*"))
    assert progress == [(0, 2), (1, 2), (2, 2)]


def test_a_card_shows_odd_names_as_text(tmp_path: Path) -> None:
    (result,) = deploy(_own_front(), [1], tmp_path)
    assert result.folder is not None
    card = (result.folder / "MODEL_CARD.md").read_text()
    before, _, rest = card.partition("````text\n" if "```` " in card else "```text\n")
    assert "<script>" not in before
    assert "&lt;script&gt;" in before
    assert rest.startswith(_own_front().evaluated[1].architecture.genotype)
    assert "<script>" not in (result.folder / "architecture.svg").read_text()
    assert "| params | lower | 5.0 count ± 1.0 | 2 of 3 | computed |" in card


def test_a_card_shows_odd_units_as_text(tmp_path: Path) -> None:
    front = _own_front()
    axes = [replace(axis, unit="<b>|`") for axis in front.axes]
    (result,) = deploy(Front.of(front.evaluated, axes=axes), [1], tmp_path)
    assert result.folder is not None
    card = (result.folder / "MODEL_CARD.md").read_text()
    assert "<b>" not in card
    assert r"5.0 &lt;b&gt;\|\` ± 1.0" in card


def test_weights_that_do_not_fit_are_a_failure(tmp_path: Path) -> None:
    front = _own_front()
    finalist = Finalist(
        trial=1,
        genotype=front.evaluated[1].architecture.genotype,
        space=SPACE.name,
        input_shape=SHAPE,
        classes=2,
        class_names=("a", "b"),
        mean=MEAN,
        std=STD,
        val_accuracy=0.5,
        val_low=0.4,
        val_high=0.6,
        val_images=10,
        epochs=1,
        recipe={},
        curve=(),
        failure=None,
        folder=tmp_path / "trained",
    )
    write_finalist(finalist, save({"other": torch.zeros(2)}))
    (result,) = deploy(front, [1], tmp_path / "out", finalists=[finalist])
    assert "does not fit" in str(result.failure)
    other = replace(finalist, genotype=front.evaluated[0].architecture.genotype)
    (result,) = deploy(front, [1], tmp_path / "out", finalists=[other])
    assert str(other.genotype) in str(result.failure)


def test_no_trial_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No trial"):
        deploy(_own_front(), [], tmp_path)


# --- folders ---


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "trial_0001"
    replace_folder(folder, {"trial": 1}, {"a": b"1", "b": b"2"})
    replace_folder(folder, {"trial": 1}, {"a": b"3"})
    assert sorted(path.name for path in folder.iterdir()) == ["a", "architecture.json"]
    assert (folder / "a").read_bytes() == b"3"
    assert [path.name for path in tmp_path.iterdir()] == ["trial_0001"]


def test_hidden_folders_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".trial_0001.backup").mkdir()
    replace_folder(tmp_path / "trial_0001", {}, {"a": b"1"})
    assert (tmp_path / ".trial_0001.backup").exists()


@pytest.mark.parametrize("change", ["added", "edited", "folder", "foreign"])
def test_what_motemo_did_not_write_is_not_lost(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "trial_0001"
    replace_folder(folder, {}, {"a": b"1"})
    match change:
        case "added":
            (folder / "mine.txt").write_text("mine")
        case "edited":
            (folder / "a").write_text("mine")
        case "folder":
            (folder / "mine").mkdir()
        case _:
            (folder / "architecture.json").write_text('{"files": {}}')
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(OutputError, match="would be lost"):
        replace_folder(folder, {}, {"a": b"2"})
    with pytest.raises(OutputError, match="would be lost"):
        deploy(_own_front(), [0, 1], tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


KILLED = """
import os, sys
from pathlib import Path
from motemo.deployment import owned_folder

left = int(sys.argv[2])
def dying(name):
    real = getattr(os, name)
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(*arguments, **options)
    setattr(os, name, call)
for name in ("replace", "rename", "fsync", "mkdir", "unlink", "rmdir"):
    dying(name)
owned_folder.replace_folder(Path(sys.argv[1]), {}, {"a": b"new", "b": b"new"})
"""


def test_a_kill_leaves_no_half_folder(tmp_path: Path) -> None:
    folder = tmp_path / "trial_0001"
    seen: set[str] = set()
    for moment in range(0, 40, 2):
        shutil.rmtree(folder, ignore_errors=True)
        replace_folder(folder, {}, {"a": b"old", "b": b"old"})
        ended = _kill_at(folder, moment)
        seen.add(_state(folder))
        if ended == 0:
            break
    assert {"old", "new"} <= seen <= {"old", "new", "none"}
    replace_folder(folder, {}, {"a": b"last", "b": b"last"})
    assert _state(folder) == "last"
    assert [path.name for path in tmp_path.iterdir()] == ["trial_0001"]


def _kill_at(folder: Path, moment: int) -> int:
    command = [sys.executable, "-c", KILLED, str(folder), str(moment)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def _state(folder: Path) -> str:
    """Return what the whole folder holds; 'half' if that is not one thing."""
    if not folder.exists():
        return "none"
    names: Sequence[str] = ("a", "b")
    contents = {(folder / name).read_text() if (folder / name).exists() else "" for name in names}
    whole = (folder / "architecture.json").exists() and len(contents) == 1
    return contents.pop() if whole else "half"
