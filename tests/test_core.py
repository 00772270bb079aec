"""Pareto, constraints, fronts, seeds, options, registry, errors, public names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import motemo
from motemo import errors
from motemo.constraint import Constraint, check_constraints
from motemo.errors import ConstraintError, GenotypeError, SettingsError, UnknownNameError
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement
from motemo.options import parse_option, with_option
from motemo.pareto import hypervolume, non_dominated
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES, Registry
from motemo.seeds import derive_seed, seeded_torch
from motemo.space import Gene
from motemo.spaces.nasbench201 import NasBench201

Array = NDArray[np.float64]
LOW, HIGH = Direction.MINIMIZE, Direction.MAXIMIZE

# Pareto


def points(objectives: int) -> st.SearchStrategy[Array]:
    """Draw up to 12 points on a coarse grid, so that ties and equal points are common."""
    return hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 12), st.just(objectives)),
        elements=st.integers(-3, 3).map(float),
    )


directions = st.lists(st.sampled_from(Direction), min_size=3, max_size=3)


def dominates(a: Array, b: Array, signs: Sequence[int]) -> bool:
    gains = [sign * (y - x) for x, y, sign in zip(a, b, signs, strict=True)]
    return min(gains) >= 0 and max(gains) > 0


@given(points(3), directions)
def test_non_dominated_is_what_no_other_dominates(values: Array, wanted: list[Direction]) -> None:
    signs = [1 if direction is LOW else -1 for direction in wanted]
    expected = [not any(dominates(a, b, signs) for a in values) for b in values]
    assert non_dominated(values, wanted).tolist() == expected


def test_non_dominated_in_both_directions() -> None:
    values = np.array([[1.0, 5.0], [2.0, 9.0], [2.0, 4.0], [1.0, 5.0]])
    assert non_dominated(values, [LOW, HIGH]).tolist() == [True, True, False, True]
    assert non_dominated(values, [LOW, LOW]).tolist() == [True, False, True, True]


@given(points(2))
def test_hypervolume_of_two_objectives(values: Array) -> None:
    area, height = 0.0, 4.0
    for x, y in sorted(map(tuple, values)):
        area += (4.0 - x) * max(0.0, height - y)
        height = min(height, y)
    assert hypervolume(values, [LOW, LOW], (4, 4)) == pytest.approx(area)
    assert hypervolume(values * [1, -1], [LOW, HIGH], (4, -4)) == pytest.approx(area)


@given(points(3), points(3), directions)
def test_more_points_have_no_less_hypervolume(
    values: Array, more: Array, wanted: list[Direction]
) -> None:
    reference = [4.0 if direction is LOW else -4.0 for direction in wanted]
    both = np.concatenate([values, more])
    of_both = hypervolume(both, wanted, reference)
    assert of_both >= hypervolume(values, wanted, reference) - 1e-9
    front = both[non_dominated(both, wanted)]
    assert of_both == pytest.approx(hypervolume(front, wanted, reference))


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume(np.array([[1.0, 1.0], [0.0, 3.0]]), [LOW, LOW], (2, 2)) == 1.0
    assert hypervolume(np.array([[2.0, 0.0]]), [LOW, LOW], (2, 2)) == 0.0


# Constraints


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("latency_ms<=5", Constraint("latency_ms", "<=", 5)),
        (" params <= 1.5M ", Constraint("params", "<=", 1.5e6)),
        ("flops<=2 G", Constraint("flops", "<=", 2e9)),
        ("params<=10k", Constraint("params", "<=", 10_000)),
        ("mote>=-1e-3", Constraint("mote", ">=", -0.001)),
    ],
)
def test_constraint(text: str, parsed: Constraint) -> None:
    assert Constraint.parse(text) == parsed
    assert Constraint.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        *("", "params", "params<5", "params==5", "params<=", "<=5", "5<=params", "params<=5ms"),
        *("params<=nan", "params<=inf", "params<=1e400", "params<=5m", "a b<=5", "params<=5<=6"),
    ],
)
def test_malformed_constraint(text: str) -> None:
    with pytest.raises(ConstraintError, match="Write NAME<=NUMBER or NAME>=NUMBER"):
        Constraint.parse(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_constraint_round_trip(bound: float) -> None:
    constraint = Constraint("mote", ">=", bound)
    assert Constraint.parse(str(constraint)) == constraint


def test_violation() -> None:
    most, least = Constraint.parse("a<=4"), Constraint.parse("a>=4")
    assert [most.violation(v) for v in (3, 4, 6)] == [-1, 0, 2]
    assert [least.violation(v) for v in (3, 4, 6)] == [1, 0, -2]
    assert [most.relative_violation(v) for v in (3, 4, 6)] == [0, 0, 0.5]
    assert Constraint.parse("a<=0").relative_violation(3) == 3


def test_constraints_are_on_what_is_measured_and_stand_once() -> None:
    bound = Constraint.parse("params<=5")
    check_constraints([bound], ["mote", "params"])
    with pytest.raises(ConstraintError, match=r"not measured\. Measured: mote, flops"):
        check_constraints([bound], ["mote", "flops"])
    with pytest.raises(ConstraintError, match="more than once"):
        check_constraints([bound, Constraint.parse("params <= 5.0")], ["params"])


# Fronts

AXES = (Axis("mote", "1", HIGH), Axis("params", "count", LOW))


def member(trial: int, mote: float, params: float) -> Member:
    architecture = NasBench201().sample(np.random.default_rng(trial))
    return Member(
        trial,
        architecture,
        {"mote": Measurement.exact(mote, "1"), "params": Measurement.exact(params, "count")},
    )


EVALUATED = [member(3, 5, 100), member(0, 1, 10), member(1, 3, 50), member(2, 3, 60)]


def trials(front: Front) -> list[int]:
    return [m.trial for m in front]


def front_of(*constraints: str, evaluated: Sequence[Member] = EVALUATED) -> Front:
    bounds = [Constraint.parse(text) for text in constraints]
    return Front.of(evaluated, axes=AXES, constraints=bounds, settings={"seed": 1})


def test_front() -> None:
    front = front_of()
    assert trials(front) == [3, 1, 0]
    assert len(front) == 3
    assert [m.trial for m in front.evaluated] == [0, 1, 2, 3]
    assert front.feasible


def test_front_keeps_constraints() -> None:
    front = front_of("params<=60")
    assert (trials(front), front.feasible) == ([1, 0], True)
    assert len(front.evaluated) == 4


def test_front_of_what_is_infeasible() -> None:
    front = front_of("params<=5", "mote>=2")
    assert not front.feasible
    assert trials(front) == [3, 1, 0]


def test_empty_front() -> None:
    front = front_of("params<=5", evaluated=[])
    assert (len(front), front.feasible) == (0, True)


def test_front_of_equal_values_keeps_both_by_trial() -> None:
    assert trials(front_of(evaluated=[member(7, 1, 1), member(4, 1, 1)])) == [4, 7]


def test_within_adds_constraints() -> None:
    front = front_of("params<=60").within("mote>=2", "params<=55")
    assert trials(front) == [1]
    assert [str(c) for c in front.constraints] == ["params<=60", "mote>=2", "params<=55"]
    assert front.settings == {"seed": 1}
    with pytest.raises(ConstraintError, match="'latency_ms', which is not measured"):
        front.within("latency_ms<=5")


# Genes and seeds


@pytest.mark.parametrize("choices", [(), (1, 1), ("a", "b", "a"), (float("nan"), 1.0)])
def test_gene_with_impossible_choices(choices: tuple[str | float, ...]) -> None:
    with pytest.raises(GenotypeError, match="at least one choice, no choice twice"):
        Gene("width", choices)


def test_seeds_are_the_same_everywhere() -> None:
    assert derive_seed() == 8203414616412130826
    assert derive_seed("sampler", 0, 1) == 4794705399845091198
    assert derive_seed("a", "b") != derive_seed("ab") != derive_seed("b", "a")
    assert derive_seed(1) != derive_seed("1")


def test_seeds_are_63_bits() -> None:
    seeds = [derive_seed(n) for n in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({*seeds}) == 1000
    assert max(seeds) > 2**62


def test_seeded_torch_restores_the_global_generator() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with seeded_torch(1):
        one = torch.rand(3)
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ZeroDivisionError), seeded_torch(1):  # noqa: PT012
        assert torch.equal(one, torch.rand(3))
        raise ZeroDivisionError
    assert torch.equal(state, torch.get_rng_state())


def test_seeded_torch_leaves_other_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    with seeded_torch(1):
        pass
    assert not seeded


# Options


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    mode: str = "a"
    limit: int | None = None
    fixed: int = field(default=1, init=False)


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    epochs: int = 2
    quiet: bool = False


def given_option(text: str) -> Outer:
    _, path, value = parse_option(text)
    changed: Outer = with_option(Outer(), path, value, shown=text)
    return changed


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("x.epochs=8", Outer(epochs=8)),
        ("x.inner.rate=2", Outer(Inner(rate=2.0))),
        ("x.inner.mode= b=c ", Outer(Inner(mode="b=c"))),
        ("x.inner.limit=null", Outer(Inner(limit=None))),
        ("x.inner.limit=3", Outer(Inner(limit=3))),
        ("x.quiet=true", Outer(quiet=True)),
    ],
)
def test_option(text: str, changed: Outer) -> None:
    assert given_option(text) == changed


def test_a_whole_number_for_a_float_becomes_one() -> None:
    assert type(given_option("x.inner.rate=2").inner.rate) is float


@pytest.mark.parametrize("text", ["", "x", "x=1", "x.epochs", ".epochs=1", "x.=1", "x..y=1"])
def test_malformed_option(text: str) -> None:
    with pytest.raises(SettingsError, match=r"Write NAME\.FIELD=VALUE"):
        parse_option(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x.epoch=8", "Outer has no 'epoch'. Fields: epochs, inner, quiet"),
        ("x.inner.fixed=8", "Inner has no 'fixed'"),
        ("x.epochs.deep=8", "int has no 'deep'. Fields: none"),
        ("x.epochs=8.5", "needs a value of type int, such as 2; got 8.5"),
        ("x.epochs=true", "needs a value of type int"),
        ("x.quiet=1", "needs a value of type bool"),
        ("x.inner.mode=1", "needs a value of type str"),
    ],
)
def test_impossible_option(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        given_option(text)


# Registry


@pytest.mark.parametrize("registry", [SPACES, OBJECTIVES, SAMPLERS, DEVICES])
def test_every_entry_loads_and_says_what_it_is(registry: Registry) -> None:
    names = [entry.name for entry in registry]
    assert len({*names}) == len(names)
    for entry in registry:
        assert callable(entry.load())
        assert entry.summary
        assert registry.parameters(entry.name) is not None


def test_unknown_name_suggests() -> None:
    with pytest.raises(UnknownNameError) as caught:
        OBJECTIVES.create("mot")
    assert str(caught.value).startswith("Unknown objective 'mot'. Did you mean 'mote'? Available:")
    assert caught.value.name == "mot"
    assert caught.value.available == tuple(sorted(entry.name for entry in OBJECTIVES))
    with pytest.raises(UnknownNameError, match=r"Unknown device 'xyzzy'\. Available: cpu, cuda, "):
        DEVICES.entry("xyzzy")


def test_create_gives_what_is_offered_and_asked_for() -> None:
    space = SPACES.create("nasbench201", offered={"seed": 1, "cells": None}, options={"cells": 2})
    assert space == NasBench201(cells=2)


def test_create_says_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="The objective 'mote' needs data"):
        OBJECTIVES.create("mote")
    with pytest.raises(SettingsError, match=r"no option 'depth'\. Options: name, "):
        SPACES.create("nasbench201", options={"depth": 2})
    with pytest.raises(SettingsError, match=r"no option 'population'\. Options: seed"):
        SAMPLERS.create("random", options={"population": 8})


def test_third_parties_register_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points_ = [
        metadata.EntryPoint("tiny", "test_core:Outer", "motemo.spaces"),
        metadata.EntryPoint("nasbench201", "test_core:Outer", "motemo.spaces"),
    ]
    asked: list[str] = []

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        asked.append(group)
        return points_

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    assert [entry.name for entry in SPACES] == [*(e.name for e in SPACES.builtin), "tiny"]
    assert asked == ["motemo.spaces"]
    assert SPACES.entry("tiny").summary == "from test_core"
    created = SPACES.create("tiny", options={"epochs": 3})
    assert type(created).__name__ == "Outer"
    assert created.epochs == 3
    assert isinstance(SPACES.create("nasbench201"), NasBench201)  # motemo's own stands


# Errors and public names


def test_the_tree_of_errors_is_the_real_one() -> None:
    drawn: dict[str, str] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            drawn[match[2]] = parents[depth - 1] if depth else "Exception"
    real = {
        name: value.__base__.__name__
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, Exception)
    }
    assert drawn == real


@pytest.mark.parametrize("name", motemo.__all__)
def test_public_name(name: str) -> None:
    public = getattr(motemo, name)
    assert name in dir(motemo)
    assert public.__name__ == name
    assert public.__module__.startswith("motemo.")


def test_public_names_are_spelt_out_for_type_checkers() -> None:
    source = inspect.getsource(motemo)
    typed = re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)
    assert sorted(name for _, name in typed) == motemo.__all__
    for module, name in typed:
        assert getattr(motemo, name).__module__ == module


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="module 'motemo' has no attribute 'xyzzy'"):
        motemo.xyzzy  # noqa: B018
