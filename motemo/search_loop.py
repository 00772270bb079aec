"""The search: ask a batch, evaluate it, tell it; continue exactly where a killed one stopped.

The rules that make a killed and continued search identical to an uninterrupted one, for
deterministic objectives, one worker and a fixed batch size B:

1. A batch is the trial numbers [kB, (k+1)B), always full; whether to stop is decided between two
   batches only, so that up to B - 1 evaluations more than asked for may be made.
2. The whole batch is asked before any of it is told. Trials that a dead process left running are
   taken up in place, under their own number.
3. Sampling is seeded per trial (`motemo.samplers.per_trial_seed`).
4. Duplicates are looked up among the parameters of lower-numbered trials, whatever became of them.
5. Attributes first, then one tell.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.constraint import Constraint, check_constraints
from motemo.errors import SettingsError
from motemo.evaluation import (
    Candidate,
    evaluate,
    mark_duplicates,
    reuse_completed,
    store_reason,
    take_candidate,
)
from motemo.front import Front
from motemo.objective import Objective
from motemo.registry import SAMPLERS
from motemo.space import Json, Space
from motemo.storage import (
    check_directions,
    create_study,
    exclusive,
    explained,
    open_storage,
)

DEFAULT_TRIALS = 40
DEFAULT_BATCH_SIZE = 4
PATIENCE = 200
"""Give up after so many candidates in a row of which none was evaluated."""
FAILURE_PATIENCE = 20
"""Give up after so many failed evaluations in a row."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Attributes:
        wanted: Completed evaluations asked for.
        trials: Trials by state and reason: `completed`, `duplicate`, `infeasible`, `invalid`,
            `skipped`, `failed`, `running`.
        front: The front so far.
        seconds: Seconds since this call began.
        completed_before: Evaluations that were complete when this call began.
        stopped_early: Why the search ended before it had all evaluations, or None.
    """

    wanted: int
    trials: Counter[str]
    front: Front
    seconds: float
    completed_before: int
    stopped_early: str | None = None

    @property
    def completed(self) -> int:
        """Completed evaluations so far."""
        return self.trials["completed"]

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to go, None before this call has completed anything."""
        done = self.completed - self.completed_before
        if done <= 0:
            return None
        return max(0, self.wanted - self.completed) * self.seconds / done


