"""The search loop, on real objectives that are cheap: counting, and training on a few images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from torch import nn

import motemo
from motemo import records
from motemo.errors import ConstraintError, SettingsError, StorageError, UnknownNameError
from motemo.objective import Direction, Outcome, Stage, evaluate_each
from motemo.search_loop import FAILURE_PATIENCE, Progress
from motemo.storage import without_password

WIDTHS = (1, 2, 3, 4, 6, 8)


def _network(values: Mapping[str, Any], shape: tuple[int, int, int], classes: int) -> nn.Module:
    if values["width"] == 3:
        raise RuntimeError("this one cannot be built")
    layers: list[nn.Module] = [nn.Conv2d(shape[0], values["width"], values["kernel"], padding=1)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(values["width"], classes)
    )


TINY = motemo.FunctionSpace(
    name="tiny",
    genes=(motemo.Gene("width", WIDTHS), motemo.Gene("kernel", (1, 3))),
    build_network=_network,
)


@dataclass(frozen=True, kw_only=True)
class Counted(motemo.Objective):
    """Counts how often each architecture was evaluated; the value is its width."""

    calls: Counter[str] = field(default_factory=Counter, compare=False)
    name: str = "counted"
    unit: str = "channels"
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    nan_at: int | None = None

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> motemo.Measurement:
        self.calls[architecture.key] += 1
        width = architecture.space.read(architecture.genotype)["width"]
        value = math.nan if width == self.nan_at else float(width)
        return motemo.Measurement.exact(value, self.unit)

    def identity(self) -> dict[str, Any]:
        return {}


def _studied(storage: optuna.storages.BaseStorage) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="motemo", storage=storage).get_trials()


def test_front_holds_the_non_dominated_of_what_was_evaluated() -> None:
    counted = Counted()
    front = motemo.search(TINY, [counted, motemo.Params()], trials=12, sampler="random")
    assert front.feasible
    assert 0 < len(front) <= len(front.evaluated)
    by_width = {m.measurements["counted"].value for m in front}
    assert 8.0 in by_width
    assert all(calls == 1 for calls in counted.calls.values())


def test_duplicates_are_pruned_and_name_their_original() -> None:
    storage = optuna.storages.InMemoryStorage()
    counted = Counted()
    motemo.search(TINY, [counted, motemo.Params()], trials=8, sampler="random", storage=storage)
    duplicates = [t for t in _studied(storage) if records.DUPLICATE_OF in t.user_attrs]
    assert duplicates
    trials = {t.number: t for t in _studied(storage)}
    for trial in duplicates:
        original = trials[trial.user_attrs[records.DUPLICATE_OF]]
        assert trial.state is TrialState.PRUNED
        assert original.number < trial.number
        assert original.params == trial.params


def test_infeasible_candidates_never_reach_training() -> None:
    storage = optuna.storages.InMemoryStorage()
    counted = Counted()
    front = motemo.search(
        TINY,
        [counted, motemo.Params()],
        trials=4,
        sampler="random",
        constraints=["params<=60"],
        storage=storage,
    )
    infeasible = [
        t
        for t in _studied(storage)
        if t.user_attrs.get(records.REASON, "").startswith("infeasible")
    ]
    assert infeasible
    for trial in infeasible:
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs[records.GENOTYPE] not in counted.calls
        assert trial.constraints["params<=60"] > 0
        assert records.read_measurements(trial.user_attrs)["params"].value > 60
    assert all(m.measurements["params"].value <= 60 for m in front.evaluated)


def test_if_nothing_is_feasible_the_least_violating_are_evaluated() -> None:
    front = motemo.search(
        TINY,
        [Counted(), motemo.Params()],
        trials=4,
        sampler="random",
        constraints=["params<=1"],
    )
    assert not front.feasible
    assert min(m.measurements["params"].value for m in front.evaluated) == 24


def test_a_failed_evaluation_is_a_failed_trial_and_the_search_goes_on() -> None:
    storage = optuna.storages.InMemoryStorage()
    front = motemo.search(
        TINY, [Counted(nan_at=2), motemo.Params()], trials=6, sampler="random", storage=storage
    )
    failed = [t for t in _studied(storage) if t.state is TrialState.FAIL]
    reasons = {t.user_attrs[records.REASON] for t in failed}
    assert reasons == {
        "counted: the value is nan",
        "params: RuntimeError: this one cannot be built",
    }
    assert len(front.evaluated) >= 6


def test_what_was_measured_of_a_rescued_candidate_is_not_measured_again() -> None:
    counted = Counted(stage=Stage.MEASURE, name="width", direction=Direction.MINIMIZE)
    front = motemo.search(
        TINY, [counted, motemo.Params()], trials=4, sampler="random", constraints=["width<=0"]
    )
    assert not front.feasible
    assert max(counted.calls.values()) == 1


def test_an_interrupted_rescue_is_completed() -> None:
    """A process may die between two of the candidates that it enqueues to be rescued."""

    class Killed(BaseException):
        pass

    def run(storage: optuna.storages.InMemoryStorage) -> motemo.Front:
        return motemo.search(
            TINY,
            [Counted(), motemo.Params()],
            trials=4,
            sampler="random",
            constraints=["params<=1"],
            storage=storage,
        )

    whole, killed = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    expected = run(whole)
    enqueue, calls = optuna.Study.enqueue_trial, Counter[str]()

    def die_at_the_third(study: optuna.Study, *arguments: Any, **options: Any) -> None:
        calls["enqueue"] += 1
        if calls["enqueue"] == 3:
            raise Killed
        enqueue(study, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", die_at_the_third)
        with pytest.raises(Killed):
            run(killed)
    assert run(killed).evaluated == expected.evaluated
    states = [[(t.state, t.params, t.values) for t in _studied(s)] for s in (whole, killed)]
    assert states[0] == states[1]


def test_a_search_in_which_everything_fails_ends() -> None:
    seen: list[Progress] = []
    front = motemo.search(
        motemo.FunctionSpace(
            name="broken",
            genes=(motemo.Gene("a", tuple(range(100))),),
            build_network=lambda values, shape, classes: nn.Linear(-1, classes),
        ),
        [motemo.Params()],
        trials=5,
        on_progress=seen.append,
    )
    assert not front.evaluated
    assert seen[-1].trials["failed"] >= FAILURE_PATIENCE
    assert "in a row failed" in (seen[-1].stopped_early or "")


def test_a_small_space_is_searched_to_its_end() -> None:
    seen: list[Progress] = []
    front = motemo.search(
        TINY, [Counted(), motemo.Params()], trials=100, sampler="random", on_progress=seen.append
    )
    assert len(front.evaluated) == 2 * (len(WIDTHS) - 1)
    assert "all 12 architectures" in (seen[-1].stopped_early or "")


def test_trials_count_completed_evaluations_and_a_batch_is_finished() -> None:
    storage = optuna.storages.InMemoryStorage()
    front = motemo.search(
        motemo.NasBench201(), [motemo.Params()], trials=5, batch_size=4, storage=storage
    )
    assert 5 <= len(front.evaluated) <= 8
    assert len(_studied(storage)) % 4 == 0


def test_invalid_cells_are_pruned() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="motemo", storage=storage, directions=["minimize"])
    space = motemo.NasBench201()
    study.enqueue_trial({gene.name: "none" for gene in space.genes})
    study.optimize(motemo.trial_objective(space, [motemo.Params()]), n_trials=1)
    [trial] = _studied(storage)
    assert trial.state is TrialState.PRUNED
    assert "no path" in trial.user_attrs[records.REASON]


def test_a_search_continues_with_more_trials(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/er/study.db"
    arguments: dict[str, Any] = {"storage": url, "seed": 3}
    space, objectives = motemo.NasBench201(), [motemo.Params(), motemo.Flops(input_shape=(3, 8, 8))]
    first = motemo.search(space, objectives, trials=4, **arguments)
    again = motemo.search(space, objectives, trials=4, **arguments)
    assert again == first
    more = motemo.search(space, objectives, trials=8, **arguments)
    assert more.evaluated[: len(first.evaluated)] == first.evaluated
    assert len(more.evaluated) >= 8


def test_a_study_of_other_settings_is_refused_and_named() -> None:
    storage = optuna.storages.InMemoryStorage()
    space = motemo.NasBench201()
    motemo.search(space, [motemo.Params()], trials=1, storage=storage)
    with pytest.raises(SettingsError, match=r"seed: stored 0, given 1"):
        motemo.search(space, [motemo.Params()], trials=1, storage=storage, seed=1)
    with pytest.raises(SettingsError, match=r"params.identity.classes: stored 10, given 7"):
        motemo.search(space, [motemo.Params(classes=7)], trials=1, storage=storage)


def test_objectives_in_another_order_are_refused() -> None:
    storage = optuna.storages.InMemoryStorage()
    space, objectives = motemo.NasBench201(), [motemo.Params(), motemo.Flops()]
    motemo.search(space, objectives, trials=1, storage=storage)
    with pytest.raises(SettingsError, match="objectives: stored"):
        motemo.search(space, objectives[::-1], trials=1, storage=storage)


def test_a_study_of_other_directions_is_refused() -> None:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="motemo", direction="maximize")
    with pytest.raises(SettingsError, match="has the directions maximize"):
        motemo.search(motemo.NasBench201(), [motemo.Params()], trials=1, storage=storage)
    study = optuna.create_study(direction="maximize")
    with pytest.raises(SettingsError, match="need minimize"):
        study.optimize(motemo.trial_objective(TINY, [motemo.Params()]), n_trials=1)


def test_settings_of_something_else_are_refused() -> None:
    study = optuna.create_study()
    study.set_user_attr(records.SETTINGS, "hello")
    with pytest.raises(StorageError, match="another program"):
        motemo.read_front(study)


def test_gp_does_not_propose_the_same_again_and_again() -> None:
    seen: list[Progress] = []
    motemo.search(
        motemo.NasBench201(),
        [motemo.Params()],
        trials=24,
        sampler="gp",
        on_progress=seen.append,
    )
    assert seen[-1].completed >= 24
    assert seen[-1].trials["duplicate"] <= 24


def test_an_objective_that_returns_too_little_is_named() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Short(Counted):
        def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
            return []

    with pytest.raises(SettingsError, match="'counted' returned 0 outcomes for 1"):
        motemo.search(TINY, [Short()], trials=1)


def test_two_searches_on_one_file_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    refused: list[str] = []

    def start_another(progress: Progress) -> None:
        with pytest.raises(StorageError) as caught:
            motemo.search(TINY, [motemo.Params()], trials=1, storage=url)
        refused.append(str(caught.value))

    motemo.search(TINY, [motemo.Params()], trials=1, storage=url, on_progress=start_another)
    assert "Another motemo search" in refused[0]


def test_a_study_of_something_else_is_refused() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="motemo")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StorageError, match="no motemo search made"):
        motemo.search(motemo.NasBench201(), [motemo.Params()], trials=1, storage=storage)
    with pytest.raises(StorageError, match="holds no motemo settings"):
        motemo.read_front(study)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"trials": 0}, SettingsError, "at least 1 trial; got 0"),
        ({"trials": -3}, SettingsError, "got -3"),
        ({"batch_size": 0}, SettingsError, "at least 1 candidate"),
        ({"sampler": "nsga"}, UnknownNameError, "Did you mean 'nsga"),
        ({"sampler": "NoSampler"}, UnknownNameError, "Available"),
        ({"sampler": "GridSampler"}, UnknownNameError, "Available"),
        ({"sampler": "nsga2", "population": 1}, SettingsError, "at least 2"),
        ({"constraints": ["params"]}, ConstraintError, "Malformed"),
        ({"constraints": ["mote>=1"]}, ConstraintError, "not measured"),
        ({"storage": "nonsense"}, StorageError, "Cannot open"),
        ({"storage": "postgres9://x"}, StorageError, "Cannot open"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        motemo.search(motemo.NasBench201(), [motemo.Params()], **arguments)


def test_objectives_must_have_names_of_their_own() -> None:
    with pytest.raises(SettingsError, match="more than once"):
        motemo.search(motemo.NasBench201(), [motemo.Params(), motemo.Params()])
    with pytest.raises(SettingsError, match="at least one objective"):
        motemo.search(motemo.NasBench201(), [])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/x",
        "postgresql://me@127.0.0.1:1/x?password=hunter2",
        "me:hunter2@localhost/0",
    ],
)
def test_passwords_are_not_shown(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        motemo.search(motemo.NasBench201(), [motemo.Params()], storage=url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in without_password(url)


def test_any_optuna_sampler_works_by_class_name_or_as_an_object() -> None:
    for sampler in ("TPESampler", optuna.samplers.RandomSampler(seed=0)):
        front = motemo.search(TINY, [motemo.Params()], trials=3, sampler=sampler)
        assert len(front.evaluated) >= 3


def test_trial_objective_serves_an_optuna_study_of_ones_own() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    counted = Counted(stage=Stage.MEASURE)
    objective = motemo.trial_objective(
        TINY, [counted, motemo.Params()], constraints=["params<=100"]
    )

    def extended(trial: optuna.Trial) -> tuple[float, ...]:
        trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        return objective(trial)

    study.optimize(extended, n_trials=30)
    states = Counter(trial.state for trial in study.trials)
    assert states[TrialState.COMPLETE] >= 3
    assert states[TrialState.PRUNED] >= 1
    assert states[TrialState.FAIL] >= 1
    assert max(counted.calls.values()) == 1, "what is known is not measured again"
    front = motemo.read_front(study, space=TINY)
    assert {m.trial for m in front} <= {t.number for t in study.best_trials}
    assert front.settings is not None


def test_trial_objective_prunes_a_repeated_trial_and_refuses_other_settings() -> None:
    study = optuna.create_study(direction="minimize")
    for _ in range(2):
        study.enqueue_trial({"width": 4, "kernel": 1})
    study.optimize(motemo.trial_objective(TINY, [motemo.Params()]), n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert study.trials[1].user_attrs[records.DUPLICATE_OF] == 0
    with pytest.raises(SettingsError, match=r"classes: stored 10, given 5"):
        study.optimize(motemo.trial_objective(TINY, [motemo.Params(classes=5)]), n_trials=1)


def test_trial_objective_works_in_threads() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    objective = motemo.trial_objective(TINY, [Counted(), motemo.Params()])
    study.optimize(objective, n_trials=20, n_jobs=4)
    assert motemo.read_front(study, space=TINY).evaluated


def test_a_front_is_read_from_the_study_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    front = motemo.search(
        motemo.NasBench201(cells=1), [motemo.Params()], trials=2, storage=url, seed=1
    )
    read = motemo.read_front(optuna.load_study(study_name="motemo", storage=url))
    assert read == front
    assert read.members[0].architecture.space == motemo.NasBench201(cells=1)


def test_a_space_that_is_not_registered_must_be_given() -> None:
    storage = optuna.storages.InMemoryStorage()
    motemo.search(TINY, [motemo.Params()], trials=1, storage=storage)
    study = optuna.load_study(study_name="motemo", storage=storage)
    with pytest.raises(SettingsError, match=r"read_front\(study, space=\.\.\.\)"):
        motemo.read_front(study)
    assert motemo.read_front(study, space=TINY).evaluated


def test_the_study_holds_what_rebuilds_the_front() -> None:
    storage = optuna.storages.InMemoryStorage()
    latency = motemo.Latency(device=motemo.cpu())
    motemo.search(
        motemo.NasBench201(), [motemo.Params(), latency], trials=1, storage=storage, seed=5
    )
    study = optuna.load_study(study_name="motemo", storage=storage)
    settings = records.read_settings(study)
    assert settings is not None
    assert settings["seed"] == 5
    assert settings["versions"]["torch"]
    objective = settings["objectives"][1]
    assert objective["identity"]["device"]["processor"]
    trial = next(t for t in study.trials if t.state is TrialState.COMPLETE)
    measured = records.read_measurements(trial.user_attrs)["latency_ms"]
    assert measured.low <= measured.value <= measured.high
    assert measured.record["wall_ms"]
    assert study.metric_names == ["params", "latency_ms"]


@dataclass(frozen=True, kw_only=True)
class Odd(motemo.Objective):
    """Knows the odd widths only."""

    name: str = "odd"
    unit: str = "channels"
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._look_up)

    def _look_up(self, architecture: motemo.Architecture) -> Outcome:
        width = int(architecture.space.read(architecture.genotype)["width"])
        if width % 2:
            return motemo.Measurement.exact(width, self.unit)
        return motemo.Skipped("it is even", {"width": width})

    def identity(self) -> dict[str, Any]:
        return {}


def test_a_skipped_evaluation_is_a_pruned_trial_that_does_not_count() -> None:
    storage = optuna.storages.InMemoryStorage()
    reports: list[Progress] = []
    front = motemo.search(
        TINY, [Odd()], trials=3, sampler="random", storage=storage, on_progress=reports.append
    )
    widths = {TINY.read(m.architecture.genotype)["width"] for m in front.evaluated}
    assert widths <= {1, 3}
    skipped = [t for t in _studied(storage) if "skipped:odd" in t.user_attrs]
    assert reports[-1].trials["skipped"] == len(skipped) > 0
    for trial in skipped:
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs["reason"] == "skipped: odd: it is even"
        assert trial.user_attrs["skipped:odd"] == {
            "width": TINY.read(trial.user_attrs["genotype"])["width"]
        }
        assert "odd" not in records.read_measurements(trial.user_attrs)
