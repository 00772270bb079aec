"""The whole way, from an empty folder to a model that runs without motemo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clean_process import run_model, runtime_packages
from command_line import Run
from safetensors.torch import load_file

import motemo

DATA = ["--data-classes", "3", "--images-per-class", "30"]
OBJECTIVES = ["--objective", "mote", "--objective", "params", "--set", "mote.recipe.epochs=1"]


@pytest.mark.slow
def test_search_select_train_export_run(run: Run, tmp_path: Path) -> None:
    def said(*command: str) -> list[dict[str, Any]]:
        answer = run(*command, "--json")
        assert answer.status == 0, answer.err
        found: list[dict[str, Any]] = json.loads(answer.out)
        return found

    searched = run("search", *DATA, *OBJECTIVES, "--trials", "6", "--out", "runs/story")
    assert searched.status == 0, searched.err

    finalists = [str(pick["trial"]) for pick in said("select", "runs/story", "--spread", "3")]
    chosen = [word for trial in finalists for word in ("--trial", trial)]
    trained = run("train", "runs/story", *chosen, "--epochs", "1")
    assert trained.status == 0, trained.err

    (best,) = said("select", "runs/story", "--prefer", "accuracy")
    assert str(best["trial"]) in finalists
    assert "accuracy" in best["measurements"]

    (exported,) = said("export", "runs/story", "--trial", str(best["trial"]))
    assert exported["trained"]
    _check_without_motemo(Path(exported["folder"]).absolute(), best["arch"], tmp_path)


def _check_without_motemo(folder: Path, genotype: str, tmp_path: Path) -> None:
    """Compare what a process without motemo and torch computes with the torch network."""
    facts = json.loads((folder / "architecture.json").read_text())
    assert facts["genotype"] == genotype
    shape = tuple(facts["input_shape"])
    network = motemo.NasBench201().architecture(genotype).build(input_shape=shape, classes=3)
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    images = np.random.default_rng(0).random((4, *shape), dtype=np.float32)
    mean, std = (np.float32(facts[name]).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy((images - mean) / std)).numpy()

    np.save(tmp_path / "images.npy", images)
    (tmp_path / "packages").mkdir()
    answers = run_model(folder, runtime_packages(tmp_path / "packages"), tmp_path / "images.npy")
    assert np.array([logits for _, logits in answers]) == pytest.approx(expected, abs=1e-4)
    assert [name for name, _ in answers] == [facts["class_names"][i] for i in expected.argmax(1)]