def search(
    space: Space,
    objectives: Sequence[Objective],
    *,
    trials: int = DEFAULT_TRIALS,
    constraints: Sequence[str] = (),
    sampler: str | BaseSampler = "nsga2",
    population: int | None = None,
    storage: str | BaseStorage | None = None,
    study_name: str = "motemo",
    batch_size: int = DEFAULT_BATCH_SIZE,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Front:
    """Search a space for its Pareto front.

    With the same storage, study name and settings, it continues: finished evaluations are kept,
    and those that were under way are taken up again.

    Args:
        space: Where to search.
        objectives: What to optimise; names must differ.
        trials: Completed evaluations in the study, in all. The last batch is finished, so up to
            `batch_size - 1` may come on top. Duplicates, invalid and infeasible candidates do not
            count, and are never trained.
        constraints: Bounds such as `"latency_ms<=5"`, each on one of the objectives.
        sampler: A registered name, such as `nsga2` or `TPESampler`, or a sampler object.
        population: Population size, for samplers that have one.
        storage: Optuna storage or its URL; None keeps the study in memory.
        study_name: Name of the study in the storage.
        batch_size: Candidates that are asked for together.
        seed: Seed of the sampler. Objectives have their own.
        on_progress: Called at the start and after every step, with the progress so far.

    Returns:
        The front. If no candidate kept all constraints, the least violating ones are evaluated
        after all, and the front says `feasible=False`.

    Raises:
        SettingsError: Settings are out of range, or the study was made with others.
        ConstraintError: A constraint is malformed or on something that is not measured.
        UnknownNameError: There is no such sampler.
        StorageError: The storage cannot be opened, or the study is of something else.
        DeviceError: A device is not available.
    """
    objectives = tuple(objectives)
    _check(objectives, trials=trials, batch_size=batch_size)
    bounds = _parse(constraints)
    check_constraints(bounds, [objective.name for objective in objectives])
    created, described = _create_sampler(sampler, space, seed=seed, population=population)
    settings = records.settings_of(
        space, objectives, bounds, sampler=described, seed=seed, batch_size=batch_size
    )
    opened = open_storage(storage) if isinstance(storage, str) else storage
    with exclusive(storage), explained():
        study = create_study(
            opened,
            study_name,
            directions=[objective.direction for objective in objectives],
            sampler=created,
        )
        records.agree_on_settings(study, settings)
        _Loop(study, space, objectives, bounds, trials, batch_size, on_progress).run()
    return records.read_front(study, space=space)


def _parse(constraints: Sequence[str]) -> list[Constraint]:
    texts = [constraints] if isinstance(constraints, str) else constraints
    return [Constraint.parse(text) for text in texts]


def _check(objectives: Sequence[Objective], *, trials: int, batch_size: int) -> None:
    if trials < 1:
        raise SettingsError(f"A search needs at least 1 trial; got {trials}.")
    if batch_size < 1:
        raise SettingsError(f"A batch needs at least 1 candidate; got {batch_size}.")
    check_names(objectives)


def check_names(objectives: Sequence[Objective]) -> None:
    """Raise unless there is an objective and no name stands twice.

    Raises:
        SettingsError: There is none, two have one name, or a name is no word.
    """
    if not objectives:
        raise SettingsError("A search needs at least one objective; got none.")
    for objective in objectives:
        if not (isinstance(objective.name, str) and objective.name.isidentifier()):
            raise SettingsError(
                f"The name of an objective must be a word of letters, digits and _; "
                f"got {objective.name!r}."
            )
    repeated = [n for n, c in Counter(o.name for o in objectives).items() if c > 1]
    if repeated:
        raise SettingsError(
            f"The objective {repeated[0]!r} is given more than once. Give it once, or give each "
            "a name of its own."
        )


def _create_sampler(
    sampler: str | BaseSampler, space: Space, *, seed: int, population: int | None
) -> tuple[BaseSampler, Json]:
    """Return the sampler and what the study remembers of it."""
    options = {} if population is None else {"population": population}
    if isinstance(sampler, BaseSampler):
        if options:
            raise SettingsError(
                "The population is a setting of samplers by name. Give it to the sampler itself."
            )
        return sampler, {"name": type(sampler).__name__}
    offered = {"seed": seed, "space": space}
    created = SAMPLERS.create(sampler, offered=offered, options=options)
    defaults = {k: v for k, v in SAMPLERS.defaults(sampler).items() if k not in offered}
    return created, {"name": SAMPLERS.entry(sampler).name, **defaults, **options}


@dataclass
class _Loop:
    study: optuna.Study
    space: Space
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    wanted: int
    batch_size: int
    on_progress: Callable[[Progress], None] | None

    def run(self) -> None:
        self.start, self.batches = time.perf_counter(), 0
        self.completed_before = self._tally(self._trials())["completed"]
        self._report()
        while True:
            self._complete_rescue(self._trials())
            trials = self._trials()
            if not self._unfinished(trials):
                stop = self._stop_reason(trials)
                if stop is not None and self._rescue(trials):
                    continue
                if stop is not None or self._tally(trials)["completed"] >= self.wanted:
                    self._report(stop)
                    break
            self._run_batch(self._ask_batch(trials))
            self.batches += 1

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _unfinished(self, trials: Sequence[FrozenTrial]) -> bool:
        return any(not trial.state.is_finished() for trial in trials)

    def _ask_batch(self, trials: Sequence[FrozenTrial]) -> list[Candidate]:
        """Take up what a dead process left, and ask until the batch is full."""
        running = [t for t in trials if t.state is TrialState.RUNNING]
        waiting = sum(t.state is TrialState.WAITING for t in trials)
        missing = -len(trials) % self.batch_size
        if not (running or waiting or missing):
            missing = self.batch_size
        taken = (optuna.Trial(self.study, t._trial_id) for t in running)
        batch = [take_candidate(trial, self.space, self.objectives) for trial in taken]
        for _ in range(waiting + missing):
            batch.append(take_candidate(self.study.ask(), self.space, self.objectives))
        return sorted(batch, key=lambda candidate: candidate.trial.number)

    def _run_batch(self, batch: Sequence[Candidate]) -> None:
        mark_duplicates(batch, records.first_trial_of_each_key(self.space, self._trials()))
        evaluate(batch, self.objectives, self.constraints, on_measured=self._report)
        for candidate in batch:
            store_reason(candidate)
            if candidate.alive:
                self.study.tell(candidate.trial, candidate.values(self.objectives))
            else:
                failed = candidate.failed is not None
                state = TrialState.FAIL if failed else TrialState.PRUNED
                self.study.tell(candidate.trial, state=state)
        self._report()

    def _stop_reason(self, trials: Sequence[FrozenTrial]) -> str | None:
        """Say why the search should end short of what was asked for, or None."""
        if self._tally(trials)["completed"] >= self.wanted:
            return None
        last = max((t.number for t in trials if _found(t)), default=-1)
        since = [t for t in trials if t.number > last]
        failures = [t for t in since if t.state is TrialState.FAIL]
        if len(failures) >= FAILURE_PATIENCE and self.batches:  # the cause may be mended by now
            reason = failures[-1].user_attrs.get(records.REASON, "unknown")
            return f"{len(failures)} evaluations in a row failed, the last one with: {reason}"
        seen = {tuple(t.params.get(gene.name) for gene in self.space.genes) for t in trials}
        if len(seen) >= self.space.size:
            return f"all {self.space.size} architectures of the space have been tried"
        if len(since) >= PATIENCE:
            return (
                f"{len(since)} candidates in a row were not worth evaluating: "
                f"{_listing(self._tally(since))}"
            )
        return None

    def _rescue(self, trials: Sequence[FrozenTrial]) -> bool:
        """If nothing was evaluated, enqueue the least violating candidates to be so after all."""
        if any(trial.state is TrialState.COMPLETE for trial in trials):
            return False
        chosen = self._least_violating(trials)
        for trial in chosen:
            self._enqueue_rescue(trial)
        return bool(chosen)

    def _complete_rescue(self, trials: Sequence[FrozenTrial]) -> None:
        """Enqueue what a process that died while enqueueing a batch of rescues left out."""
        begun = len(trials) % self.batch_size
        last = trials[len(trials) - begun :]
        if begun and all(records.RESCUES in trial.user_attrs for trial in last):
            for trial in self._least_violating(trials[:-begun])[begun:]:
                self._enqueue_rescue(trial)

    def _least_violating(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return up to a batch of infeasible trials that have not been rescued, best first."""
        rescued = {trial.user_attrs.get(records.RESCUES) for trial in trials}
        infeasible = [t for t in trials if _outcome(t) == "infeasible" and t.number not in rescued]
        return sorted(infeasible, key=self._violation)[: self.batch_size]

    def _enqueue_rescue(self, trial: FrozenTrial) -> None:
        measured = records.measurement_attributes(trial.user_attrs)
        self.study.enqueue_trial(
            trial.params, user_attrs={records.RESCUES: trial.number, **measured}
        )

    def _violation(self, trial: FrozenTrial) -> tuple[int, float, int]:
        """Return a sort key: bounds of which nothing is known, total violation, number."""
        measured = records.read_measurements(trial.user_attrs)
        known = [c for c in self.constraints if c.objective in measured]
        total = sum(c.relative_violation(measured[c.objective].value) for c in known)
        return len(self.constraints) - len(known), total, trial.number

    def _report(self, stopped_early: str | None = None) -> None:
        if stopped_early is not None and self.on_progress is None:
            _logger.warning("The search ended early: %s.", stopped_early)
        if self.on_progress is not None:
            self.on_progress(
                Progress(
                    wanted=self.wanted,
                    trials=self._tally(self._trials()),
                    front=records.read_front(self.study, space=self.space),
                    seconds=time.perf_counter() - self.start,
                    completed_before=self.completed_before,
                    stopped_early=stopped_early,
                )
            )

    @staticmethod
    def _tally(trials: Sequence[FrozenTrial]) -> Counter[str]:
        return Counter(_outcome(trial) for trial in trials)


def _found(trial: FrozenTrial) -> bool:
    """Whether the search itself found it worth evaluating, and it has values."""
    return trial.state is TrialState.COMPLETE and records.RESCUES not in trial.user_attrs


def _outcome(trial: FrozenTrial) -> str:
    if trial.state is TrialState.PRUNED:
        if records.GENOTYPE not in trial.user_attrs:
            return "invalid"
        if records.was_skipped(trial.user_attrs):
            return "skipped"
        return "duplicate" if records.DUPLICATE_OF in trial.user_attrs else "infeasible"
    return {TrialState.COMPLETE: "completed", TrialState.FAIL: "failed"}.get(trial.state, "running")


def _listing(tally: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(tally.items()))


def trial_objective(
    space: Space, objectives: Sequence[Objective], *, constraints: Sequence[str] = ()
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

    With `n_jobs` above 1, one evaluation runs at a time: they would disturb each other.

    Raises:
        SettingsError: There is no objective, or two have one name; when called: the study was made
            with other settings.
        ConstraintError: A constraint is malformed or on something that is not measured.
    """
    objectives = tuple(objectives)
    check_names(objectives)
    bounds = _parse(constraints)
    check_constraints(bounds, [objective.name for objective in objectives])
    settings = records.settings_of(space, objectives, bounds)
    one_at_a_time = Lock()

    def objective(trial: optuna.Trial) -> tuple[float, ...]:
        study = trial.study
        check_directions(study, [each.direction for each in objectives])
        records.check_settings(study, settings)
        if records.read_settings(study) is None:
            study.set_user_attr(records.SETTINGS, settings)
        candidate = take_candidate(trial, space, objectives)
        with one_at_a_time:
            reuse_completed(candidate, space, objectives)
            evaluate([candidate], objectives, bounds)
        store_reason(candidate)
        if candidate.pruned is not None:
            raise optuna.TrialPruned(candidate.pruned)
        if candidate.failed is not None:
            return (math.nan,) * len(objectives)
        return candidate.values(objectives)

    return objective
