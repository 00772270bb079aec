"""`motemo benchmark`: judged by hand on small tables, through the real command, and resumed."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motemo
from motemo import cli
from motemo.benchmark.mote_nas import DATA_SETS, FORMS, evolve
from motemo.benchmark.plan import Plan
from motemo.benchmark.problem import Problem
from motemo.benchmark.run import Run, run_search
from motemo.benchmark.statistics import mean_of
from motemo.errors import DataError, SettingsError
from motemo.spaces.nasbench201 import OPERATIONS, write_operations

SPACE = motemo.NasBench201()
CONV3, CONV1, POOL, SKIP = (
    f"|none~0|+|none~0|none~1|+|{operation}~0|none~1|none~2|"
    for operation in ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect")
)
CONV1_TWIN = "|none~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def _write(path: Path, header: str, rows: Sequence[Sequence[object]]) -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Four networks that can be searched; the estimate has two of them in the wrong order."""
    rows = [
        (CONV3, 9, 90, 8),
        (CONV1, 6, 70, 4),
        (CONV1_TWIN, 6, 80, 6),
        (POOL, 7, 70, 3),
        (SKIP, 2, 60, 1),
        (NOTHING, 99, 99, 0.5),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|", 99, 99, 0.5),
    ]
    return _write(tmp_path / "five.csv", "arch,guess,acc,ms", rows)


def _plan(table: Path, **changes: Any) -> Plan:
    plan = Plan(
        space="nasbench201",
        tables=(table,),
        estimate="guess",
        truth="acc",
        costs=("ms",),
        reference=50,
        evaluations=4,
    )
    return replace(plan, **changes)


def test_volumes_are_those_worked_out_by_hand(five: Path) -> None:
    problem = Problem.load(_plan(five))
    genotypes = [a.genotype for a in problem.table.architectures]
    assert len(genotypes) == 4  # twins are one, cells without a path are none
    mean = problem.find([SPACE.architecture(CONV1).key])
    assert problem.table.columns["acc"][mean].tolist() == [75.0]
    assert problem.table.columns["ms"][mean].tolist() == [5.0]
    # Bounds: 50 and 8 ms. The true front: 10 x 2 up to skip's 60, then 10 x 5, then 5 x 3.
    # The dearest cell lies on its bound and adds nothing.
    assert problem.reference == (50.0, 8.0)
    assert problem.best == pytest.approx(10 * 7 + 10 * 5 + 5 * 3)
    estimated = problem.front(problem.everything(), "guess")
    found = {genotypes[row] for row in estimated}
    assert found == {SPACE.architecture(g).key for g in (CONV3, POOL, SKIP)}
    assert problem.share(estimated) == pytest.approx((10 * 7 + 10 * 5) / 135)


def test_a_run_hands_over_the_front_under_the_estimate(cells: Path) -> None:
    problem = Problem.load(_plan(cells, evaluations=23, every=10, reference=0))
    run = run_search(problem, "random", seed=3)
    assert [c.evaluations for c in run.checkpoints] == [10, 11, 20, 23]
    last = run.checkpoints[-1]
    rows = problem.find(str(member["arch"]) for member in run.members)
    assert last.hypervolume == pytest.approx(problem.share(rows))
    assert last.front_size == len(run.members)
    guesses = sorted((m["costs"]["ms"], m["estimate"]) for m in run.members)  # type: ignore[index,call-overload]
    assert [g for _, g in guesses] == sorted(g for _, g in guesses)
    assert last.paid_duplicates == 0
    assert last.duplicates >= run.checkpoints[0].duplicates
    assert 0 < run.checkpoints[0].seconds <= last.seconds
    assert run == Run.from_json(json.loads(json.dumps(run.to_json())))


def test_a_run_that_knows_everything_has_the_exhaustive_front(five: Path) -> None:
    for estimate in ("guess", "acc"):
        problem = Problem.load(_plan(five, estimate=estimate))
        values = {a.key for a in problem.table.architectures}
        assert len(values) == 4
        exhaustive = problem.share(problem.front(problem.everything(), estimate))
        assert (exhaustive == pytest.approx(1)) == (estimate == "acc")


