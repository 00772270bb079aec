"""The command line: what it prints, writes, refuses and leaves alone."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import Run
from PIL import Image

from motemo.export import check_equal
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES
from motemo.spaces.nasbench201 import NasBench201

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"
PATHLESS = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SMALL = ["--data-classes", "3", "--images-per-class", "12", "--set", "mote.recipe.epochs=1"]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all four objectives, made by the command in a process of its own."""
    folder = tmp_path_factory.mktemp("finished")
    completed = subprocess.run(
        [sys.executable, "-m", "motemo", "search", *SMALL, "--trials", "6", "--out", "runs/first"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert "Traceback" not in completed.stderr
    assert "6/6 evaluated" in completed.stderr or "/6 evaluated" in completed.stderr
    assert "latency_ms" in completed.stdout
    return folder / "runs" / "first"


def test_search_writes_everything(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"front.csv", "front.json", "front.html", "front.png", "models", "study.db"} <= names
    with (finished / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["trial", "arch", "mote", "params", "flops", "latency_ms"]
    document = json.loads((finished / "front.json").read_text())
    assert [m["arch"] for m in document["members"]] == [row["arch"] for row in rows]


def test_models_are_marked_untrained_and_equal_to_torch(finished: Path) -> None:
    models = sorted((finished / "models").iterdir())
    assert models
    for path in models:
        assert path.name.endswith(".untrained.onnx")
        model = onnx.load(path)
        onnx.checker.check_model(model)
        properties = {p.key: p.value for p in model.metadata_props}
        assert properties["motemo.weights"] == "untrained"
        network = NasBench201().architecture(properties["motemo.genotype"]).build(classes=3)
        check_equal(model, network.eval(), (3, 32, 32))


def test_front_is_shown_again_from_the_study_alone(finished: Path, run: Run) -> None:
    before = (finished / "front.csv").read_text()
    for name in ("front.csv", "front.json", "front.html", "front.png"):
        (finished / name).unlink()
    printed = run("front", str(finished), "--csv")
    assert printed.status == 0
    assert printed.out == before
    assert (finished / "front.csv").read_text() == before
    as_json = run("front", str(finished), "--json")
    assert json.loads(as_json.out)["members"]
    assert run("front", str(finished), "--html", "--png", "--onnx").status == 0
    assert (finished / "front.html").stat().st_size > 1_000_000
    assert (finished / "front.png").exists()
    by_url = run("front", f"sqlite:///{finished}/study.db", "--csv")
    assert by_url.out == before


def test_a_narrowed_front_leaves_the_files_of_the_run_alone(finished: Path, run: Run) -> None:
    before = _files(finished)
    rows = list(csv.DictReader(io.StringIO(run("front", str(finished), "--csv").out)))
    least = min(int(row["params"]) for row in rows)
    narrowed = run("front", str(finished), "--constraint", f"params<={least}", "--csv")
    kept = list(csv.DictReader(io.StringIO(narrowed.out)))
    assert {int(row["params"]) for row in kept} == {least}
    refused = run("front", str(finished), "--constraint", f"params<={least}", "--html")
    assert refused.status == 2
    assert "--out" in refused.err
    assert _files(finished) == before


def test_the_same_command_continues_and_other_settings_are_refused(
    finished: Path, run: Run
) -> None:
    again = run("search", *SMALL, "--trials", "6", "--out", str(finished))
    assert again.status == 0
    before = _files(finished)
    other = run("search", *SMALL, "--trials", "6", "--out", str(finished), "--seed", "1")
    assert other.status == 2
    assert "seed: stored 0, given 1" in other.err
    assert _files(finished) == before


def test_an_out_folder_of_another_run_is_refused(finished: Path, run: Run) -> None:
    before = _files(finished)
    other = run("search", "--out", str(finished), "--study-name", "other")
    assert other.status == 2
    assert "holds another run" in other.err
    assert _files(finished) == before


def test_an_out_folder_of_something_else_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "front.csv").write_text("precious")
    refused = run("search", "--out", str(tmp_path))
    assert refused.status == 2
    assert "would be overwritten" in refused.err
    assert _files(tmp_path) == {"front.csv": b"precious"}


def test_two_searches_in_one_folder_are_refused(run: Run, tmp_path: Path) -> None:
    from filelock import FileLock

    folder = tmp_path / "run"
    folder.mkdir()
    with FileLock(folder / ".lock"):
        refused = run("search", "--objective", "params", "--trials", "1", "--out", str(folder))
    assert refused.status == 2
    assert "Another motemo search" in refused.err


BAD_SEARCHES: list[tuple[list[str], str]] = [
    (["--space", "nasbench_201"], "Unknown space 'nasbench_201'. Did you mean 'nasbench201'?"),
    (["--objective", "mot"], "Unknown objective 'mot'. Did you mean 'mote'?"),
    (["--objective", "params", "--objective", "params"], "more than once"),
    (["--sampler", "nsga22"], "Unknown sampler 'nsga22'"),
    (["--device", "gpu"], "Unknown device 'gpu'"),
    (["--threads", "0"], "at least one thread"),
    (["--data", "nowhere.npz"], "nowhere.npz"),
    (["--data", "empty"], "empty"),
    (["--data", "one"], "two"),
    (["--data", "corrupt"], "broken.png"),
    (["--data-classes", "11"], "11"),
    (["--images-per-class", "0"], "0"),
    (["--image-size", "big"], "Malformed image size"),
    (["--input-shape", "32x32"], "Malformed input shape"),
    (["--constraint", "latency_ms<5"], "Malformed constraint"),
    (["--constraint", "latency_ms<=fast"], "Malformed constraint"),
    (["--objective", "params", "--constraint", "mote>=1"], "not measured"),
    (["--trials", "-1"], "at least 1 trial; got -1"),
    (["--trials", "many"], "integer"),
    (["--batch-size", "0"], "at least 1 candidate"),
    (["--storage", "nonsense"], "Cannot open the storage"),
    (["--storage", "sqlite:////proc/no/study.db"], "Cannot open the storage"),
    (["--storage", "sqlite:///notadb.db"], "Cannot open the storage"),
    (["--set", "mote.recipe.epoch=1"], "no 'epoch'"),
    (["--set", "mote.recipe.epochs=many"], "needs a value of type int"),
    (["--set", "mote.recipe.epochs=0"], "at least 1"),
    (["--set", "epochs=1"], "Malformed option"),
    (["--set", "mote.calibration=5"], "cannot be set by a text"),
    (["--set", "mote.recipe=null"], "cannot be set by a text"),
    (["--set", "mote.recipe.landscape_images=few"], "needs a value of type int or null"),
    (["--set", "mote.recipe.learning_rate=-1"], "learning_rate above 0"),
    (["--set", "mote.retries=-1"], "retries cannot be negative"),
    (["--set", "params.name=a b"], "must be a word"),
    (["--set", "latency_ms.protocol.max_runs=0"], "max_runs from 1 to"),
    (["--set", "latency_ms.protocol.warmup_ms=Infinity"], "needs a finite number; got inf"),
    (["--classes", "0"], "at least 1 class"),
    (["--threads", "9999"], "at most one per core"),
    (["--out", "what?"], "'?' or a '%'"),
    (["--out", "x" * 300], "Cannot use the output folder"),
    (["--out", "damaged"], "does not name a storage"),
    (["--out", "notadb.db"], "is a file"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD_SEARCHES, ids=[" ".join(given) for given, _ in BAD_SEARCHES]
)
def test_bad_input_ends_with_status_2_and_changes_nothing(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "notadb.db").write_text("this is no database " * 100)
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/run.json").write_text('{"storage": 5, "study_name": ["a"]}')
    for name in ("one/a", "corrupt/a", "corrupt/b"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name / "good.png")
    (tmp_path / "corrupt/b/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    before = _files(tmp_path)
    result = run("search", *arguments)
    assert result.status == 2
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert result.out == ""
    assert _files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "|none~0|"], "Malformed NAS-Bench-201 genotype"),
        (["--arch", CELL.replace("none", "max_pool")], "Unknown operation 'max_pool'"),
        (["--arch", PATHLESS], "no path"),
        (["--arch-file", "missing.txt"], "missing.txt"),
        ([], "No architecture given"),
    ],
)
def test_bad_genotypes_are_refused(run: Run, arguments: list[str], message: str) -> None:
    result = run("measure", *arguments)
    assert result.status == 2
    assert message in " ".join(result.err.split())


