"""Re-scoring: who is evaluated again, what the front becomes, and that nothing is lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import motemo
from motemo import records
from motemo.constraint import Constraint
from motemo.errors import SettingsError
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement, Outcome, Stage, evaluate_each
from motemo.pareto import layers, ranked
from motemo.rescoring import is_predicted

SPACE = motemo.FunctionSpace(
    name="shapes",
    genes=(
        motemo.Gene("width", tuple(range(1, 13))),
        motemo.Gene("depth", (1, 2, 3, 4)),
        motemo.Gene("residual", (False, True)),
    ),
    build_network=lambda *_: None,  # nothing here builds a network
)


@dataclass(frozen=True, kw_only=True)
class Trained(motemo.Objective):
    """The true accuracy; counts its evaluations, and raises for one width."""

    calls: Counter[str] = field(default_factory=Counter, compare=False)
    name: str = "trained"
    unit: str = "%"
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = False
    fails_at: int | None = None
    epochs: int = 12

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._train)

    def _train(self, architecture: motemo.Architecture) -> Measurement:
        self.calls[architecture.key] += 1
        if SPACE.read(architecture.genotype)["width"] == self.fails_at:
            raise RuntimeError("out of memory")
        return Measurement.exact(_truth(architecture), self.unit)

    def identity(self) -> dict[str, Any]:
        return {"epochs": self.epochs}


def _values(architecture: motemo.Architecture) -> tuple[int, int, bool]:
    width, depth, residual = SPACE.read(architecture.genotype).values()
    return int(width), int(depth), bool(residual)


def _estimate(architecture: motemo.Architecture) -> float:
    """An estimate that does not see what a residual connection is good for."""
    width, depth, residual = _values(architecture)
    return float(np.log(width) + np.log(depth) / 2 - 0.05 * residual)


def _truth(architecture: motemo.Architecture) -> float:
    return _estimate(architecture) + 0.5 * _values(architecture)[2]


def _cost(architecture: motemo.Architecture) -> float:
    width, depth, residual = _values(architecture)
    return width * depth + 0.1 * residual


def _front(*, costs: bool = True, constraints: Sequence[str] = ()) -> Front:
    """Everything that there is, evaluated; trial numbers follow the genes."""
    genes = product(*(gene.choices for gene in SPACE.genes))
    names = [gene.name for gene in SPACE.genes]
    architectures = [
        SPACE.architecture(SPACE.write(dict(zip(names, values, strict=True)))) for values in genes
    ]
    axes = [Axis("guess", "1", Direction.MAXIMIZE), Axis("ms", "ms", Direction.MINIMIZE)]
    members = [
        Member(
            trial,
            a,
            {
                "guess": Measurement.exact(_estimate(a), "1"),
                "ms": Measurement.exact(_cost(a), "ms"),
            },
        )
        for trial, a in enumerate(architectures)
    ]
    return Front.of(
        members,
        axes=axes if costs else axes[:1],
        constraints=[Constraint.parse(text) for text in constraints],
    )


def _true_volume(front: Front) -> float:
    points = np.array([[_truth(m.architecture), _cost(m.architecture)] for m in front])
    directions = [Direction.MAXIMIZE, Direction.MINIMIZE]
    from motemo.pareto import hypervolume

    return hypervolume(points, directions, [0.0, 50.0])


def test_with_one_objective_the_k_best_are_evaluated_and_the_best_is_handed_over() -> None:
    front, trained = _front(costs=False), Trained()
    again = motemo.rescore(front, trained, 5)
    estimates = sorted((_estimate(m.architecture) for m in front.evaluated), reverse=True)
    assert sum(trained.calls.values()) == 5
    assert (
        sorted((_estimate(m.architecture) for m in again.evaluated), reverse=True) == estimates[:5]
    )
    [best] = again.members
    assert best.measurements["trained"].value == max(
        _truth(m.architecture) for m in again.evaluated
    )
    assert front.members != again.members  # the estimate had it wrong
    [only] = motemo.rescore(front, trained, 1).members
    assert only.trial == front.members[0].trial


def test_by_default_everything_on_the_new_front_is_evaluated() -> None:
    front, trained = _front(), Trained()
    again = motemo.rescore(front, trained, 8)
    assert [axis.name for axis in again.axes] == ["trained", "ms"]
    assert len(again.evaluated) == 8 == len(trained.calls)
    on_front = {m.trial for m in front}
    assert {m.trial for m in again.evaluated} <= on_front
    assert all(not is_predicted(m.measurements["trained"]) for m in again.evaluated)


def test_more_than_the_front_holds_takes_the_next_layer() -> None:
    front = _front()
    values = np.array([[m.measurements[a.name].value for a in front.axes] for m in front.evaluated])
    layer = layers(values, [a.direction for a in front.axes])
    k = int((layer == 0).sum()) + 3
    again = motemo.rescore(front, Trained(), k)
    found = Counter(layer[m.trial] for m in again.evaluated)
    assert found == {0: k - 3, 1: 3}


def test_keeping_the_others_finds_challengers_and_more_of_the_true_front() -> None:
    front, trained = _front(), Trained()
    again = motemo.rescore(front, trained, 12, keep_others=True)
    assert len(trained.calls) == 12
    old = {m.trial for m in front}
    scored = {m.trial for m in again.evaluated if not is_predicted(m.measurements["trained"])}
    assert len(scored) == 12
    assert not scored & old  # all of them were behind the front
    assert old <= {m.trial for m in again}
    volumes = [_true_volume(f) for f in (motemo.rescore(front, Trained(), 12), front, again)]
    assert volumes == sorted(volumes)
    assert volumes[2] > 1.1 * volumes[1]
    predicted = [m for m in again if is_predicted(m.measurements["trained"])]
    assert predicted
    assert all(m.measurements["trained"].low < m.measurements["trained"].value for m in predicted)


def test_challengers_run_out_without_harm() -> None:
    front = _front(constraints=["ms<=3"])
    trained = Trained()
    again = motemo.rescore(front, trained, 50, keep_others=True)
    kept = {m.trial for m in front.evaluated if _cost(m.architecture) <= 3}
    assert {m.trial for m in again.evaluated} == kept
    assert len(trained.calls) == len(kept)


@pytest.mark.parametrize("keep_others", [False, True])
def test_what_is_stored_is_not_evaluated_again(keep_others: bool, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    front, trained = _front(), Trained()
    first = motemo.rescore(front, trained, 6, keep_others=keep_others, storage=storage)
    assert sum(trained.calls.values()) == 6
    second = motemo.rescore(front, trained, 6, keep_others=keep_others, storage=storage)
    assert sum(trained.calls.values()) == 6
    assert [m.trial for m in second] == [m.trial for m in first]
    motemo.rescore(front, trained, 9, keep_others=keep_others, storage=storage)
    assert max(trained.calls.values()) == 1

    study = optuna.load_study(study_name="rescored", storage=storage)
    stored = motemo.read_front(study, space=SPACE)
    assert [axis.name for axis in stored.axes] == ["trained", "ms"]
    assert {m.architecture.key for m in stored.evaluated} == set(trained.calls)
    for trial in study.trials:
        member = front.evaluated[trial.user_attrs[records.RESCORES]]
        assert member.architecture.genotype == trial.user_attrs[records.GENOTYPE]
        assert trial.values == [_truth(member.architecture), _cost(member.architecture)]


def test_a_killed_rescoring_loses_nothing(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    front, trained = _front(), Trained()

    def stop(done: int, wanted: int) -> None:
        assert wanted == 6
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        motemo.rescore(front, trained, 6, storage=storage, on_progress=stop)
    motemo.rescore(front, trained, 6, storage=storage)
    assert list(trained.calls.values()) == [1] * 6


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    motemo.rescore(_front(), Trained(), 2, storage=storage)
    with pytest.raises(SettingsError, match="epochs: stored 12, given 50"):
        motemo.rescore(_front(), Trained(epochs=50), 2, storage=storage)


def test_what_fails_is_reported_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    front = _front(costs=False)
    with caplog.at_level(logging.WARNING):
        again = motemo.rescore(front, Trained(fails_at=12), 3)
    assert "out of memory" in caplog.text
    assert all(_values(m.architecture)[0] != 12 for m in again.evaluated)
    assert len(again.evaluated) < 3


def test_constraints_on_the_others_stay() -> None:
    front = _front(constraints=["ms<=20", "guess>=1"])
    again = motemo.rescore(front, Trained(), 4)
    assert [str(c) for c in again.constraints] == ["ms<=20"]
    assert all(_cost(m.architecture) <= 20 for m in again.evaluated)
    assert all(_estimate(m.architecture) >= 1 for m in again.evaluated)


def test_impossible_settings_are_refused() -> None:
    front = _front()
    with pytest.raises(SettingsError, match="at least 1; got 0"):
        motemo.rescore(front, Trained(), 0)
    with pytest.raises(SettingsError, match="cannot replace 'ms'"):
        motemo.rescore(front, Trained(), 2, replaces="ms")
    with pytest.raises(SettingsError, match="already"):
        motemo.rescore(front, Trained(name="ms"), 2)
    with pytest.raises(SettingsError, match="at least 2 objectives"):
        motemo.rescore(_front(costs=False), Trained(), 9, keep_others=True)
    with pytest.raises(SettingsError, match="empty"):
        motemo.rescore(Front.of([], axes=front.axes), Trained(), 2)


def test_ranked_sorts_by_layer_then_by_crowding() -> None:
    values = np.array([[0.0, 3.0], [1.0, 1.9], [1.1, 1.8], [3.0, 0.0], [2.0, 4.0], [4.0, 4.0]])
    both = [Direction.MINIMIZE] * 2
    assert layers(values, both).tolist() == [0, 0, 0, 0, 1, 2]
    order = ranked(values, both).tolist()
    assert set(order[:2]) == {0, 3}  # the ends are never crowded
    assert order[4:] == [4, 5]
    assert ranked(values[:, :1], [Direction.MAXIMIZE]).tolist() == [5, 3, 4, 2, 1, 0]
