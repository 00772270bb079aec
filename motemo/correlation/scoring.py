"""Scores the networks of a sample, in processes side by side, and keeps each score at once."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from motemo.correlation.estimates import Scored
from motemo.correlation.scores import Score, ScoreFile
from motemo.errors import DeviceError, MotemoError, SettingsError
from motemo.evaluation import undisturbed
from motemo.objective import Failure, Measurement, Outcome, Skipped, evaluate_each
from motemo.objectives.training import TraceEstimate, Training
from motemo.processes import as_finished, cores, worker_pool
from motemo.space import Architecture, Space

DEFAULT_BATCH_SIZE = 64

Report: TypeAlias = Callable[[int, int], None]
"""Called with how many scores there are, and how many there will be."""


@dataclass(frozen=True)
class Job:
    """Everything that a process needs to score networks.

    Attributes:
        space: Space of the networks.
        estimates: What scores them, each identity once.
        records: Whether to keep what explains a score.
    """

    space: Space
    estimates: tuple[Scored, ...]
    records: bool


@dataclass(frozen=True)
class Task:
    """Networks to score by estimates that are evaluated together.

    Attributes:
        keys: The networks, more than one only for a batched objective.
        identities: The estimates; several only if they share a training.
    """

    keys: tuple[str, ...]
    identities: tuple[str, ...]


def score_all(
    job: Job,
    keys: Sequence[str],
    *,
    file: ScoreFile,
    known: Mapping[tuple[str, str], Score],
    processes: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    on_progress: Report = lambda _done, _all: None,
) -> dict[tuple[str, str], Score]:
    """Score each network by each estimate; what is known is not scored again.

    Args:
        job: What to do.
        keys: The networks, each once; the first are scored first, by all estimates.
        file: Where each score is kept as soon as it is there.
        known: Scores that there are, by key and identity.
        processes: How many at a time, each on one thread; 1 scores in this process. None: one per
            core, or 1 if an estimate computes on a GPU.
        batch_size: Networks that a batched objective gets at once.
        on_progress: Called at the start and whenever scores are kept.

    Returns:
        All scores, by key and identity.

    Raises:
        SettingsError: A setting cannot work, whatever the network.
        DeviceError: A device is not available.
        EvaluationError: A process died.
    """
    tasks = list(_tasks(job, keys, known, batch_size))
    wanted = {(key, estimate.identity) for key in keys for estimate in job.estimates}
    scores = {place: score for place, score in known.items() if place in wanted}
    on_progress(len(scores), len(wanted))
    file.cut_torn_line()
    for found in _done(job, tasks, _processes(job, processes, len(tasks))):
        file.append(found)
        scores |= {(score.key, score.identity): score for score in found}
        on_progress(len(scores), len(wanted))
    return scores


def _processes(job: Job, asked: int | None, tasks: int) -> int:
    if asked is not None and asked < 1:
        raise SettingsError(f"At least 1 process is needed; got {asked}.")
    on_gpu = any(e.objective.identity().get("train_device") == "cuda" for e in job.estimates)
    return min(asked or (1 if on_gpu else cores()), tasks)


def _tasks(
    job: Job, keys: Sequence[str], known: Mapping[tuple[str, str], Score], batch_size: int
) -> Iterator[Task]:
    """Yield what is missing, in the order of the networks."""
    if batch_size < 1:
        raise SettingsError(f"A batch needs at least 1 network; got {batch_size}.")
    groups: dict[str, list[Scored]] = {}
    for estimate in job.estimates:
        groups.setdefault(estimate.training or estimate.identity, []).append(estimate)
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        for group in groups.values():
            together = all(estimate.objective.batched for estimate in group)
            for part in [batch] if together else [(key,) for key in batch]:
                yield from _missing(part, group, known)


def _missing(
    keys: Sequence[str], group: Sequence[Scored], known: Mapping[tuple[str, str], Score]
) -> Iterator[Task]:
    """Yield what the group lacks: networks that lack the same estimates together."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        identities = tuple(e.identity for e in group if (key, e.identity) not in known)
        if identities:
            lacking.setdefault(identities, []).append(key)
    for identities, left in lacking.items():
        yield Task(tuple(left), identities)