def test_an_unavailable_device_ends_with_a_message(run: Run) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without CUDA")
    for arguments in (
        ["measure", "--arch", CELL, "--objective", "mote", "--train-device", "cuda", *SMALL],
        ["measure", "--arch", CELL, "--objective", "latency_ms", "--device", "cuda"],
    ):
        result = run(*arguments)
        assert result.status == 1
        assert "vailable" in result.err
        assert "Traceback" not in result.err


def test_measure_prints_records_as_written(run: Run, tmp_path: Path) -> None:
    dead = "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"
    (tmp_path / "cells.txt").write_text(f"{dead}\n\n{CELL}\n")
    result = run("measure", "--arch", CELL, "--arch-file", "cells.txt", "--json")
    records: list[dict[str, Any]] = json.loads(result.out)
    assert result.status == 0
    assert [set(record) for record in records] == [
        {"arch", "objective", "device", "value", "unit", "low", "high"}
    ] * 6
    assert [record["arch"] for record in records] == [CELL, CELL, dead, dead, CELL, CELL]
    assert [record["objective"] for record in records] == ["params", "flops"] * 3
    assert records[0]["value"] == records[0]["low"] == records[0]["high"]
    assert records[2]["value"] == records[0]["value"], "dead edges are counted as written"


def test_measure_trains_and_times(run: Run) -> None:
    flags = ["--objective", "mote", "--objective", "latency_ms"]
    result = run("measure", "--arch", CELL, *flags, *SMALL, "--json")
    mote, latency = json.loads(result.out)
    assert mote["value"] > 0
    assert latency["unit"] == "ms"
    assert 0 < latency["low"] <= latency["value"] <= latency["high"]
    shown = run("measure", "--arch", CELL)
    assert "params" in shown.out


