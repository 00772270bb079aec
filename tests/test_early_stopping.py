"""Early stopping: what is read from curves, who is stopped, and that nobody else is touched."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial
from torch import nn

import motemo
from motemo import cli, records
from motemo.constraint import Constraint
from motemo.early_stopping import EarlyStopping, Judge
from motemo.errors import SettingsError
from motemo.learning_curve import CurveReading, Floats
from motemo.objective import (
    EPOCH_LOSSES,
    Direction,
    Measurement,
    Outcome,
    Skipped,
    Stage,
    Watch,
    Watchable,
)
from motemo.objectives.recipe import Recipe
from motemo.search_loop import Progress

EPOCHS = 5
SOON = EarlyStopping(min_curves=4, confidence=0.75)


def _nothing(values: Mapping[str, Any], shape: tuple[int, int, int], classes: int) -> nn.Module:
    raise RuntimeError("nothing here builds a network")


SPACE = motemo.FunctionSpace(
    name="curves",
    genes=(motemo.Gene("skill", tuple(range(16))), motemo.Gene("cost", (1, 2, 4, 8))),
    build_network=_nothing,
)


def curve(skill: float) -> list[float]:
    """Losses that tell the skill from the first epoch on."""
    return [math.exp(-0.05 * skill) / epoch for epoch in range(1, EPOCHS + 1)]


@dataclass(frozen=True, kw_only=True)
class Training(Watchable):
    """Shows a curve epoch by epoch; the value is the skill behind it. Counts the epochs."""

    epochs: list[int] = field(default_factory=list, compare=False)
    name: str = "skill"
    unit: str = ""
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    dies_at: int | None = None

    def evaluate_watched(
        self, architectures: Sequence[motemo.Architecture], watch: Watch
    ) -> list[Outcome]:
        return [self._train(architecture, watch) for architecture in architectures]

    def identity(self) -> dict[str, Any]:
        return {}

    def _train(self, architecture: motemo.Architecture, watch: Watch) -> Outcome:
        if len(self.epochs) == self.dies_at:
            raise KeyboardInterrupt
        skill = float(SPACE.read(architecture.genotype)["skill"])
        losses = curve(skill)
        for epoch in range(1, EPOCHS + 1):
            reason = watch(architecture, losses[:epoch])
            if reason is not None:
                self.epochs.append(epoch)
                return Skipped(reason, {EPOCH_LOSSES: losses[:epoch]}, paid=True)
        self.epochs.append(EPOCHS)
        value = skill if self.direction is Direction.MAXIMIZE else -skill
        return Measurement.exact(value, self.unit, {EPOCH_LOSSES: losses})


@dataclass(frozen=True, kw_only=True)
class Cost(motemo.Objective):
    """Reads the cost off the genes."""

    name: str = "cost"
    unit: str = ""
    direction: Direction = Direction.MINIMIZE
    stage: Stage = Stage.MEASURE

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        genes = [SPACE.read(architecture.genotype) for architecture in architectures]
        return [Measurement.exact(float(g["cost"]), self.unit) for g in genes]

    def identity(self) -> dict[str, Any]:
        return {}


def trial(
    skill: float, cost: float, *, losses: list[float] | None = None, completed: bool = True
) -> FrozenTrial:
    """Return a finished trial as a search stores it."""
    measured: dict[str, tuple[float, dict[str, Any]]] = {
        "skill": (skill, {EPOCH_LOSSES: curve(skill) if losses is None else losses}),
        "cost": (cost, {}),
    }
    return create_trial(
        state=TrialState.COMPLETE if completed else TrialState.PRUNED,
        values=[skill, cost] if completed else None,
        user_attrs={
            f"measurement:{name}": {"value": v, "unit": "", "low": v, "high": v, "record": record}
            for name, (v, record) in measured.items()
        },
    )


def judge(
    trials: Sequence[FrozenTrial],
    *constraints: str,
    rule: EarlyStopping = SOON,
    objectives: Sequence[motemo.Objective] = (Training(), Cost()),
) -> Judge:
    bounds = [Constraint.parse(text) for text in constraints]
    return Judge.of(rule, trials, objectives=objectives, constraints=bounds)


def verdict(judge: Judge, skill: float, cost: float, *, epochs: int = 2) -> str | None:
    """Return what is said of a candidate after some epochs."""
    training = judge.objectives[0]
    return judge(training, {"cost": Measurement.exact(cost, "")}, curve(skill)[:epochs])


SKILLS = (1.0, 3.0, 5.0, 8.0, 10.0, 12.0, 14.0)
LADDER = [trial(skill, 2) for skill in SKILLS]


# Reading curves


def exchangeable(rng: np.random.Generator, n: int) -> tuple[Floats, Floats, Floats]:
    """Return curves, costs, and values that follow from them up to noise."""
    costs, losses = rng.uniform(0, 9, (n, 1)), rng.uniform(0.2, 3, (n, 4))
    return losses, costs, -np.log1p(losses[:, -1]) + 0.1 * costs[:, 0] + rng.normal(0, 0.1, n)


def test_a_reading_holds_as_often_as_promised() -> None:
    rng, held = np.random.default_rng(0), []
    for _ in range(300):
        losses, costs, values = exchangeable(rng, 41)
        reading = CurveReading.fit(losses[1:], costs[1:], values[1:])
        held.append(values[0] <= reading.highest(losses[0], costs[0], 0.8))
    assert 0.75 < np.mean(held) < 0.88


def test_too_few_curves_say_nothing() -> None:
    losses, costs, values = exchangeable(np.random.default_rng(0), 19)
    assert CurveReading.fit(losses, costs, values).highest(losses[0], costs[0], 0.95) < math.inf
    fewer = CurveReading.fit(losses[1:], costs[1:], values[1:])
    assert fewer.highest(losses[0], costs[0], 0.95) == math.inf


def test_left_out_errors_are_those_of_regressions_without_the_curve() -> None:
    losses, costs, values = exchangeable(np.random.default_rng(1), 24)
    errors = []
    for row in range(24):
        rest = np.arange(24) != row
        without = CurveReading.fit(losses[rest], costs[rest], values[rest])
        predicted = without.highest(losses[row], costs[row], 0.5) - without.errors[11]
        errors.append(values[row] - predicted)
    found = CurveReading.fit(losses, costs, values).errors
    assert np.abs(found).mean() == pytest.approx(np.abs(errors).mean(), rel=0.1)


def test_equal_curves_and_no_costs_are_read_too() -> None:
    reading = CurveReading.fit(np.ones((30, 3)), np.empty((30, 0)), np.arange(30.0))
    assert 25 < reading.highest(np.ones(3), np.empty(0), 0.9) < 32


# Judging


def test_who_cannot_enter_the_front_is_stopped() -> None:
    reason = verdict(judge(LADDER), 4, 2)
    assert reason is not None
    assert "cannot enter the front" in reason
    assert "2 of 5 epochs" in reason


@pytest.mark.parametrize(("skill", "cost"), [(15, 2), (4, 1), (15, 9)])
def test_who_may_enter_the_front_goes_on(skill: float, cost: float) -> None:
    assert verdict(judge(LADDER), skill, cost) is None


def test_directions_are_heeded() -> None:
    """The same study with every value turned round gives the same verdicts."""
    flipped = (Training(direction=Direction.MINIMIZE), Cost(direction=Direction.MAXIMIZE))
    turned = [trial(-s, -2, losses=curve(s)) for s in SKILLS]
    for skill, cost in ((4, 2), (4, 1), (15, 2), (12, 3), (9, 2)):
        plain = verdict(judge(LADDER), skill, cost)
        other = verdict(judge(turned, objectives=flipped), skill, -cost)
        assert (plain is None) == (other is None)


def test_a_single_objective_must_beat_the_best() -> None:
    alone = judge(LADDER, objectives=[Training()])
    assert verdict(alone, 4, 1) is not None
    assert verdict(alone, 15, 1) is None


def test_two_layers_keep_what_one_stops() -> None:
    one, two = judge(LADDER), judge(LADDER, rule=replace(SOON, layers=2))
    dearer = [trial(13.0, 3)]  # second layer: (14, 2) dominates it
    assert verdict(one, 11, 2) is not None
    assert verdict(two, 11, 2) is not None  # (12, 2) is in the second layer
    assert verdict(judge(dearer + LADDER[:-2], rule=replace(SOON, layers=2)), 9, 2) is None
    stopped = [skill for skill in range(16) if verdict(two, skill, 2)]
    assert set(stopped) < {skill for skill in range(16) if verdict(one, skill, 2)}


def test_too_little_is_known_to_stop_anyone() -> None:
    assert verdict(judge([]), 0, 8) is None
    assert verdict(judge(LADDER[:3]), 0, 8) is None
    assert verdict(judge(LADDER, rule=replace(SOON, min_curves=8)), 0, 8) is None
    assert verdict(judge(LADDER, rule=EarlyStopping(min_curves=1)), 0, 8) is None
    assert verdict(judge(LADDER, rule=replace(SOON, layers=9)), 0, 8) is None


def test_an_unknown_objective_may_be_the_strength() -> None:
    assert judge(LADDER)(Training(), {}, curve(0)) is None


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_losses_that_are_not_finite_decide_nothing(odd: float) -> None:
    cost = {"cost": Measurement.exact(2.0, "")}
    assert judge(LADDER)(Training(), cost, [1.0, odd]) is None
    spoilt = [trial(0, 2, losses=[odd] * EPOCHS), trial(0, 2, losses=[]), trial(0, 2, losses=[1.0])]
    assert verdict(judge(spoilt + LADDER), 4, 2) == verdict(judge(LADDER), 4, 2)


def test_the_first_tenth_of_the_epochs_decides_nothing() -> None:
    def slowly(skill: float) -> list[float]:
        return [loss for loss in curve(skill) for _ in range(6)]

    found = judge([trial(skill, 2, losses=slowly(skill)) for skill in SKILLS])
    cost = {"cost": Measurement.exact(2.0, "")}
    said = [found(Training(), cost, slowly(0)[:epochs]) is not None for epochs in (1, 2, 3, 4)]
    assert said == [False, False, True, True]


def test_who_breaks_a_bound_is_no_rival() -> None:
    cheap = [trial(15, 1), *LADDER]
    assert verdict(judge(cheap), 13.5, 2) is not None
    assert verdict(judge(cheap, "cost>=2"), 15, 2) is None


def test_a_bound_that_is_out_of_reach_stops() -> None:
    kept = "skill>=9"
    above = [trial(skill, 2) for skill in SKILLS if skill >= 9]
    pruned = [trial(skill, 2, completed=False) for skill in SKILLS if skill < 9]
    reason = verdict(judge(above + pruned, kept), 1, 1)
    assert reason is not None
    assert "cannot keep its bound" in reason
    assert verdict(judge(pruned + pruned, kept), 1, 1) is None, "nobody keeps it: someone must try"
    assert verdict(judge(LADDER, "skill<=13"), 15, 1) is None, "it may come out lower than read"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.booleans())
def test_while_readings_hold_only_the_dominated_are_stopped(
    seed: int, layers: int, minimise: bool
) -> None:
    """If the value is not above its reading, `layers` completed trials dominate who is stopped."""
    rng = np.random.default_rng(seed)
    sign = -1.0 if minimise else 1.0
    direction = Direction.MINIMIZE if minimise else Direction.MAXIMIZE
    skills, costs = rng.uniform(0, 16, 30), rng.integers(1, 9, 30).astype(float)
    trials = [
        trial(sign * s, c, losses=curve(s + e))
        for s, c, e in zip(skills, costs, rng.normal(0, 2, 30), strict=True)
    ]
    rule = EarlyStopping(layers=layers)
    found = judge(trials, rule=rule, objectives=(Training(direction=direction), Cost()))
    for _ in range(20):
        skill, cost = rng.uniform(0, 16), float(rng.integers(1, 9))
        losses = curve(skill + rng.normal(0, 2))[:3]
        known = {"cost": Measurement.exact(cost, "")}
        if found(found.objectives[0], known, losses) is not None:
            best = found.lessons["skill"].best(np.array(losses), np.array([cost]), rule.confidence)
            if skill <= sign * best:
                better = (skills >= skill) & (costs <= cost)
                assert better.sum() >= layers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_curves": 0}, "min_curves of at least 1; got 0"),
        ({"layers": 0}, "layers of at least 1; got 0"),
        ({"confidence": 1.0}, "confidence above 0 and below 1; got 1.0"),
    ],
)
def test_rules_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EarlyStopping(**options)


# Searching


def search(
    storage: optuna.storages.BaseStorage | str | None = None,
    *,
    training: Training | None = None,
    rule: bool | EarlyStopping = SOON,
    **options: Any,
) -> motemo.Front:
    arguments: dict[str, Any] = {"trials": 40, "sampler": "random", "storage": storage, **options}
    objectives = [training or Training(), Cost()]
    return motemo.search(SPACE, objectives, early_stopping=rule, **arguments)


def values(front: motemo.Front) -> set[tuple[float, float]]:
    return {(m.measurements["skill"].value, m.measurements["cost"].value) for m in front}


def test_a_search_finds_the_same_front_with_fewer_epochs() -> None:
    watched, alone = Training(), Training()
    assert values(search(training=watched)) == values(search(training=alone, rule=False))
    assert sum(watched.epochs) < 0.7 * sum(alone.epochs)
    assert min(watched.epochs) < EPOCHS


def test_a_stopped_training_is_paid_and_kept_apart() -> None:
    storage, seen = optuna.storages.InMemoryStorage(), list[Progress]()
    search(storage, on_progress=seen.append)
    trials = optuna.load_study(study_name="motemo", storage=storage).get_trials()
    stopped = [t for t in trials if records.was_stopped(t.user_attrs)]
    assert stopped
    for each in stopped:
        assert each.state is TrialState.PRUNED
        assert 0 < len(each.user_attrs["stopped:skill"][EPOCH_LOSSES]) < EPOCHS
        assert "measurement:skill" not in each.user_attrs
        assert "measurement:cost" in each.user_attrs
        assert each.user_attrs[records.REASON].startswith("stopped: skill: cannot enter the front")
    assert seen[-1].trials["stopped"] == len(stopped)
    assert 40 <= seen[-1].completed + len(stopped) == seen[-1].paid < 44
    assert seen[-1].stopped_early is None


def test_a_batch_is_judged_by_earlier_batches_alone() -> None:
    """Killed in the middle of a batch, and continued, it stops the same trainings."""
    whole, killed = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    search(whole, batch_size=6)
    for deaths in (9, 17, 8):
        with pytest.raises(KeyboardInterrupt):
            search(killed, batch_size=6, training=Training(dies_at=deaths))
    search(killed, batch_size=6)
    one, other = (
        [
            (t.number, t.state, t.params, t.values, t.user_attrs)
            for t in optuna.load_study(study_name="motemo", storage=storage).get_trials()
        ]
        for storage in (whole, killed)
    )
    assert one == other


def test_the_rule_belongs_to_the_study() -> None:
    storage = optuna.storages.InMemoryStorage()
    search(storage, trials=4, rule=True)
    with pytest.raises(SettingsError, match=r"early_stopping.confidence: stored 0.95, given 0.75"):
        search(storage, trials=4)
    with pytest.raises(SettingsError, match="early_stopping: stored"):
        search(storage, trials=4, rule=False)


def test_a_search_without_training_has_nothing_to_stop() -> None:
    with pytest.raises(SettingsError, match="such as 'mote'; got cost"):
        motemo.search(SPACE, [Cost()], early_stopping=True)


def test_while_nothing_is_feasible_nothing_is_stopped() -> None:
    training = Training()
    front = search(training=training, trials=8, constraints=["cost<=0"])
    assert not front.feasible
    assert set(training.epochs) == {EPOCHS}


def test_workers_stop_trainings_too(tmp_path: Path) -> None:
    training = Training()
    front = motemo.work(
        SPACE,
        [training, Cost()],
        storage=f"journal:{tmp_path}/study.log",
        trials=40,
        sampler="random",
        early_stopping=SOON,
    )
    assert min(training.epochs) < EPOCHS == max(training.epochs)
    assert len(training.epochs) == 40
    assert values(front) == values(search(rule=False))


def test_a_study_of_ones_own_prunes_too() -> None:
    training = Training()
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    objective = motemo.trial_objective(SPACE, [training, Cost()], early_stopping=SOON)
    study.optimize(objective, n_trials=40)
    pruned = [t for t in study.trials if records.was_stopped(t.user_attrs)]
    assert pruned
    assert all(trial.state is TrialState.PRUNED for trial in pruned)
    assert min(training.epochs) < EPOCHS
    best = {(t.values[0], t.values[1]) for t in study.best_trials}
    assert values(motemo.read_front(study, space=SPACE)) == best


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--data-classes", "3", "--images-per-class", "4", "--set", "mote.recipe.epochs=1"]

    def status(*options: str) -> object:
        given = ["motemo", "search", "--objective", "mote", "--trials", "2", *small, *options]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    assert status("--early-stopping") in (0, None)
    assert status("--no-early-stopping") == 2
    assert "early_stopping: stored" in capsys.readouterr().err


# Real trainings


def test_who_is_not_stopped_trains_as_if_nobody_watched() -> None:
    data = motemo.load_data("digits", classes=4, images_per_class=12)
    mote = motemo.Mote(data=data, recipe=Recipe(epochs=3, landscape_intervals=2))
    found: list[dict[int, FrozenTrial]] = []
    for rule in (False, EarlyStopping(min_curves=6, confidence=0.8)):
        storage = optuna.storages.InMemoryStorage()
        motemo.search(
            motemo.NasBench201(),
            [mote, motemo.Params(classes=4)],
            trials=16,
            sampler="random",
            storage=storage,
            early_stopping=rule,
        )
        study = optuna.load_study(study_name="motemo", storage=storage)
        found.append({t.number: t for t in study.get_trials()})
    alone, watched = found
    assert alone.keys() == watched.keys()
    stopped = [n for n, t in watched.items() if records.was_stopped(t.user_attrs)]
    finished = [n for n, t in watched.items() if t.state is TrialState.COMPLETE]
    assert stopped
    assert len(stopped) + len(finished) >= 16
    for number in finished:
        assert watched[number].values == alone[number].values
        assert _record(watched[number]) == _record(alone[number])
    for number in stopped:
        partial = watched[number].user_attrs["stopped:mote"][EPOCH_LOSSES]
        assert partial == _record(alone[number])[EPOCH_LOSSES][: len(partial)]


def _record(trial: FrozenTrial) -> dict[str, Any]:
    record: dict[str, Any] = trial.user_attrs["measurement:mote"]["record"]
    return {name: value for name, value in record.items() if name != "epoch_seconds"}
