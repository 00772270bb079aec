"""Learning from a few labels: features, predictors, sequences of weak ones."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

import motemo
from motemo.correlation.few_labels import Cells, learn
from motemo.errors import SettingsError
from motemo.objectives.features import WIRING, features, normal_scores, wiring
from motemo.objectives.positions import Floats
from motemo.objectives.predictor import (
    Average,
    Predictor,
    Process,
    Trees,
    weak_predictors,
)

PREDICTORS: tuple[Predictor, ...] = (
    Trees(trees=50),
    Process(),
    Average(members=(Process(), Trees())),
)


def pool(n: int = 160, seed: int = 0) -> tuple[Floats, Floats]:
    """Return features and labels: a crooked sum of four of six features."""
    x = np.random.default_rng(seed).normal(size=(n, 6))
    y = np.exp(x[:, 0] + 0.8 * x[:, 1] + 0.5 * x[:, 2] * x[:, 3])
    return x, y


def tau(a: Floats, b: Floats) -> float:
    return float(kendalltau(a, b).statistic)


# Predictors


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_predictor_beats_its_best_feature(predictor: Predictor) -> None:
    x, y = pool()
    prediction = predictor.fit(x[:60], y[:60]).predict(x[60:])
    best = max(abs(tau(x[60:, j], y[60:])) for j in range(x.shape[1]))
    assert tau(prediction.mean, y[60:]) > best + 0.05
    assert prediction.mean.shape == prediction.std.shape == (100,)
    assert (prediction.std > 0).all()


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_uncertainty_tells_known_from_unknown(predictor: Predictor) -> None:
    x, y = pool()
    model = predictor.fit(x[:60], y[:60])
    assert model.predict(x[:60]).std.mean() < model.predict(x[60:]).std.mean()


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_units_of_features_and_labels_do_not_matter(predictor: Predictor) -> None:
    x, y = pool()
    plain = predictor.fit(x[:60], y[:60]).predict(x[60:])
    moved = predictor.fit(4 * x[:60], 64 * y[:60]).predict(4 * x[60:])
    assert moved.mean == pytest.approx(64 * plain.mean, rel=1e-3)
    assert moved.std == pytest.approx(64 * plain.std, rel=1e-3)


def test_process_does_not_run_away_beyond_the_labels() -> None:
    x, y = pool()
    prediction = Process().fit(x[:60], y[:60]).predict(3 * x)
    assert prediction.mean.max() < y[:60].max() + 3 * np.ptp(y[:60])


PRINTS = """
import numpy as np
from motemo.objectives.predictor import Average
x = np.random.default_rng(0).normal(size=(60, 5))
p = Average().fit(x[:30], x[:30, 0] ** 3 + x[:30, 1]).predict(x)
print(p.mean.tobytes().hex() + p.std.tobytes().hex())
"""


def test_predictions_repeat_in_other_processes_with_other_threads() -> None:
    def run(threads: int) -> str:
        return subprocess.run(
            [sys.executable, "-c", PRINTS],
            capture_output=True,
            check=True,
            text=True,
            env={"OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)},
        ).stdout

    assert run(1) == run(2)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((9, 2)), np.arange(8.0), "got \\(9, 2\\) and \\(8,\\)"),
        (np.full((9, 2), math.nan), np.arange(9.0), "finite"),
        (np.zeros((9, 2)), np.full(9, math.inf), "finite"),
        (np.zeros((4, 2)), np.arange(4.0), "at least 5 labels that are not all equal; got 4"),
        (np.zeros((9, 2)), np.zeros(9), "got 9, 1 of them different"),
    ],
)
def test_what_cannot_be_learned(features: Floats, labels: Floats, message: str) -> None:
    for predictor in PREDICTORS:
        with pytest.raises(SettingsError, match=message):
            predictor.fit(features, labels)


def test_labels_may_be_tied() -> None:
    x, y = pool(40)
    for predictor in PREDICTORS:
        prediction = predictor.fit(x, np.sign(y - np.median(y))).predict(x)
        assert np.isfinite(prediction.mean).all()
        assert np.isfinite(prediction.std).all()
        assert tau(prediction.mean, y) > 0.3


# Weak predictors


def test_weak_predictors_find_the_best_and_train_nothing_twice() -> None:
    x, y = pool(400)
    trained: list[int] = []

    def train(places: Sequence[int]) -> list[float]:
        trained.extend(places)
        return [float(y[place]) for place in places]

    found = weak_predictors(x, train, budget=50, rounds=5, predictor=Trees(trees=50), seed=1)
    assert list(found.labels) == trained
    assert len(set(trained)) == 50
    assert all(found.labels[place] == y[place] for place in trained)
    # later labels are better than the random ones of the first round
    assert np.median(y[trained[40:]]) > 2 * np.median(y[trained[:10]])
    top = set(np.argsort(-y)[:10].tolist())
    assert len(top & set(np.argsort(-found.prediction.mean)[:40].tolist())) >= 7


@pytest.mark.parametrize(("budget", "rounds"), [(20, 5), (401, 2), (50, 0)])
def test_budget_that_cannot_be_spent(budget: int, rounds: int) -> None:
    with pytest.raises(SettingsError, match="Weak predictors need"):
        weak_predictors(pool(400)[0], lambda _: [], budget=budget, rounds=rounds)


# Features


class Branches(nn.Module):
    """A 3x3 convolution, then two branches: a 1x1 and a 3x3 convolution, or a way round."""

    def __init__(self, cut: bool, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.factor = 0.0 if cut else 1.0
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(images)
        x = self.third(self.second(x)) + self.factor * x
        logits: torch.Tensor = self.last(torch.flatten(self.pool(x), 1))
        return logits


def _branches(values: Any, shape: tuple[int, int, int], classes: int) -> nn.Module:
    return Branches(values["cut"], classes)


BRANCHES = motemo.FunctionSpace(
    name="branches",
    genes=(motemo.Gene("cut", (False, True)), motemo.Gene("other", ("a", "b"))),
    build_network=_branches,
)


def branches(cut: bool) -> motemo.Architecture:
    return BRANCHES.architecture(BRANCHES.write({"cut": cut, "other": "a"}))


def test_wiring_by_hand() -> None:
    # two paths: conv3, conv1, conv3, linear; and conv3, linear
    assert dict(zip(WIRING, wiring(branches(cut=False)), strict=True)) == {
        "log_paths": pytest.approx(math.log(2)),
        "most_layers": 4,
        "mean_layers": 3,
        "fewest_layers": 2,
        "most_filters": 2,
        "mean_filters": 1.5,
        "fewest_filters": 1,
    }
    assert wiring(branches(cut=True)) == (0.0, 4, 4, 4, 2, 2, 2)


def test_features_by_hand() -> None:
    found = features(
        [branches(cut=False), branches(cut=True)], {"score": np.array([5.0, 1e9])}, wired=False
    )
    columns = dict(zip(found.names, found.values.T.tolist(), strict=True))
    assert columns["cut=True"] == [0, 1]
    assert columns["other=a"] == [1, 1]
    assert columns["count=True"] == [0, 1]
    assert columns["score"][0] < 0 < columns["score"][1]


def test_cells_that_compute_the_same_have_the_same_features() -> None:
    space = motemo.NasBench201()
    written = [
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
        "|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|",
    ]
    cells = [space.architecture(genotype) for genotype in written]
    assert cells[0].key == cells[1].key
    first, second = features(cells).values
    assert first.tolist() == second.tolist()


def test_normal_scores() -> None:
    scores = normal_scores(np.array([3.0, -1e30, 1e30, math.nan, math.inf]))
    assert scores[1] < scores[0] < scores[2]
    assert scores[0] == pytest.approx(0)
    assert scores[3:].tolist() == [0, 0]
    assert normal_scores(np.ones(4)).tolist() == [0] * 4


def test_features_that_cannot_be() -> None:
    with pytest.raises(SettingsError, match="at least one architecture"):
        features([])
    with pytest.raises(SettingsError, match="'score' has 3 values for 1"):
        features([branches(cut=True)], {"score": np.arange(3.0)}, wired=False)


# Few labels of a table


def test_cells_that_compute_the_same_are_never_predicted_from_each_other() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=60)
    twins = np.repeat(noise, 2)
    cells = Cells(twins[:, None], [str(i // 2) for i in range(120)], np.full(120, -1))
    luck = np.repeat(rng.normal(size=60), 2)  # nothing to learn but one's twin
    row = learn(cells, luck, truth="luck", labels=40, seed=0, draws=4, predictor=Trees(trees=20))
    assert abs(row.tau) < 0.2
    assert row.estimate == "predictor(40)"
    assert 40 <= row.n <= 80


def test_draws_of_labels_that_are_all_equal_are_left_out() -> None:
    x, _ = pool(30)
    cells = Cells(x, [str(i) for i in range(30)], np.full(30, -1))
    rare = np.where(np.arange(30) < 3, 1.0, 0.0)
    row = learn(cells, rare, truth="rare", labels=6, seed=0, draws=10, predictor=Process())
    assert -1 <= row.tau_low <= row.tau <= row.tau_high <= 1
    never = learn(cells, np.zeros(30), truth="never", labels=6, seed=0, predictor=Process())
    assert np.isnan([never.tau, never.tau_low, never.tau_high]).all()


def test_more_labels_rank_better() -> None:
    x, y = pool(300)
    cells = Cells(x, [str(i) for i in range(300)], np.repeat(np.arange(10), 30))
    rows = [
        learn(cells, y, truth="y", labels=n, seed=0, draws=3, predictor=Process())
        for n in (10, 100)
    ]
    assert rows[0].tau < rows[1].tau
    assert rows[1].tau_low < rows[1].tau < rows[1].tau_high
    assert rows[1].tau_in_flops_deciles > 0
    with pytest.raises(SettingsError, match="Cannot learn from 295 of 300 cells"):
        learn(cells, y, truth="y", labels=295, seed=0)


def test_correlate_adds_rows_of_predictors(tmp_path: Path) -> None:
    genes = (motemo.Gene("width", tuple(range(1, 31))),)
    space = motemo.FunctionSpace(name="widths", genes=genes, build_network=_wide)
    table = tmp_path / "cells.csv"
    lines = [f"'{space.write({'width': w})}',{w**0.5}" for w in range(1, 31)]
    table.write_text("arch,accuracy\n" + "\n".join(lines).replace('"', '""').replace("'", '"'))

    def run(labels: list[int]) -> Any:
        out = tmp_path / "out"
        return motemo.correlate(
            space, table, truths=["accuracy"], estimates=[], out=out, labels=labels, draws=2
        )

    row = run([12]).row("predictor(12)", "accuracy")
    assert row.n == 18
    assert row.tau > 0.7
    assert "predictor(12),accuracy,18," in (tmp_path / "out" / "correlate.csv").read_text()
    with pytest.raises(SettingsError, match="Cannot learn from 25 of 30 cells"):
        run([25])


def test_predictors_do_not_see_what_they_are_to_predict(tmp_path: Path) -> None:
    genes = (motemo.Gene("name", tuple(range(60))),)
    space = motemo.FunctionSpace(name="names", genes=genes, build_network=_alike)
    luck = np.random.default_rng(0).normal(size=60)
    table = tmp_path / "cells.csv"
    lines = [f"'{space.write({'name': n})}',{luck[n]}" for n in range(60)]
    table.write_text("arch,luck\n" + "\n".join(lines).replace('"', '""').replace("'", '"'))
    looked_up = motemo.TableLookup.read(
        table, column="luck", space=space, direction=motemo.Direction.MAXIMIZE
    )
    found = motemo.correlate(
        space,
        table,
        truths=["luck"],
        estimates={
            "truth": "column:luck",
            "both": "rank(truth,flops)",
            "flops": motemo.Flops(),
            "looked_up": looked_up,
            "hybrid": motemo.Hybrid(parts=(looked_up, motemo.Flops())),
        },
        out=tmp_path / "out",
        labels=[30],
        draws=4,
    )
    assert found.row("truth", "luck").tau == found.row("looked_up", "luck").tau == 1
    assert not abs(found.row("predictor(30)", "luck").tau) > 0.4


def _alike(values: Any, shape: tuple[int, int, int], classes: int) -> nn.Module:
    return _wide({"width": 2}, shape, classes)


def _wide(values: Any, shape: tuple[int, int, int], classes: int) -> nn.Module:
    width = values["width"]
    layers = (nn.Conv2d(shape[0], width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(width, classes))
