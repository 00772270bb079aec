"""Combining estimates without labels: positions in a reference sample, and their mean."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import motemo
from motemo.data.pipeline import load_data
from motemo.errors import DataError, OutputError, SettingsError
from motemo.objective import Direction, Failure, Measurement, Outcome, Stage, evaluate_each
from motemo.objectives.curves import Tse, TseE
from motemo.objectives.hybrid import Hybrid, score_parts
from motemo.objectives.positions import Scale, combine
from motemo.objectives.recipe import Recipe
from motemo.objectives.reference import (
    PartScores,
    Reference,
    described,
    digest,
    random_sample,
    space_digest,
)
from motemo.registry import OBJECTIVES

CHOICES = tuple(range(6))


def _network(values: Any, shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


GRID = motemo.FunctionSpace(
    name="grid",
    genes=(motemo.Gene("x", CHOICES), motemo.Gene("y", CHOICES)),
    build_network=_network,
)


@dataclass(frozen=True, kw_only=True)
class Coordinate(motemo.Objective):
    """A gene, through a function."""

    gene: str
    through: Callable[[float], float] = float
    calls: Counter[str] = field(default_factory=Counter, compare=False, hash=False)
    name: str = "x"
    unit: str = ""
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.PROXY

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> Measurement:
        self.calls[architecture.key] += 1
        value = GRID.read(architecture.genotype)[self.gene]
        return Measurement.exact(self.through(float(value)), self.unit)

    def identity(self) -> dict[str, Any]:
        return {"gene": self.gene}


def at(x: int, y: int) -> motemo.Architecture:
    return GRID.architecture(GRID.write({"x": x, "y": y}))


def value(outcome: Outcome) -> float:
    assert isinstance(outcome, Measurement), outcome
    return outcome.value


ALL = [at(x, y) for x in CHOICES for y in CHOICES]
X, Y = Coordinate(gene="x"), Coordinate(gene="y", name="y")


# Positions


def test_positions_by_hand() -> None:
    scale = Scale.of([1.0, 2.0, 2.0, 4.0, math.nan])
    assert scale.values == (1.0, 2.0, 4.0)
    assert scale.places == (0.125, 0.5, 0.875)
    # inside linear; beyond the ends half way to the limit after the distance to the median
    given_values = np.array([1.0, 1.5, 3.0, 4.0, 6.0, 0.0])
    expected = [0.125, 0.3125, 0.6875, 0.875, 0.9375, 0.0625]
    assert scale.position(given_values).tolist() == pytest.approx(expected)


@given(
    st.lists(st.integers(-1000, 1000), min_size=3, max_size=20),
    st.lists(st.integers(-3000, 3000), min_size=2, max_size=20, unique=True),
)
def test_positions_rise_strictly_within_zero_and_one(sample: list[int], values: list[int]) -> None:
    positions = Scale.of([float(v) for v in sample]).position(np.array(sorted(values), float))
    assert (np.diff(positions) > 0).all()
    assert positions.min() > 0
    assert positions.max() < 1


def test_scale_needs_three_finite_values() -> None:
    with pytest.raises(SettingsError, match="at least 3 finite values; got 2 of 3"):
        Scale.of([1.0, 2.0, math.inf])


def test_combinations_by_hand() -> None:
    positions = np.array([[0.5, 0.1], [0.5, 0.9]])
    assert combine(positions).tolist() == pytest.approx([0.5, 0.5])
    logs = combine(positions, "log")
    assert logs.tolist() == pytest.approx([math.log(0.5), (math.log(0.1) + math.log(0.9)) / 2])


# The hybrid


def test_hybrid_by_hand() -> None:
    hybrid = Hybrid(parts=(X, Y), reference_size=36)
    # the reference is the whole space: position of x is (x + 0.5) / 6
    (mean,) = replace(hybrid, combination="mean").evaluate([at(5, 2)])
    assert value(mean) == pytest.approx((5.5 / 6 + 2.5 / 6) / 2)
    (outcome,) = hybrid.evaluate([at(5, 2)])
    assert value(outcome) == pytest.approx((math.log(5.5 / 6) + math.log(2.5 / 6)) / 2)
    assert isinstance(outcome, Measurement)
    parts: Any = outcome.record["parts"]
    assert parts["x"]["value"] == 5
    assert parts["y"]["position"] == pytest.approx(2.5 / 6)


def test_directions_are_respected_and_counts_taken_as_they_are() -> None:
    lower = replace(Y, direction=Direction.MINIMIZE)
    counted = replace(lower, stage=Stage.COUNT)
    ahead = {}
    for name, part in (("lower", lower), ("counted", counted)):
        scores = Hybrid(parts=(part,), reference_size=36).evaluate([at(0, 1), at(0, 4)])
        ahead[name] = value(scores[1]) > value(scores[0])
    assert ahead == {"lower": False, "counted": True}


def test_score_does_not_depend_on_batch_companions() -> None:
    hybrid = Hybrid(parts=(X, Y), reference_size=8)
    together = [value(o) for o in hybrid.evaluate(ALL)]
    assert together == [value(hybrid.evaluate([a])[0]) for a in ALL]
    assert together[::-1] == [value(o) for o in hybrid.evaluate(ALL[::-1])]


def test_no_ties_beyond_the_reference() -> None:
    hybrid = Hybrid(parts=(replace(X, through=lambda x: 10**x), Y), reference_size=4)
    scores = [value(o) for o in hybrid.evaluate([at(x, 3) for x in CHOICES])]
    assert scores == sorted(set(scores))


def test_monotone_change_of_a_part_keeps_the_order_along_it() -> None:
    plain = Hybrid(parts=(X, Y), reference_size=36)
    cubed = Hybrid(parts=(replace(X, through=lambda x: math.exp(x)), Y), reference_size=36)
    # values of the sample itself have the positions of their ranks, whatever the units
    assert [value(o) for o in cubed.evaluate(ALL)] == pytest.approx(
        [value(o) for o in plain.evaluate(ALL)]
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_part_without_a_finite_value_fails_by_name(bad: float) -> None:
    parts = (X, replace(Y, through=lambda y: bad if y == 3 else y))
    good, failed = Hybrid(parts=parts, reference_size=36).evaluate([at(1, 2), at(1, 3)])
    assert isinstance(good, Measurement)
    assert failed == Failure(f"the part 'y': the value is {bad}")


def test_a_minimised_part_far_beyond_the_reference_stays_finite() -> None:
    part = replace(X, direction=Direction.MINIMIZE, through=lambda x: 1e300 ** (x / 5) if x else 0)
    reference = Reference(
        space=space_digest(GRID),
        seed=0,
        size=3,
        architectures=("a", "b", "c"),
        parts=(PartScores("x", digest(described(part)), (0.0, 1.0, 2.0)),),
    )
    good, bad, worst = (
        value(o)
        for o in Hybrid(parts=(part,), reference=reference).evaluate([at(0, 0), at(4, 0), at(5, 0)])
    )
    assert good > bad > worst > -math.inf


def test_positions_infinitely_far_away_have_a_logarithm() -> None:
    scale = Scale.of([1.0, 1.0 + 1e-7, 1.0 + 2e-7])
    places = scale.position(np.array([-1e308, 1e308]))
    assert 0 < places[0] < places[1] < 1
    assert np.isfinite(np.log(places)).all()


def test_a_reference_that_cannot_be_written_is_not_scored(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    x = replace(X, calls=Counter())
    hybrid = Hybrid(parts=(x,), reference=str(tmp_path / "file" / "reference.json"))
    with pytest.raises(OutputError, match="Cannot write"):
        hybrid.evaluate([at(0, 0)])
    assert x.calls.total() == 1  # the architecture itself


def test_reference_without_values_fails_by_name() -> None:
    def broken(y: float) -> float:
        if y != 3:
            raise RuntimeError("no such weights")
        return y

    (outcome,) = Hybrid(parts=(X, replace(Y, through=broken)), reference_size=4).evaluate(
        [at(1, 3)]
    )
    assert isinstance(outcome, Failure)
    assert "the part 'y' has a value for" in outcome.reason
    assert "no such weights" in outcome.reason


def test_reference_is_scored_once(caplog: pytest.LogCaptureFixture) -> None:
    x = replace(X, calls=Counter())
    hybrid = Hybrid(parts=(x,), reference_size=6, seed=1)
    with caplog.at_level(logging.INFO, logger="motemo"):
        hybrid.evaluate([at(0, 0)])
        hybrid.evaluate([at(0, 0)])
    assert x.calls.total() == 6 + 2
    assert "6 random architectures" in caplog.text


def test_reference_as_a_value_and_as_a_file(tmp_path: Path) -> None:
    scored = Hybrid(parts=(X, Y), reference_size=6, seed=1)
    expected = [value(o) for o in scored.evaluate(ALL)]
    reference = scored.fit(GRID)
    assert Reference.from_json(reference.to_json()) == reference

    x = replace(X, calls=Counter())
    by_value = Hybrid(parts=(x, Y), reference=reference)
    assert [value(o) for o in by_value.evaluate(ALL)] == expected
    assert x.calls.total() == len(ALL)  # the reference was not scored again

    path = tmp_path / "new" / "reference.json"
    by_file = replace(scored, reference=str(path))
    assert [value(o) for o in by_file.evaluate(ALL)] == expected
    assert Reference.read(path) == reference
    assert by_file.identity() == scored.identity()
    with pytest.raises(SettingsError, match="made with seed 1 and size 6"):
        replace(by_file, seed=2).evaluate([at(0, 0)])


def test_reference_of_something_else_is_refused(tmp_path: Path) -> None:
    reference = Hybrid(parts=(X,), reference_size=6).fit(GRID)
    with pytest.raises(SettingsError, match="no scores of y with these options"):
        Hybrid(parts=(X, Y), reference=reference).evaluate([at(0, 0)])
    other = motemo.FunctionSpace(name="other", genes=GRID.genes, build_network=_network)
    with pytest.raises(SettingsError, match="another space than 'other'"):
        Hybrid(parts=(X,), reference=reference).evaluate(
            [other.architecture(other.write({"x": 0, "y": 0}))]
        )
    path = tmp_path / "x.json"
    path.write_text('{"space": 1}')
    with pytest.raises(DataError, match="no reference of a hybrid"):
        Hybrid(parts=(X,), reference=str(path)).evaluate([at(0, 0)])


def test_identity_tells_parts_combination_and_reference_apart() -> None:
    one = Hybrid(parts=(X, Y))
    others = [
        Hybrid(parts=(X,)),
        Hybrid(parts=(X, replace(Y, gene="x"))),
        replace(one, combination="mean"),
        replace(one, seed=1),
        replace(one, reference_size=9),
        replace(one, reference=one.fit(GRID)),
    ]
    assert all(other.identity() != one.identity() for other in others)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ()}, "needs parts"),
        ({"parts": (X, X)}, "a name of its own"),
        ({"parts": (X,), "combination": "max"}, "Unknown combination 'max'"),
        ({"parts": (X,), "reference_size": 2}, "at least 3"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Hybrid(**options)


def test_sample_is_valid_canonical_and_without_duplicates() -> None:
    space = motemo.NasBench201()
    sample = random_sample(space, 20, seed=0)
    assert sample == random_sample(space, 20, seed=0)
    assert len({a.key for a in sample}) == 20
    assert all(a.invalid_reason is None and a.genotype == a.key for a in sample)
    assert len(random_sample(GRID, 100, seed=0)) == 36


def test_parts_share_a_training() -> None:
    data = load_data("digits", image_size=None, classes=2, images_per_class=8, seed=0)
    recipe = Recipe(epochs=2, landscape_intervals=1)
    tse, last = Tse(data=data, recipe=recipe), TseE(data=data, recipe=recipe)
    cell = random_sample(motemo.NasBench201(), 1, seed=3)[0]
    shared = score_parts([tse, last], [cell])
    assert [value(o) for (o,) in shared] == [
        value(tse.evaluate([cell])[0]),
        value(last.evaluate([cell])[0]),
    ]


def test_registered_hybrid_takes_its_parts_by_name() -> None:
    data = load_data("digits", image_size=None, classes=2, images_per_class=8, seed=0)
    hybrid = OBJECTIVES.create(
        "hybrid", offered={"data": data, "seed": 3}, options={"parts": ("naswot", "flops")}
    )
    assert [part.name for part in hybrid.parts] == ["naswot", "flops"]
    assert hybrid.seed == hybrid.parts[0].seed == 3
    assert hybrid.stage is Stage.PROXY
    assert OBJECTIVES.create("hybrid", offered={"data": data}).stage is Stage.TRAIN


def test_the_quick_hybrid_trains_nothing() -> None:
    data = load_data("digits", images_per_class=2)
    quick = OBJECTIVES.create("quick", offered={"data": data})
    assert (quick.name, quick.stage) == ("hybrid_quick", Stage.PROXY)
    assert {part.name for part in quick.parts} == {"meco", "jacob_cov", "flops"}
    assert Hybrid.of(data).stage is Stage.TRAIN
