"""Choosing from a front: who is picked, why, and what the command line says of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command_line import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import motemo
from motemo import decision
from motemo.errors import ConstraintError, SettingsError, UnknownNameError
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement, Outcome, Stage, evaluate_each
from motemo.pareto import non_dominated
from motemo.space import Json

SPACE = motemo.FunctionSpace(
    name="numbers",
    genes=(motemo.Gene("number", tuple(range(40))),),
    build_network=lambda *_: None,  # nothing here builds a network
)
MOTE = Axis("mote", "", Direction.MAXIMIZE)
LATENCY = Axis("latency_ms", "ms", Direction.MINIMIZE)
PARAMS = Axis("params", "count", Direction.MINIMIZE)
CURVE = ((35.0, 2.0), (34.5, 1.9), (33.0, 1.0), (20.0, 0.8), (10.0, 0.5), (4.0, 0.2))
"""Score and milliseconds of the trials 0 to 5: it bends at trial 2."""


def _front(
    rows: Sequence[Sequence[float]] = CURVE,
    axes: Sequence[Axis] = (MOTE, LATENCY),
    *,
    spread_ms: float = 0.02,
    constraints: Sequence[str] = (),
) -> Front:
    members = [
        Member(
            number,
            SPACE.architecture(SPACE.write({"number": number})),
            {a.name: _measured(v, a, spread_ms) for a, v in zip(axes, values, strict=True)},
        )
        for number, values in enumerate(rows)
    ]
    front = Front.of(members, axes=axes)
    return front.within(*constraints) if constraints else front


def _measured(value: float, axis: Axis, spread_ms: float) -> Measurement:
    half = spread_ms if axis.unit == "ms" else 0.0
    return Measurement(value=value, unit=axis.unit, low=value - half, high=value + half)


def _trials(picks: Sequence[motemo.Pick]) -> list[int]:
    return [pick.member.trial for pick in picks]


# --- in Python ---


def test_the_best_under_a_budget_with_its_reason() -> None:
    (pick,) = motemo.select(_front(), constraints=["latency_ms<=1.5"])
    assert pick.member.trial == 2
    assert pick.reason == (
        "Best mote of the 4 members with latency_ms<=1.5: 33.0 at latency 1.00 ms; the next best "
        "is 20.0 at latency 0.80 ms."
    )


def test_the_cheapest_that_is_good_enough() -> None:
    (pick,) = motemo.select(_front(), constraints=["mote>=18"], prefer="latency_ms")
    assert pick.member.trial == 3
    assert "Best latency of the 4 members with mote>=18: 0.80 ms at mote 20.0" in pick.reason


def test_a_bound_within_the_spread_is_said() -> None:
    (close,) = motemo.select(_front(), constraints=["latency_ms<=1.01"])
    assert close.member.trial == 2
    assert close.reason.endswith(
        "The bound latency_ms<=1.01 is within the spread: measured again, latency may be 1.02 ms."
    )
    (clear,) = motemo.select(_front(), constraints=["latency_ms<=1.1"])
    assert "within the spread" not in clear.reason


def test_values_that_are_not_known_to_differ_are_said() -> None:
    rows = ((30.0, 1.0), (29.0, 0.99))
    (pick,) = motemo.select(_front(rows), prefer="latency_ms")
    assert "the same within the spread" in pick.reason
    (pick,) = motemo.select(_front(rows, spread_ms=0.0), prefer="latency_ms")
    assert "the same within the spread" not in pick.reason


def test_nothing_keeps_the_bounds() -> None:
    (pick,) = motemo.select(_front(), constraints=["latency_ms<=0.1", "mote>=5"], knee=True)
    assert pick.member.trial == 5
    assert pick.reason.startswith(
        "None of 6 evaluated architectures keeps latency_ms<=0.1 and mote>=5; this one misses least"
    )
    assert "latency 0.20 ms, 0.10 ms (100 %) beyond latency_ms<=0.1" in pick.reason
    assert "mote 4.0, 1.0 (20 %) beyond mote>=5" in pick.reason


def test_the_knee_is_where_the_front_bends() -> None:
    (pick,) = motemo.select(_front(), knee=True)
    assert pick.member.trial == 2
    assert pick.reason == (
        "Knee of the 6 members: mote 33.0 at latency 1.00 ms; the next better is 34.5 at latency "
        "1.90 ms; the next worse is 20.0 at latency 0.80 ms."
    )


def test_several_costs_do_not_outvote_the_score() -> None:
    costs = [Axis(f"cost_{number}", "", Direction.MINIMIZE) for number in range(4)]
    rows = [(score, *[cost] * len(costs)) for score, cost in CURVE]
    (pick,) = motemo.select(_front(rows, (MOTE, *costs)), knee=True)
    assert pick.member.trial == 2


def test_a_cost_that_all_share_does_not_move_the_knee() -> None:
    costs = [Axis(f"cost_{number}", "", Direction.MINIMIZE) for number in range(3)]
    rows = [(3.0, 9.0, 5.0, 5.0), (2.0, 3.0, 5.0, 5.0), (1.0, 2.0, 5.0, 5.0)]
    (pick,) = motemo.select(_front(rows, (MOTE, *costs)), knee=True)
    assert pick.member.trial == 1
    (same,) = motemo.select(_front([row[:2] for row in rows], (MOTE, costs[0])), knee=True)
    assert same.member.trial == 1


def test_a_small_difference_is_not_said_to_be_none() -> None:
    rows = ((3.0, 2.0), (1.0, 1.0))
    (pick,) = motemo.select(_front(rows, spread_ms=0.0), reference={"latency_ms": 0.9996})
    assert "latency 1 ms, 0.0004 ms short of it" in pick.reason


def test_a_front_that_bends_away_has_no_knee() -> None:
    (pick,) = motemo.select(_front(((10.0, 2.0), (4.0, 1.9), (1.0, 1.0))), knee=True)
    assert pick.reason.startswith("No knee among the 3 members")


def test_the_closest_to_a_wish() -> None:
    (pick,) = motemo.select(_front(), reference={"mote": 34, "latency_ms": 0.9})
    assert pick.member.trial == 2
    assert pick.reason == (
        "Closest of the 6 members to mote=34, latency_ms=0.9: mote 33.0, 1.0 short of it; "
        "latency 1.00 ms, 0.10 ms short of it."
    )
    (pick,) = motemo.select(_front(), reference={"mote": 30, "latency_ms": 1.0})
    assert "mote 33.0, 3.0 better; latency 1.00 ms, as wished" in pick.reason


def test_weights() -> None:
    assert _trials(motemo.select(_front(), weights={"mote": 1})) == [0]
    assert _trials(motemo.select(_front(), weights={"latency_ms": 3})) == [5]
    (pick,) = motemo.select(_front(), weights={"mote": 2, "latency_ms": 1})
    assert pick.member.trial == 2
    assert "mote 0.63 (wanted 0.67), latency 0.37 (wanted 0.33)" in pick.reason


def test_objectives_without_a_weight_do_not_matter() -> None:
    """Trial 1 is on the front for its parameters alone: without them, trial 0 beats it."""
    front = _front(((30.0, 1.0, 9e6), (29.0, 1.1, 1e6), (5.0, 0.2, 8e6)), (MOTE, LATENCY, PARAMS))
    assert 1 not in _trials(motemo.select(front, weights={"mote": 1, "latency_ms": 1}))
    assert _trials(motemo.select(front, weights={"params": 1})) == [1]


def test_a_few_that_stand_for_all() -> None:
    picks = motemo.select(_front(), spread=3)
    assert _trials(picks) == [0, 5, 2]
    assert picks[0].reason == (
        "Number 1 of 3 spread over the 6 members, each of the others within 42 % of the range of "
        "one of them."
    )
    assert _trials(motemo.select(_front(), spread=99)) == [0, 5, 2, 3, 4, 1]


def test_without_a_wish_the_knee_and_the_best_of_each() -> None:
    picks = motemo.select(_front())
    assert _trials(picks) == [2, 0, 5]
    assert [
        next(start for start in ("Knee", "Best mote", "Best latency") if p.reason.startswith(start))
        for p in picks
    ] == ["Knee", "Best mote", "Best latency"]


def test_who_is_chosen_twice_stands_once_with_both_reasons() -> None:
    (pick,) = motemo.select(_front(), knee=True, prefer="mote", constraints=["latency_ms<=1"])
    assert pick.reason.startswith("Best mote")
    assert ". Knee of" in pick.reason or ". No knee" in pick.reason


def test_one_objective_and_one_member() -> None:
    (pick,) = motemo.select(_front([(1.0,), (3.0,), (2.0,)], [MOTE]))
    assert pick.member.trial == 1
    everything = motemo.select(
        _front([(3.0, 1.0)]),
        knee=True,
        spread=4,
        prefer="latency_ms",
        reference={"mote": 2},
        weights={"mote": 1, "latency_ms": 1},
    )
    assert _trials(everything) == [0]
    assert everything[0].reason.count("It is the only member: mote 3, latency 1.00 ms.") == 1


def test_equal_members() -> None:
    picks = motemo.select(_front([(3.0, 1.0)] * 4), spread=4, knee=True, weights={"mote": 1})
    assert len(picks) == 1


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"prefer": "latency"}, UnknownNameError, "Did you mean 'latency_ms'"),
        ({"reference": {"speed": 1.0}}, UnknownNameError, "speed"),
        ({"reference": {"mote": float("nan")}}, SettingsError, "must be a number"),
        ({"weights": {"mote": 0.0}}, SettingsError, "one is above 0"),
        ({"weights": {"mote": -1.0}}, SettingsError, "at least 0"),
        ({"spread": 0}, SettingsError, "at least 1 member"),
        ({"constraints": ["energy<=1"]}, ConstraintError, "energy"),
    ],
)
def test_what_makes_no_sense_is_refused(
    wrong: Mapping[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        motemo.select(_front(), **wrong)  # type: ignore[arg-type]


def test_an_empty_front_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing to choose from"):
        motemo.select(_front([]))


# --- on plain arrays ---

_POINTS = st.lists(
    st.tuples(*[st.floats(0, 1, width=32)] * 3), min_size=1, max_size=12, unique=True
)


def _shares(points: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
    values = np.array(points, dtype=np.float64)
    directions = [Direction.MINIMIZE] * values.shape[1]
    values = values[non_dominated(values, directions)]
    return decision.Ranges.of(values, directions).shares(values)


@settings(max_examples=60, deadline=None)
@given(_POINTS, st.integers(1, 6))
def test_spread_members_are_apart_and_near_to_all(
    points: list[tuple[float, ...]], count: int
) -> None:
    shares = _shares(points)
    rows, away = decision.spaced(shares, count)
    distances = np.abs(shares[:, None] - shares[rows]).max(axis=2)
    assert distances.min(axis=1).max() == pytest.approx(away)
    apart = distances[rows] + 2 * np.eye(len(rows))
    assert apart.min() >= away - 1e-12
    assert len(set(rows)) == len(rows) <= count


@settings(max_examples=60, deadline=None)
@given(_POINTS, st.tuples(*[st.floats(-0.5, 1.5)] * 2))
def test_no_point_is_closer_to_the_wish(
    points: list[tuple[float, ...]], wish: tuple[float, float]
) -> None:
    shares = _shares(points)
    row = decision.closest(shares, np.array(wish), [0, 2])
    behind = (shares[:, [0, 2]] - wish).max(axis=1)
    assert behind[row] <= behind.min() + 1e-5


@settings(max_examples=60, deadline=None)
@given(_POINTS, st.tuples(*[st.floats(0.01, 1)] * 3))
def test_no_other_point_divides_itself_more_as_wanted(
    points: list[tuple[float, ...]], weights: tuple[float, ...]
) -> None:
    shares = _shares(points)
    wanted = np.array(weights) / sum(weights)
    row, own = decision.by_weights(shares, wanted)
    assert own.sum() == pytest.approx(1)
    assert own == pytest.approx((1 - shares[row]) / (1 - shares[row]).sum())
    others = (1 - shares) / (1 - shares).sum(axis=1, keepdims=True)
    assert np.abs(own - wanted).sum() <= np.abs(others - wanted).sum(axis=1).min() + 1e-9


# --- on the command line ---


@dataclass(frozen=True, kw_only=True)
class Learnt(motemo.Objective):
    """What training would give: more parameters, less of it."""

    name: str = "accuracy"
    unit: str = "%"
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = False

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._learn)

    def _learn(self, architecture: motemo.Architecture) -> Measurement:
        network = architecture.build()
        value = 99 - 1e-5 * sum(weights.numel() for weights in network.parameters())
        return Measurement(value=value, unit=self.unit, low=value - 1, high=value + 1)

    def identity(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Guessed(motemo.Objective):
    """An estimate: the number of parameters of the network."""

    name: str = "guess"
    unit: str = ""
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.PROXY
    occupies_host: bool = False

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._guess)

    def _guess(self, architecture: motemo.Architecture) -> Measurement:
        network = architecture.build()
        return Measurement.exact(float(sum(w.numel() for w in network.parameters())), self.unit)

    def identity(self) -> dict[str, Json]:
        return {}


def _search(folder: Path) -> tuple[Front, str]:
    storage = f"sqlite:///{folder / 'study.db'}"
    front = motemo.search(
        motemo.NasBench201(), [Guessed(), motemo.Flops()], trials=8, storage=storage
    )
    return front, storage


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Front]:
    folder = tmp_path_factory.mktemp("searched")
    return folder, _search(folder)[0]


def test_the_command_shows_what_python_returns(run: Run, searched: tuple[Path, Front]) -> None:
    folder, front = searched
    picks = motemo.select(front)
    shown = run("select", str(folder))
    assert shown.status == 0
    flat = " ".join(shown.out.split())
    for pick in picks:
        assert pick.reason in flat
        assert pick.member.architecture.genotype in shown.out
    records = json.loads(run("select", str(folder), "--json").out)
    assert [(r["trial"], r["reason"]) for r in records] == [
        (pick.member.trial, pick.reason) for pick in picks
    ]
    assert records[0]["measurements"]["flops"]["value"] > 0
    rows = list(csv.DictReader(io.StringIO(run("select", str(folder), "--csv").out)))
    assert [row["trial"] for row in rows] == [str(pick.member.trial) for pick in picks]
    assert float(rows[0]["flops"]) == picks[0].member.measurements["flops"].value


def test_the_options_of_the_command(run: Run, searched: tuple[Path, Front]) -> None:
    folder, front = searched
    bound = sorted(m.measurements["flops"].value for m in front)[1] / 1e6

    def picked(*options: str) -> list[int]:
        answer = run("select", str(folder), "--json", *options)
        assert answer.status == 0, answer.err
        return [record["trial"] for record in json.loads(answer.out)]

    def expected(**wishes: object) -> list[int]:
        return _trials(motemo.select(front, **wishes))  # type: ignore[arg-type]

    assert picked("--max", f"flops={bound}M") == expected(constraints=[f"flops<={bound}M"])
    least = ["guess>=100000", "flops<=1G"]
    cheapest = picked("--min", "guess=100k", "--max", "flops=1G", "--prefer", "flops")
    assert cheapest == expected(constraints=least, prefer="flops")
    wish = {"guess": 2e5, "flops": 2e7}
    assert picked("--reference", "guess=200k,flops=20M") == expected(reference=wish)
    weights = {"guess": 2.0, "flops": 1.0}
    assert picked("--weights", "guess=2,flops=1") == expected(weights=weights)
    assert picked("--knee", "--spread", "3") == expected(knee=True, spread=3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--max", "flops"], "Write NAME=NUMBER"),
        (["--max", "flops<=5"], "Write NAME=NUMBER"),
        (["--max", "speed=5"], "speed"),
        (["--weights", "flops=1,flops=2"], "more than once"),
        (["--reference", "flops=many"], "Malformed --reference 'flops=many'. Write NAME=NUMBER"),
        (["--json", "--csv"], "not both"),
        (["--name", "long"], "No finalists of this run are called 'long'"),
    ],
)
def test_the_command_refuses(
    run: Run, searched: tuple[Path, Front], options: list[str], says: str
) -> None:
    answer = run("select", str(searched[0]), *options)
    assert (answer.status, answer.out) == (2, "")
    assert says in answer.err


def test_trained_finalists_are_chosen_by_what_they_learnt(run: Run, tmp_path: Path) -> None:
    front, storage = _search(tmp_path)
    trained = motemo.rescore(
        front, Learnt(), 3, replaces="guess", storage=storage, study_name="motemo-trained"
    )
    best = max(trained.evaluated, key=lambda m: m.measurements["accuracy"].value)
    answer = run("select", str(tmp_path), "--prefer", "accuracy", "--json")
    (record,) = json.loads(answer.out)
    assert (record["trial"], record["arch"]) == (best.trial, best.architecture.genotype)
    assert "3 trained finalists" in answer.err
    answer = run("select", str(tmp_path), "--prefer", "guess", "--estimates", "--json", "--quiet")
    assert [r["trial"] for r in json.loads(answer.out)] == [front.members[0].trial]
    assert answer.err == ""
