"""The search as a function, alone or with other workers, and as an objective for Optuna."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from motemo import records
from motemo.batch_loop import BatchLoop
from motemo.early_stopping import EarlyStopping, Judge, rule_of
from motemo.evaluation import evaluate, reuse_completed, store_reason, take_candidate
from motemo.front import Front
from motemo.objective import Objective
from motemo.plan import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_SAMPLER,
    DEFAULT_TRIALS,
    Plan,
    batch_size_of,
    check_counts,
    parse_constraints,
)
from motemo.plan import check_names as check_names
from motemo.presence import DEFAULT_LEASE_S, Heartbeat, Role
from motemo.progress import Progress as Progress
from motemo.space import Json, Space
from motemo.stopping import FAILURE_PATIENCE as FAILURE_PATIENCE
from motemo.stopping import PATIENCE as PATIENCE
from motemo.storage import (
    check_directions,
    check_serves_several,
    exclusive,
    explained,
    opened,
    serves_several,
)
from motemo.worker_loop import WorkerLoop


def search(
    space: Space,
    objectives: Sequence[Objective],
    *,
    trials: int = DEFAULT_TRIALS,
    constraints: Sequence[str] = (),
    sampler: str | BaseSampler = DEFAULT_SAMPLER,
    population: int | None = None,
    storage: str | BaseStorage | None = None,
    study_name: str = "motemo",
    batch_size: int = DEFAULT_BATCH_SIZE,
    seed: int = 0,
    early_stopping: bool | EarlyStopping = False,
    on_progress: Callable[[Progress], None] | None = None,
    request: Mapping[str, Json] | None = None,
) -> Front:
    """Search a space for its Pareto front.

    With the same storage, study name and settings, it continues: finished evaluations are kept,
    and those that were under way are taken up again. One search at a time is at work on a study;
    several processes share one by `work`.

    Args:
        space: Where to search.
        objectives: What to optimise; names must differ.
        trials: Completed evaluations in the study, in all. The last batch is finished, so up to
            `batch_size - 1` may come on top. Duplicates, invalid and infeasible candidates do not
            count, and are never trained.
        constraints: Bounds such as `"latency_ms<=5"`, each on one of the objectives.
        sampler: A registered name, such as `motemo` or `TPESampler`, or a sampler object.
        population: Population size, for samplers that have one.
        storage: Optuna storage or its URL; None keeps the study in memory.
        study_name: Name of the study in the storage.
        batch_size: Candidates that are asked for together.
        seed: Seed of the sampler. Objectives have their own.
        early_stopping: Whether to stop trainings that cannot enter the front any more, or by
            which rule. What is stopped was paid for: it counts for `trials`.
        on_progress: Called at the start and after every step, with the progress so far.
        request: What the study is to remember of how the search was asked for, so that
            `motemo worker` can join it; the command line gives it.

    Returns:
        The front. If no candidate kept all constraints, the least violating ones are evaluated
        after all, and the front says `feasible=False`.

    Raises:
        SettingsError: Settings are out of range, or the study was made with others.
        ConstraintError: A constraint is malformed or on something that is not measured.
        UnknownNameError: There is no such sampler.
        StorageError: The storage cannot be opened, the study is of something else, or another
            process is at work on it.
        DeviceError: A device is not available.
    """
    check_counts(trials=trials, batch_size=batch_size)
    plan = Plan.of(
        space,
        objectives,
        constraints=constraints,
        sampler=sampler,
        population=population,
        seed=seed,
        early_stopping=early_stopping,
    )
    with opened(storage) as used, exclusive(storage), explained():
        study = plan.create_study(used, study_name, batch_size=batch_size)
        with _alone(study, used):
            records.remember(study, wanted=trials, request=request)
            BatchLoop(
                study,
                space,
                plan.objectives,
                plan.constraints,
                trials,
                batch_size,
                on_progress,
                plan.early_stopping,
            ).run()
        return records.read_front(study, space=space)


@contextmanager
def _alone(study: optuna.Study, storage: BaseStorage | None) -> Iterator[None]:
    """Keep other processes from working on a study that they can reach."""
    if not serves_several(storage):
        yield
        return
    with Heartbeat(study, Role.SEARCH, lease_s=DEFAULT_LEASE_S) as heartbeat:
        heartbeat.keep_out(Role.SEARCH, Role.WORKER)
        yield


def work(
    space: Space,
    objectives: Sequence[Objective],
    *,
    storage: str | BaseStorage,
    study_name: str = "motemo",
    trials: int | None = None,
    constraints: Sequence[str] = (),
    sampler: str | BaseSampler = DEFAULT_SAMPLER,
    population: int | None = None,
    seed: int = 0,
    early_stopping: bool | EarlyStopping = False,
    lease_s: float = DEFAULT_LEASE_S,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Front:
    """Work on a search together with other processes, on this machine or others.

    Each process that calls this with the same storage, study name and settings is one worker. It
    evaluates one candidate at a time until the study has its trials. No candidate is evaluated by
    two workers; what a worker that died was at is evaluated again by another.

    Args:
        space: Where to search.
        objectives: What to optimise; names must differ.
        storage: Optuna storage or its URL, one that serves several processes.
        study_name: Name of the study in the storage; it is created if need be.
        trials: Completed evaluations in the study, in all; None for as many as the study was
            made for.
        constraints: Bounds such as `"params<=1e6"`, each on one of the objectives.
        sampler: A registered name, such as `motemo` or `TPESampler`, or a sampler object.
        population: Population size, for samplers that have one.
        seed: Seed of the sampler, the same for all workers. Objectives have their own.
        early_stopping: Whether to stop trainings that cannot enter the front any more, or by
            which rule; the same for all workers.
        lease_s: Seconds of silence after which the others take this worker for dead. They see at
            once that a process on their own host has ended.
        on_progress: Called at the start and after every step, with the progress so far.
        stop: Asked between two candidates; true ends this worker's part.

    Returns:
        The front so far, as of `search`.

    Raises:
        SettingsError: Settings are out of range, or the study was made with others.
        ConstraintError: A constraint is malformed or on something that is not measured.
        UnknownNameError: There is no such sampler.
        StorageError: The storage cannot be opened or serves one process only, the study is of
            something else, or a search of one process is at work on it.
        DeviceError: A device is not available.
    """
    if trials is not None:
        check_counts(trials=trials)
    plan = Plan.of(
        space,
        objectives,
        constraints=constraints,
        sampler=sampler,
        population=population,
        seed=seed,
        early_stopping=early_stopping,
    )
    check_serves_several(storage)
    with opened(storage) as used, explained():
        study = plan.create_study(used, study_name)
        with Heartbeat(study, Role.WORKER, lease_s=lease_s) as heartbeat:
            heartbeat.keep_out(Role.SEARCH)
            plan.create_study(used, study_name)  # others may have made it with other settings
            records.remember(study, wanted=trials or records.wanted(study) or DEFAULT_TRIALS)
            WorkerLoop(
                study,
                space,
                plan.objectives,
                plan.constraints,
                heartbeat,
                rescues=batch_size_of(study),
                on_progress=on_progress,
                stop=stop,
                early_stopping=plan.early_stopping,
            ).run()
        return records.read_front(study, space=space)


def trial_objective(
    space: Space,
    objectives: Sequence[Objective],
    *,
    constraints: Sequence[str] = (),
    early_stopping: bool | EarlyStopping = False,
) -> Callable[[optuna.Trial], tuple[float, ...]]:
    """Return an objective function for an Optuna study of one's own.

        study = optuna.create_study(directions=[o.direction for o in objectives])
        study.optimize(motemo.trial_objective(space, objectives), n_trials=100)
        front = motemo.read_front(study)

    The trial chooses the architecture by the genes of the space. Invalid and infeasible candidates
    raise `optuna.TrialPruned` before they are trained, and so does a trial whose parameters all
    stood in a completed one. The study may have further parameters: an architecture that a
    completed trial has measured is not measured again, its values are returned. A failed
    evaluation returns NaN, which Optuna turns into a failed trial. Measurements, and the settings
    that `read_front` needs, are stored in the study.

    With `early_stopping`, `True` or a rule, a training that cannot enter the front any more raises
    `optuna.TrialPruned` as well.

    With `n_jobs` above 1, one evaluation runs at a time: they would disturb each other.

    Raises:
        SettingsError: There is no objective, two have one name, or none can be stopped early;
            when called: the study was made with other settings.
        ConstraintError: A constraint is malformed or on something that is not measured.
    """
    objectives = tuple(objectives)
    check_names(objectives)
    bounds = parse_constraints(constraints, objectives)
    rule = rule_of(early_stopping, objectives)
    driver: dict[str, Json] = {} if rule is None else {"early_stopping": rule.identity()}
    settings = records.settings_of(space, objectives, bounds, **driver)
    one_at_a_time = Lock()

    def judge_in(study: optuna.Study) -> Judge | None:
        if rule is None:
            return None
        trials = study.get_trials(deepcopy=False)
        return Judge.of(rule, trials, objectives=objectives, constraints=bounds)

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        study = trial.study
        check_directions(study, [each.direction for each in objectives])
        records.check_settings(study, settings)
        if records.read_settings(study) is None:
            study.set_user_attr(records.SETTINGS, settings)
        candidate = take_candidate(trial, space, objectives)
        with one_at_a_time:
            reuse_completed(candidate, space, objectives)
            evaluate([candidate], objectives, bounds, watch=judge_in(study))
        store_reason(candidate)
        if candidate.pruned is not None:
            raise optuna.TrialPruned(candidate.pruned)
        if candidate.failed is not None:
            return (math.nan,) * len(objectives)
        return candidate.values(objectives)

    return objective