def _done(job: Job, tasks: Sequence[Task], processes: int) -> Iterator[list[Score]]:
    """Yield the scores of each task as it is finished."""
    if processes <= 1:
        for task in tasks:
            yield score(job, task)
        return
    with worker_pool(processes, begin=partial(_begin, _packed(job))) as pool:
        futures = [pool.submit(_score_here, task) for task in tasks]
        yield from as_finished(futures, of="correlation", kept="Scores so far")


def _packed(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"Space and objectives cannot be sent to other processes: {error}. Use processes=1, or "
            "define their functions at the top of a module."
        ) from error


_job: list[Job] = []
"""The job of this worker process, set before its first task."""


def _begin(packed: bytes) -> None:
    _job.append(pickle.loads(packed))  # noqa: S301  (written by the parent, a line before)


def _score_here(task: Task) -> list[Score]:
    try:
        return score(_job[0], task)
    except DeviceError as error:
        raise DeviceError(str(error)) from None
    except MotemoError as error:  # as one that crosses the border of a process whole
        raise SettingsError(str(error)) from None


def score(job: Job, task: Task) -> list[Score]:
    """Score the networks of a task.

    Raises:
        UsageError: A setting cannot work, whatever the network.
        DeviceError: A device is not available.
    """
    estimates = [e for e in job.estimates if e.identity in task.identities]
    networks = [job.space.architecture(key) for key in task.keys]
    with undisturbed(estimates[0].objective):
        for estimate in estimates:
            estimate.objective.prepare(job.space)
        if len(estimates) == 1:
            found = _score_alone(estimates[0], networks)
        else:  # they have a training in common
            found = _score_by_one_training(estimates, networks)
    return found if job.records else [replace(one, record={}) for one in found]


def _score_alone(estimate: Scored, networks: Sequence[Architecture]) -> list[Score]:
    clock = _Clock()
    outcomes = estimate.objective.evaluate(networks)
    cost = clock.share(len(networks))
    if len(outcomes) != len(networks):
        raise SettingsError(
            f"The objective {estimate.label!r} returned {len(outcomes)} outcomes for "
            f"{len(networks)} architectures; it must return one each, in order."
        )
    return [
        _score(estimate, network, outcome, cost)
        for network, outcome in zip(networks, outcomes, strict=True)
    ]


def _score_by_one_training(
    estimates: Sequence[Scored], networks: Sequence[Architecture]
) -> list[Score]:
    objectives = [e.objective for e in estimates if isinstance(e.objective, TraceEstimate)]
    clock = _Clock()
    trainings = objectives[0].train_all(networks)
    training_cost = clock.share(len(networks))
    found = []
    for network, training in zip(networks, trainings, strict=True):
        for estimate, objective in zip(estimates, objectives, strict=True):
            clock = _Clock()
            outcome: Outcome = (
                evaluate_each([network], partial(objective.judge, training=training))[0]
                if isinstance(training, Training)
                else training
            )
            seconds, cpu_seconds = clock.share(1)
            cost = (seconds + training_cost[0], cpu_seconds + training_cost[1])
            found.append(_score(estimate, network, outcome, cost, training_cost))
    return found


def _score(
    estimate: Scored,
    network: Architecture,
    outcome: Outcome,
    cost: tuple[float, float],
    training_cost: tuple[float, float] | None = None,
) -> Score:
    training_cost = training_cost or (cost if estimate.training else (0.0, 0.0))
    plain = Score(
        key=network.genotype,
        identity=estimate.identity,
        seconds=cost[0],
        cpu_seconds=cost[1],
        training=estimate.training,
        training_seconds=training_cost[0],
        training_cpu_seconds=training_cost[1],
    )
    match outcome:
        case Measurement(value=value) if math.isfinite(value):
            return replace(plain, value=float(value), record=outcome.record)
        case Measurement(value=value):
            return replace(plain, failure=f"the value is {value}")
        case Skipped(reason=reason):
            return replace(plain, failure=f"skipped: {reason}", record=outcome.record)
        case Failure(reason=reason):
            return replace(plain, failure=reason)


class _Clock:
    """Wall clock and processor time of this process since it was made."""

    def __init__(self) -> None:
        self._begun = self._now()

    def share(self, n: int) -> tuple[float, float]:
        """Return both, in seconds, divided by n."""
        now = self._now()
        return (now[0] - self._begun[0]) / n, (now[1] - self._begun[1]) / n

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()
