"""`motemo correlate`: statistics against scipy and by hand, and whole runs, killed and resumed."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata, spearmanr

import motemo
from motemo import cli
from motemo.correlation.estimates import MeanRank, Scored, as_estimates, check_estimates, mean_rank
from motemo.correlation.sample import draw
from motemo.correlation.scores import Score, ScoreFile
from motemo.correlation.statistics import deciles, tau_in_top, tau_within, top_tenth
from motemo.errors import DataError, OutputError, SettingsError
from motemo.objective import Direction, Failure, Measurement, Outcome, Stage
from motemo.objectives.curves import Tse, TseE
from motemo.objectives.recipe import Recipe
from motemo.rank_correlation import (
    RESAMPLES,
    Bootstrap,
    kendall_tau,
    resamples_for,
    spearman_rho,
)
from motemo.spaces.nasbench201 import OPERATIONS, write_operations

SPACE = motemo.NasBench201()
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
CONV1 = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
CONV1_TWIN = "|none~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"


@dataclass(frozen=True, kw_only=True)
class Letters(motemo.Objective):
    """Scores a cell by what is written in it; fails, or gives NaN, where it is told to."""

    word: str = "conv_3x3"
    name: str = "letters"
    fails_on: str = "!"
    nan_on: str = "!"
    log: Path | None = None
    unit: str = field(default="", init=False)
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.MEASURE
    occupies_host: bool = False
    batched: bool = False
    pause: float = 0.0

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        if self.log is not None:
            with self.log.open("a") as file:
                file.writelines(f"{a.genotype}\n" for a in architectures)
        time.sleep(self.pause)
        return [self._one(a.genotype) for a in architectures]

    def _one(self, genotype: str) -> Outcome:
        if self.fails_on in genotype:
            return Failure("it was told to")
        if self.nan_on in genotype:
            return Measurement.exact(math.nan, "")
        return Measurement.exact(
            10 * genotype.count(self.word) + genotype.count("skip"), "", {"why": self.word}
        )

    def identity(self) -> dict[str, Any]:
        return {"word": self.word, "fails_on": self.fails_on, "nan_on": self.nan_on}


def _cells() -> list[str]:
    """Every cell over three operations on four of the edges: 81, some of them invalid."""
    chosen = [OPERATIONS[i] for i in (0, 1, 3)]
    return [
        write_operations([a, b, "none", c, d, "nor_conv_1x1"])
        for a, b, c, d in itertools.product(chosen, repeat=4)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["arch,acc,other,guess"]
    for place, cell in enumerate(_cells()):
        acc = 10 * cell.count("conv_3x3") + 3 * rng.normal()
        guess = "" if place % 10 == 9 else f"{acc + 5 * rng.normal():.4f}"
        lines.append(f"{cell},{acc:.4f},{'' if place % 7 == 6 else -acc},{guess}")
    path = tmp_path / "cells.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _run(table: Path, out: Path, **changes: Any) -> motemo.correlation.report.Correlations:
    arguments: dict[str, Any] = {
        "truths": ["acc"],
        "estimates": {"letters": Letters(), "flops": "column:guess", "params": "column:acc"},
        "cells": 40,
        "out": out,
    }
    return motemo.correlate(SPACE, table, **(arguments | changes))


# Statistics


def different(n: int) -> list[str]:
    """Return the keys of n different networks."""
    return [str(number) for number in range(n)]


@pytest.mark.parametrize("seed", range(3))
def test_correlations_are_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 8, 50).astype(float), rng.normal(size=50)
    assert kendall_tau(x, y) == kendalltau(x, y).statistic
    assert spearman_rho(x, y) == spearmanr(x, y).statistic


def test_a_constant_correlates_with_nothing_and_says_so() -> None:
    x, y = np.ones(50), np.arange(50.0)
    assert math.isnan(kendall_tau(x, y))
    assert math.isnan(spearman_rho(x, y))
    interval = Bootstrap.of(different(50), seed=0).tau(x, y)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_the_bootstrap_is_that_of_resampled_cells() -> None:
    rng = np.random.default_rng(1)
    n = 30
    x, z, y = rng.integers(0, 9, n).astype(float), rng.normal(size=n), rng.normal(size=n)
    x += 3 * y
    bootstrap = Bootstrap.of(different(n), seed=5)
    assert bootstrap.resamples == RESAMPLES
    drawn = [np.repeat(np.arange(n), w.astype(int)) for w in bootstrap.weights]
    taus = [kendalltau(x[rows], y[rows]).statistic for rows in drawn]
    others = [kendalltau(z[rows], y[rows]).statistic for rows in drawn]
    interval = bootstrap.tau(x, y)
    assert [interval.low, interval.high] == pytest.approx(np.quantile(taus, (0.025, 0.975)))
    paired = bootstrap.difference(x, z, y)
    expected = np.quantile(np.subtract(taus, others), (0.025, 0.975))
    assert [paired.low, paired.high] == pytest.approx(expected)
    assert bootstrap.difference(x, x, y) == type(interval)(0.0, 0.0)


def test_cells_of_one_network_are_drawn_together() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 20))
    x += y
    once = Bootstrap.of(different(20), seed=3).tau(x, y)
    twice = Bootstrap.of(different(20) * 2, seed=3)
    assert twice.networks == 20
    interval = twice.tau(np.tile(x, 2), np.tile(y, 2))  # a table written twice knows no more
    assert [interval.low, interval.high] == pytest.approx([once.low, once.high], abs=1e-6)
    independent = Bootstrap.of(different(40), seed=3).tau(np.tile(x, 2), np.tile(y, 2))
    assert independent.high - independent.low < 0.8 * (interval.high - interval.low)


def test_fewer_resamples_for_many_cells() -> None:
    assert [resamples_for(n) for n in (2, 200, 1000)] == [RESAMPLES] * 3
    assert resamples_for(2000) == 500
    assert resamples_for(15_625) == 200


def test_deciles_keep_ties_together() -> None:
    flops = np.array([1.0] * 25 + [2.0] * 3 + [math.nan] + list(range(10, 32)))
    owner = deciles(flops)
    assert len(set(owner[:25])) == len(set(owner[25:28])) == 1
    assert owner[28] == -1
    assert owner.max() == 9
    assert deciles(np.arange(50.0)).tolist() == [place // 5 for place in range(50)]


def test_tau_inside_deciles_is_the_mean_by_pairs() -> None:
    owner = np.repeat([0, 1, 2, -1], [10, 20, 10, 5])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=45), rng.normal(size=45)
    x[30:40] = 1.0  # not defined there
    taus = [kendalltau(x[owner == g], y[owner == g]).statistic for g in (0, 1)]
    assert tau_within(x, y, owner) == pytest.approx((45 * taus[0] + 190 * taus[1]) / 235)
    assert math.isnan(tau_within(x[:39], y[:39], np.zeros(39, dtype=np.intp)))


def test_the_top_tenth_is_the_best_by_the_truth() -> None:
    truth = np.arange(100.0)
    guess = np.r_[np.arange(90.0), 100 - np.arange(10.0)]
    top = top_tenth(truth)
    assert np.flatnonzero(top).tolist() == list(range(90, 100))
    assert tau_in_top(guess, truth, top) == pytest.approx(-1)
    assert math.isnan(tau_in_top(guess[:99], truth[:99], top_tenth(truth[:99])))
    assert top_tenth(np.ones(50)).all()  # all tied at its end


def test_mean_ranks_by_hand() -> None:
    a, b = np.array([1.0, 2.0, 3.0, math.nan]), np.array([30.0, 10.0, 10.0, 10.0])
    # Ranks of a: 1 2 3; of b: 3 1.5 1.5; the last cell has no rank.
    assert mean_rank([a, b]) == pytest.approx([2.0, 1.75, 2.25, math.nan], nan_ok=True)


# Estimates


def test_signs() -> None:
    minimised = Letters(direction=Direction.MINIMIZE)
    assert Scored("a", minimised).sign == -1
    assert Scored("b", motemo.Params()).sign == 1  # more is taken for more accurate
    assert Scored("c", Letters()).sign == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Letters(), Letters(word="skip")], "'letters' is given more than once"),
        (["rank(a)"], "Malformed estimate 'rank\\(a\\)'"),
        (["rank(a,a)"], "Malformed estimate"),
        (["column:"], "Malformed estimate 'column:'"),
        (["mean=rank(letters,nix)", Letters()], "ranks 'nix', which is not given"),
        (["letters"], "Malformed estimate 'letters'"),
    ],
)
def test_estimates_that_cannot_be(given: list[Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_estimates(as_estimates(given))


def test_labels() -> None:
    found = as_estimates(["column:x", "guess=column:x=y", Letters(), "r=rank(letters, column:x)"])
    assert [e.label for e in found] == ["column:x", "guess", "letters", "r"]
    assert found[3] == MeanRank("r", ("letters", "column:x"))


# Samples


def test_samples_are_nested_and_only_lose_cells_to_another_truth(table: Path) -> None:
    def cells(number: Any, *truths: str, seed: int = 0) -> list[str]:
        sample = draw(
            [table], space=SPACE, truths=truths, columns=["guess"], cells=number, seed=seed
        )
        return [cell.genotype for cell in sample.cells]

    assert cells(40, "acc")[:15] == cells(15, "acc")
    assert cells(15, "acc") != cells(15, "acc", seed=1)
    every = cells("all", "acc")
    invalid = [cell for cell in _cells() if SPACE.invalid_reason(cell) is not None]
    assert sorted(every + invalid) == sorted(_cells())
    both = cells("all", "acc", "other")
    assert 0 < len(both) < len(every)
    assert both == [cell for cell in every if cell in set(both)]
    assert cells(1000, "acc") == every
    with pytest.raises(SettingsError, match="at least 2 cells; got 1"):
        cells(1, "acc")


def test_twins_share_a_score_and_invalid_cells_are_not_drawn(tmp_path: Path) -> None:
    table, log = tmp_path / "t.csv", tmp_path / "log"
    rows = [f"{CONV1},1", f"{CONV1_TWIN},2", f"{NOTHING},3", f"{_cells()[-1]},4"]
    table.write_text("\n".join(["arch,acc", *rows]) + "\n")
    estimates: dict[str, Any] = {
        "letters": Letters(word="conv", log=log),
        "flops": "column:acc",
        "params": "column:acc",
    }
    found = _run(table, tmp_path / "out", estimates=estimates, cells="all")
    assert len(found.sample) == 3
    assert sorted(log.read_text().split()) == sorted(found.sample.networks)
    assert len(found.sample.networks) == 2
    scored = {row["arch"]: row["letters"] for row in _rows(tmp_path / "out" / "scores.csv")}
    assert scored[CONV1] == scored[CONV1_TWIN] == "10.0"  # of the canonical form


# Whole runs


def test_what_is_written(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    estimates: dict[str, Any] = {
        "letters": Letters(fails_on="skip_connect~0|none~1", nan_on="skip_connect~2"),
        "cost": Letters(direction=Direction.MINIMIZE),
        "column": "column:guess",
        "mean": "rank(letters,column)",
        "flops": "column:acc",
        "params": Letters(word="nor"),
    }
    found = _run(
        table, out, estimates=estimates, truths=["acc", "other"], cells=60, against=["column"]
    )
    n = len(found.sample)
    rows = _rows(out / "correlate.csv")
    assert list(rows[0]) == [
        "estimate",
        "truth",
        "n",
        "tau",
        "tau_low",
        "tau_high",
        "rho",
        "tau_in_flops_deciles",
        "tau_top_tenth",
        "seconds_per_cell",
    ]
    assert [(r["truth"], r["estimate"]) for r in rows] == list(
        itertools.product(("acc", "other"), estimates)
    )
    by_name = {row["estimate"]: row for row in rows if row["truth"] == "acc"}
    truth = found.sample.columns["acc"]
    letters = found.values["letters"]
    known = np.isfinite(letters)
    assert 0 < known.sum() < n
    assert int(by_name["letters"]["n"]) == known.sum()
    tau = kendalltau(letters[known], truth[known]).statistic
    assert float(by_name["letters"]["tau"]) == pytest.approx(tau)
    assert float(by_name["letters"]["tau_low"]) < tau < float(by_name["letters"]["tau_high"])
    everything = found.values["cost"]
    cost_tau = kendalltau(-everything, truth).statistic
    assert float(by_name["cost"]["tau"]) == pytest.approx(cost_tau)
    assert by_name["column"]["seconds_per_cell"] == ""
    assert float(by_name["mean"]["seconds_per_cell"]) > 0
    guess = found.sample.columns["guess"]
    both = known & np.isfinite(guess)
    ranks = rankdata(letters[both]) + rankdata(guess[both])
    assert int(by_name["mean"]["n"]) == both.sum()
    assert float(by_name["mean"]["tau"]) == pytest.approx(kendalltau(ranks, truth[both]).statistic)

    scores = _rows(out / "scores.csv")
    assert list(scores[0]) == ["arch", *estimates]
    assert [row["arch"] for row in scores] == [cell.genotype for cell in found.sample.cells]
    assert [row["letters"] == "" for row in scores] == (~known).tolist()

    differences = _rows(out / "differences.csv")
    assert list(differences[0]) == [
        "estimate",
        "against",
        "truth",
        "n",
        "difference",
        "low",
        "high",
    ]
    assert len(differences) == 2 * (len(estimates) - 1)
    expected = tau_of(letters, truth, both) - tau_of(guess, truth, both)
    assert float(differences[0]["difference"]) == pytest.approx(expected)
    assert float(differences[0]["low"]) <= expected <= float(differences[0]["high"])

    cost = next(c for c in found.costs if c.estimate == "letters")
    assert cost.scored < cost.networks
    assert cost.failure in ("it was told to", "the value is nan")
    assert (out / "correlate.png").read_bytes().startswith(b"\x89PNG")
    settings = json.loads((out / "settings.json").read_text())
    assert settings["cells"] == n
    assert settings["truths"] == ["acc", "other"]
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert {line["identity"] for line in lines} == set(settings["identities"])
    assert not any("record" in line for line in lines)


def tau_of(x: Any, y: Any, rows: Any) -> float:
    return float(kendalltau(x[rows], y[rows]).statistic)


def test_more_cells_estimates_and_truths_reuse_what_is_there(table: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"

    def evaluated() -> list[str]:
        lines = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    first = Letters(log=log)
    columns = {"flops": "column:acc", "params": "column:acc"}
    small = _run(table, out, estimates={"a": first, **columns}, cells=20)
    assert sorted(evaluated()) == sorted(small.sample.networks)
    large = _run(table, out, estimates={"b": first, **columns}, cells=40)
    assert len(evaluated()) == len(large.sample.networks) - len(small.sample.networks)
    again = _run(table, out, estimates={"b": first, **columns}, truths=["acc", "other"], cells=30)
    assert evaluated() == []
    assert again.truths == ("acc", "other")
    other = Letters(log=log, fails_on="skip")
    failing = _run(table, out, estimates={"a": other, "b": first, **columns}, cells=20)
    assert sorted(evaluated()) == sorted(small.sample.networks)  # other options, other scores
    assert failing.row("b", "acc") == small.row("a", "acc").__class__(
        **(vars(small.row("a", "acc")) | {"estimate": "b"})
    )
    failed = np.isnan(failing.values["a"]).sum()
    assert failed
    _run(table, out, estimates={"a": other, **columns}, cells=20)
    assert evaluated() == []
    _run(table, out, estimates={"a": other, **columns}, cells=20, retry_failed=True)
    assert 0 < len(evaluated()) <= failed


def test_other_settings_in_the_same_folder_are_refused(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _run(table, out)
    written = {path: path.read_bytes() for path in out.iterdir()}
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace(",other,", ",others,", 1))
    with pytest.raises(SettingsError, match="seed: stored 0, given 1"):
        _run(table, out, seed=1)
    with pytest.raises(SettingsError, match="tables_sha256: stored"):
        _run(other, out)
    moved = tmp_path / "moved.csv"
    table.rename(moved)
    assert written == {path: path.read_bytes() for path in out.iterdir()}
    _run(moved, out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"holds thesis.tex of something else"):
        _run(moved, tmp_path / "full")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truths": []}, "at least one column of true accuracies"),
        ({"truths": "acc"}, "at least one column of true accuracies"),
        ({"against": ["nix"]}, "Cannot compare with 'nix'"),
        ({"truths": ["nix"]}, "No column 'nix'"),
        ({"processes": 0}, "At least 1 process"),
        ({"batch_size": 0}, "at least 1 network"),
        ({"estimates": {"x": Letters(fails_on=""), "y": "rank(x,z)"}}, "ranks 'z'"),
    ],
)
def test_settings_that_cannot_work(
    table: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((SettingsError, DataError), match=message):
        _run(table, tmp_path / "out", **changes)


def test_an_estimate_that_always_fails_has_no_figure(table: Path, tmp_path: Path) -> None:
    estimates = {"x": Letters(fails_on="|"), "flops": "column:acc", "params": "column:acc"}
    found = _run(table, tmp_path / "out", estimates=estimates)
    row = found.row("x", "acc")
    assert row.n == 0
    assert all(map(math.isnan, (row.tau, row.tau_low, row.rho, row.seconds_per_cell)))
    assert _rows(tmp_path / "out" / "correlate.csv")[0]["tau"] == ""


def test_batched_objectives_get_batches(table: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    estimates = {"x": Letters(batched=True, log=log), "flops": "column:acc", "params": "column:acc"}
    batched = _run(table, tmp_path / "a", estimates=estimates, batch_size=7)
    single = _run(table, tmp_path / "b", estimates=estimates | {"x": Letters()})
    assert sorted(log.read_text().split()) == sorted(batched.sample.networks)
    assert batched.values["x"].tolist() == single.values["x"].tolist()


def test_processes_give_the_same_scores(table: Path, tmp_path: Path) -> None:
    estimates = ["rank(params,flops)"]  # both stand beside without being asked for
    one = _run(table, tmp_path / "one", estimates=estimates, cells=6)
    two = _run(table, tmp_path / "two", estimates=estimates, cells=6, processes=2)
    assert list(one.values) == ["rank(params,flops)", "params", "flops"]
    for name in one.values:
        assert one.values[name].tolist() == two.values[name].tolist()


def test_what_cannot_be_sent_to_processes_is_refused(tmp_path: Path) -> None:
    space = motemo.FunctionSpace(
        name="lines",
        genes=(motemo.Gene("depth", (1, 2, 3)),),
        build_network=lambda values, shape, classes: None,  # type: ignore[arg-type,return-value]
    )
    table = tmp_path / "t.csv"
    table.write_text('arch,acc\n"{""depth"":1}",1\n"{""depth"":2}",2\n"{""depth"":3}",3\n')
    estimates = {"flops": Letters(), "params": "column:acc"}
    with pytest.raises(SettingsError, match="cannot be sent to other processes"):
        motemo.correlate(
            space, table, truths=["acc"], estimates=estimates, out=tmp_path / "o", processes=2
        )


# Shared trainings


def test_one_training_serves_all_that_are_read_from_it(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = [f"{cell},{place}" for place, cell in enumerate((CONV1, *_cells()[-2:]))]
    table.write_text("\n".join(["arch,acc", *rows]) + "\n")
    data = motemo.load_data("digits", classes=2, images_per_class=8)
    recipe = Recipe(epochs=2, batch_size=8)
    tse, tse_e = Tse(data=data, recipe=recipe), TseE(data=data, recipe=recipe)
    columns = {"flops": "column:acc", "params": "column:acc"}
    out = tmp_path / "out"
    found = _run(
        table,
        out,
        estimates={"tse": tse, "tse_e": tse_e, "both": "rank(tse,tse_e)", **columns},
        records=True,
    )
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    for key in found.sample.networks:
        pair = [line for line in lines if line["key"] == key]
        assert pair[0]["training"] == pair[1]["training"]
        assert pair[0]["training_seconds"] == pair[1]["training_seconds"] > 0
        assert pair[0]["record"]["epoch_losses"] == pair[1]["record"]["epoch_losses"]
    costs = {cost.estimate: cost.seconds_mean for cost in found.costs}
    assert costs["both"] < 1.5 * costs["tse"]  # the training counts once
    alone = [tse.evaluate([a.canonical])[0] for a in found.sample.cells]
    assert [m.value for m in alone if isinstance(m, Measurement)] == found.values["tse"].tolist()


# The file of scores


def test_a_torn_line_is_cut_off_and_a_damaged_one_named(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.jsonl")
    scores = [
        Score(key=f"k{i}", identity="x", value=float(i), seconds=1.0, cpu_seconds=1.0)
        for i in range(3)
    ]
    file.append(scores)
    with file.path.open("ab") as handle:
        handle.write(b'{"key": "k3", "ident')
    assert list(file.read().values()) == scores
    file.cut_torn_line()
    file.append([scores[0]])
    assert len(file.path.read_text().splitlines()) == 4
    with file.path.open("ab") as handle:
        handle.write(b"nonsense\n")
    with pytest.raises(OutputError, match="Line 5 of"):
        file.read()


# The command


def _command(table: Path, out: Path, *more: str) -> list[str]:
    words = ["correlate", "--table", str(table), "--truth", "acc", "--out", str(out)]
    return [*words, "--processes", "1", *more]


def _call(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["motemo", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_the_command(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    extra = ["--estimate", "guess=column:guess", "--estimate", "params", "--cells", "20"]
    extra += ["--estimate", "wide=params", "--option", "wide.classes=100"]
    extra += ["--estimate", "mean=rank(guess,params)", "--against", "params"]
    assert _call(monkeypatch, _command(table, out, *extra)) == 0
    shown = capsys.readouterr()
    assert "paired" in shown.out
    assert "guess: " not in shown.out  # nothing failed
    assert "different networks" in shown.err
    scores = _rows(out / "scores.csv")
    assert list(scores[0]) == ["arch", "guess", "params", "wide", "mean", "flops"]
    assert {float(row["wide"]) - float(row["params"]) for row in scores} == {90 * 65.0}
    assert _call(monkeypatch, _command(table, out, *extra, "--json", "--quiet")) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    rows = json.loads(shown.out)
    assert [row["estimate"] for row in rows] == ["guess", "params", "wide", "mean", "flops"]
    assert rows[0]["seconds_per_cell"] is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--estimate", "flopss"], "Did you mean 'flops'?"),
        (["--estimate", "synflow"], "'synflow' needs images. Give --data"),
        (["--estimate", "params", "--estimate", "params"], "'params' is given more than once"),
        (["--option", "mote.epochs=1"], "is for 'mote', which is no objective here"),
        (["--cells", "many"], "Malformed number of cells 'many'"),
    ],
)
def test_what_the_command_refuses(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    message: str,
) -> None:
    assert _call(monkeypatch, _command(table, tmp_path / "out", *more)) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed(table: Path, tmp_path: Path, how: signal.Signals) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "motemo", *_command(table, killed, "--cells", "25")]
    command[command.index("1")] = "2"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    scores = killed / "scores.jsonl"
    deadline = time.monotonic() + 120
    while not (scores.exists() and scores.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = _children(process.pid)
    process.send_signal(how)
    _, shown = process.communicate(timeout=60)
    assert process.returncode != 0
    assert (b"run the same command again" in b" ".join(shown.lower().split())) == (
        how is signal.SIGINT
    )
    while any(map(_lives, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kept = scores.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    scores.write_bytes(kept + b'{"key": "torn')
    motemo.correlate(SPACE, table, truths=["acc"], estimates=[], cells=25, out=killed)
    assert scores.read_bytes().startswith(kept)
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    assert len({(line["key"], line["identity"]) for line in lines}) == len(lines)
    motemo.correlate(SPACE, table, truths=["acc"], estimates=[], cells=25, out=whole)
    assert (killed / "scores.csv").read_text() == (whole / "scores.csv").read_text()


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in tasks.read_text().split()] if tasks.exists() else []


def _lives(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_published_mote_on_the_published_cells(shared_data: Path, tmp_path: Path) -> None:
    found = motemo.correlate(
        SPACE,
        shared_data / "nasbench201_half.csv.gz",
        truths=["cifar10_test_acc_200"],
        estimates={
            "mote": "column:published_mote",
            "flops": "column:flops_m",
            "params": "column:params_m",
        },
        cells=1500,
        out=tmp_path / "out",
    )
    row = found.row("mote", "cifar10_test_acc_200")
    assert row.tau == pytest.approx(0.683, abs=0.03)
    assert row.tau_in_flops_deciles == pytest.approx(0.40, abs=0.05)
    assert found.resamples == 888