def test_rescoring_is_paid_and_its_cost_stated(cells: Path) -> None:
    plan = _plan(
        cells,
        evaluations=40,
        reference=0,
        rescore="acc",
        top=8,
        rescore_seconds="seconds",
        only_rescored=True,
    )
    problem = Problem.load(plan)
    run = run_search(problem, "random", seed=0)
    assert [c.evaluations for c in run.checkpoints][-2:] == [32, 40]
    assert run.checkpoints[-1].rescored == 8
    assert run.checkpoints[-1].rescore_seconds == pytest.approx(8 * 3.0)
    assert len(run.members) <= 8
    kept = run_search(Problem.load(replace(plan, only_rescored=False)), "random", seed=0)
    assert kept.checkpoints[-1].rescored == 8
    assert all(member["rescored"] is not None for member in run.members)
    assert {member["rescored"] is None for member in kept.members} == {True, False}
    assert kept.checkpoints[-1].hypervolume > run.checkpoints[-1].hypervolume


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": ("ms", "ms")}, "'ms' is given twice"),
        ({"costs": ("guess",)}, "is the estimate"),
        ({"rescore": "acc"}, "both --rescore COLUMN and --top K"),
        ({"rescore_seconds": "acc"}, "need --rescore"),
        ({"rescore": "acc", "top": 3, "only_rescored": True}, "at least 2 paid evaluations"),
        ({"rescore": "acc", "top": 4}, "--top must be at least 5"),
        ({"doubt": -1}, "--doubt must be at least 0"),
        ({"evaluations": 1}, "at least 2 paid evaluations"),
        ({"every": 5}, "from 1 to 4"),
        ({"batch_size": 0}, "at least 1 candidate"),
        ({"population": 1}, "at least 2 members"),
        ({"reference": math.nan}, "must be a number"),
    ],
)
def test_impossible_plans_are_refused(five: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _plan(five, **changes)


def test_tables_without_anything_to_compare_are_refused(five: Path) -> None:
    with pytest.raises(DataError, match="better than the reference"):
        Problem.load(_plan(five, reference=95))
    empty = _write(five.parent / "empty.csv", "arch,guess,acc,ms", [(CONV3, "", 1, 1)])
    with pytest.raises(DataError, match="a number in each of guess, acc, ms"):
        Problem.load(_plan(empty))


def test_paired_differences_have_the_interval_of_student() -> None:
    mean = mean_of([0.1, 0.2, 0.3, 0.4])
    half = 3.182446 * np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2  # t of 3 degrees, 95 %
    assert (mean.value, mean.n) == (pytest.approx(0.25), 4)
    assert (mean.low, mean.high) == (pytest.approx(0.25 - half), pytest.approx(0.25 + half))
    assert math.isnan(mean_of([0.1]).low)


def test_the_evolution_scores_what_is_close_to_the_best() -> None:
    genes = np.array(list(product(range(3), repeat=6)), dtype=np.intp)
    scores = genes.sum(axis=1) + genes[:, 0] / 10
    pool = evolve(genes, scores, rounds=12, rng=np.random.default_rng(0))
    assert len(set(pool.tolist())) == len(pool) > 10
    best = genes[pool[:10]][np.argmax(scores[pool[:10]])]
    assert (genes[pool[10]] != best).sum() <= 2
    assert scores[pool].max() > scores[pool[:10]].max()
    later = scores[pool[len(pool) // 2 :]].mean()
    assert later > scores[pool[:10]].mean()


# Through the command


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["motemo", "benchmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up table of 700 random cells, with all columns of the replay."""
    rng = np.random.default_rng(0)
    worth = {
        "none": 0.0,
        "skip_connect": 1.0,
        "avg_pool_3x3": 0.5,
        "nor_conv_1x1": 2,
        "nor_conv_3x3": 3,
    }
    sets = ",".join(f"{d.truth},{d.selects},{d.seconds}" for d in DATA_SETS)
    rows: list[list[object]] = []
    for number, operations in enumerate(rng.choice(OPERATIONS, size=(700, 6))):
        good = sum(worth[str(o)] for o in operations)
        guess, acc = good + rng.normal(0, 1), good + rng.normal(0, 0.3)
        ms = 1 + good + rng.normal(0, 0.2)
        cell = write_operations(tuple(map(str, operations)))
        rows.append([number, cell, guess, acc, ms, 3.0, guess, 7.5, *([acc, acc + 0.1, 200.0] * 3)])
    path = tmp_path_factory.mktemp("tables") / "cells.csv"
    header = f"index,arch,guess,acc,ms,seconds,published_mote,published_train_seconds,{sets}"
    return _write(path, header, rows)


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_command_writes_its_files_and_continues(cells: Path, run: Command) -> None:
    common = ("--table", cells, "--estimate", "guess", "--truth", "acc", "--cost", "ms")
    common = (*common, "--reference", 0, "--evaluations", 20, "--out", "out", "--processes", 2)
    first = run(*common, "--sampler", "nsga2", "--sampler", "random", "--seeds", 2)
    assert first.status == 0, first.err
    assert "exhaustive guess" in first.out
    assert "Traceback" not in first.err
    assert "searching: 4/4" in first.err
    out = Path("out")
    names = {"benchmark.csv", "benchmark.json", "benchmark.png", "fronts.jsonl", "summary.csv"}
    assert names <= {path.name for path in out.iterdir()}
    rows = _rows(out / "benchmark.csv")
    assert list(rows[0])[:4] == ["sampler", "seed", "evaluations", "hypervolume"]
    assert {"duplicates", "paid_duplicates", "seconds"} <= set(rows[0])
    assert len(rows) == 2 * 2 * 10
    assert {row["evaluations"] for row in rows} == {str(n) for n in range(2, 21, 2)}
    assert all(row["paid_duplicates"] == "0" for row in rows)
    assert all(0 <= float(row["hypervolume"]) <= 1 for row in rows)
    fronts = [json.loads(line) for line in (out / "fronts.jsonl").read_text().splitlines()]
    assert [(f["sampler"], f["seed"]) for f in fronts] == [
        (s, n) for s in ("nsga2", "random") for n in (0, 1)
    ]
    assert set(fronts[0]["members"][0]) == {"arch", "estimate", "costs", "truth"}
    summary = _rows(out / "summary.csv")
    last = [float(r["hypervolume"]) for r in rows if r["evaluations"] == "20"]
    [lead] = [r for r in summary if r["sampler"] == "random" and r["evaluations"] == "20"]
    expected = (last[0] - last[2] + last[1] - last[3]) / 2
    assert float(lead["first_leads_by"]) == pytest.approx(expected, abs=1e-8)
    assert summary[-1]["sampler"] == "true front"

    # Finished runs are kept; samplers and seeds may be added.
    kept = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    again = run(*common, "--sampler", "random", "--sampler", "mote_nas", "--seeds", 3)
    assert again.status == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((out / "runs").iterdir())) == 4 + 1 + 3
    before = [r["hypervolume"] for r in rows if r["sampler"] == "random"]
    after = [r["hypervolume"] for r in _rows(out / "benchmark.csv") if r["sampler"] == "random"]
    assert after[:20] == before

    # Other settings do not mix.
    other = run(*common, "--sampler", "random", "--batch-size", 2)
    assert other.status == 2
    assert "batch_size: stored 4, given 2" in other.err


def test_the_same_run_in_another_process_gives_the_same_values(cells: Path, run: Command) -> None:
    plan = _plan(cells, evaluations=12, reference=0)
    here = run_search(Problem.load(plan), "nsga2", seed=1)
    columns = ("--estimate", "guess", "--truth", "acc", "--cost", "ms", "--reference", 0)
    arguments = ("--table", cells, *columns, "--sampler", "nsga2", "--seeds", 2)
    assert run(*arguments, "--evaluations", 12, "--out", "out", "--processes", 1).status == 0
    there = Run.from_json(json.loads(Path("out/runs/nsga2-1.json").read_text())["run"])
    assert there.members == here.members
    assert [replace(c, seconds=0) for c in there.checkpoints] == [
        replace(c, seconds=0) for c in here.checkpoints
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs --estimate COLUMN"),
        (("--sampler", "randon"), "Did you mean 'random'?"),
        (("--sampler", "random", "--sampler", "RandomSampler"), "each once"),
        (("--sampler", "random", "--estimate", "gues"), "Did you mean 'guess'?"),
        (("--sampler", "random", "--table", "absent.csv"), "absent.csv"),
        (("--sampler", "random", "--seeds", 0), "at least 1 seed"),
        (("--sampler", "random", "--space", "nasbench_201"), "Did you mean 'nasbench201'?"),
        (("--sampler", "random", "--out", "taken"), "holds notes.txt of something else"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    cells: Path, run: Command, arguments: tuple[object, ...], message: str
) -> None:
    Path("taken").mkdir()
    Path("taken/notes.txt").write_text("mine")
    given = ("--table", cells, "--truth", "acc", "--cost", "ms", "--reference", 0)
    estimate = () if not arguments or "--estimate" in arguments else ("--estimate", "guess")
    result = run(*given, *estimate, *arguments)
    assert result.status == 2
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert {path.name for path in Path().iterdir()} == {"taken"}


def test_the_replay_stands_beside_the_paper(cells: Path, run: Command) -> None:
    result = run("--table", cells, "--replay-mote-nas", "--seeds", 3, "--out", "out")
    assert result.status == 0, result.err
    rows = _rows(Path("out/mote_nas.csv"))
    assert len(rows) == len(FORMS) * 3
    by_name = {(row["form"], row["data_set"]): row for row in rows}
    assert by_name["k=20", "cifar10"]["paper_accuracy"] == "94.32"
    assert by_name["k=20", "imagenet16_120"]["paper_seconds"] == "22700"
    assert by_name["k=5", "cifar100"]["selected_on"] == "validation"
    assert by_name["k=5", "cifar10"]["selected_on"] == "test"
    assert by_name["EF", "cifar10"]["selected_on"] == "score"
    scored = float(by_name["k=5", "cifar10"]["scored"])
    assert float(by_name["k=5", "cifar10"]["seconds"]) == pytest.approx(
        scored * 7.5 + 5 * 200, abs=7.5
    )
    assert by_name["RS k=5", "cifar10"]["scored"] == by_name["k=5", "cifar10"]["scored"]
    assert by_name["RS k=5", "cifar10"]["paper_accuracy"] == ""