def test_a_training_that_diverges_is_a_failed_trial(run: Run, tmp_path: Path) -> None:
    diverging = ["--set", "mote.recipe.learning_rate=1e30", "--set", "mote.retries=0"]
    result = run("measure", "--arch", CELL, "--objective", "mote", *SMALL, *diverging, "--json")
    assert result.status == 1
    assert json.loads(result.out)[0]["value"] is None
    assert "training diverged" in result.err


def test_list_explains_a_space(run: Run) -> None:
    shown = " ".join(run("list", "--space", "nasbench201").out.split())
    assert "15,625" in shown
    assert "Dong and Yang" in shown
    assert "(6 genes): none, skip_connect" in shown
    assert "M multiply-adds at 3x32x32" in shown
    plain = json.loads(run("list", "--space", "nasbench201", "--json").out)
    assert plain["genotypes"] == 15_625
    assert plain["genes"][0]["name"] == "edge_0_1"
    assert plain["networks"]["full network"]["params"] > 10_000
    assert run("list", "--space", "nasbench202").status == 2


def test_list_and_help_answer_without_heavy_imports() -> None:
    program = (
        "import sys; from motemo import cli; sys.argv = ['motemo', sys.argv[1]]\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'sklearn', 'fvcore', 'pymoo', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for argument, expected in (("list", "nasbench201"), ("--help", "search")):
        completed = subprocess.run(
            [sys.executable, "-c", program, argument], capture_output=True, text=True, check=True
        )
        assert expected in completed.stdout


@pytest.mark.slow
def test_an_interrupted_search_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "motemo", "search", *SMALL, "--trials", "500"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as search:
        assert search.stderr is not None
        assert "0/500 evaluated" in search.stderr.readline()
        search.send_signal(signal.SIGINT)
        rest = search.stderr.read()
    assert search.returncode == 130
    assert "Run the same command again to continue" in rest
    assert "Traceback" not in rest


def test_every_registered_name_is_listed(run: Run) -> None:
    listing = run("list").out
    for registry in (SPACES, OBJECTIVES, SAMPLERS, DEVICES):
        for entry in registry:
            assert entry.name in listing


def test_a_failing_front_and_an_unknown_run_are_explained(run: Run, tmp_path: Path) -> None:
    missing = run("front", str(tmp_path / "nothing"))
    assert missing.status == 2
    assert "no motemo run" in missing.err
    gone = run("front", f"sqlite:///{tmp_path}/gone.db")
    assert gone.status == 2
    assert "does not exist" in gone.err
    assert _files(tmp_path) == {}


def test_another_run_is_not_overwritten_by_a_front(
    finished: Path, run: Run, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    run("search", "--objective", "params", "--trials", "1", "--out", str(other))
    before = _files(other)
    refused = run("front", str(finished), "--csv", "--onnx", "--out", str(other))
    assert refused.status == 2
    assert "holds another run" in refused.err
    assert _files(other) == before
    assert run("front", str(finished), "--html", "--out", str(tmp_path / "report")).status == 0
    assert (tmp_path / "report/front.html").exists()


def test_markup_in_a_path_is_text(run: Run, tmp_path: Path) -> None:
    odd = "[/red] :secret: ü"
    result = run("search", "--objective", "params", "--trials", "1", "--out", odd)
    assert result.status == 0
    assert f"wrote {odd}/front.csv" in result.err
    assert (tmp_path / odd / "front.csv").exists()


def test_the_run_in_this_folder_is_shown(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("search", "--objective", "params", "--trials", "1", "--out", "here")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here/front.html").unlink()
    assert run("front", ".", "--html").status == 0
    assert (tmp_path / "here/front.html").exists()


def test_a_damaged_study_is_explained(run: Run, tmp_path: Path) -> None:
    command = ["search", "--objective", "params", "--trials", "8", "--out", "here"]
    run(*command)
    study = tmp_path / "here/study.db"
    content = bytearray(study.read_bytes())
    content[8192:] = b"\x55" * len(content[8192:])
    study.write_bytes(content)
    for result in (run(*command), run("front", "here")):
        assert result.status == 2
        assert "storage" in result.err
        assert "Traceback" not in result.err


def test_a_full_disk_is_explained(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    command = ["search", "--objective", "params", "--trials", "1", "--out", "here"]
    run(*command)
    before = (tmp_path / "here/front.csv").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = run("front", "here", "--csv")
    assert result.status == 1
    assert "No space left" in result.err
    assert (tmp_path / "here/front.csv").read_bytes() == before
    assert not list((tmp_path / "here").glob(".front*"))


def test_an_unavailable_device_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    for flags in (["--device", "cuda"], ["--train-device", "meta"]):
        result = run("search", *flags, "--out", "here")
        assert result.status == 1
        assert not (tmp_path / "here").exists()


def test_the_default_storage_may_be_named(run: Run, tmp_path: Path) -> None:
    flags = ["search", "--objective", "params", "--trials", "1", "--out", "here"]
    assert run(*flags).status == 0
    assert run(*flags, "--storage", "sqlite:///here/study.db").status == 0
    assert json.loads((tmp_path / "here/run.json").read_text())["storage"] is None


def test_a_run_without_its_marker_is_still_shown(run: Run, tmp_path: Path) -> None:
    run("search", "--objective", "params", "--trials", "1", "--out", "here")
    (tmp_path / "here/run.json").unlink()
    assert run("front", "here", "--csv").out == (tmp_path / "here/front.csv").read_text()


def test_two_documents_on_standard_output_are_refused(finished: Path, run: Run) -> None:
    refused = run("front", str(finished), "--csv", "--json")
    assert refused.status == 2
    assert refused.out == ""
