"""Full trainings in folders, several at once, as an objective that a front is re-scored by."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cached_property, partial
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import TypeAlias, TypeVar

import torch

from motemo.errors import DeviceError, EvaluationError, MotemoError, SettingsError
from motemo.finalist import Finalist, read_finalist
from motemo.objective import Direction, Failure, Measurement, Objective, Outcome, Stage
from motemo.objectives.accuracy import Accuracy
from motemo.objectives.full_training_folder import Place, train_in
from motemo.processes import worker_pool
from motemo.space import Architecture, Json, Space
from motemo.spaces.by_name import space_by_name

_Trained = TypeVar("_Trained", Finalist | str, Finalist | None)

_POLL_S = 0.2
_REPORT_S = 0.5
_logger = logging.getLogger(__name__)

Report: TypeAlias = Callable[["Progress"], None]
"""Called now and then with how far a training is."""


@dataclass(frozen=True)
class Progress:
    """How far one training is.

    Attributes:
        trial: Whose.
        share: Share of its steps that is done, in [0, 1].
        finalist: The finalist, once it is finished.
    """

    trial: int
    share: float
    finalist: Finalist | None = None


class _NotSentError(SettingsError):
    """The space, or what it is made of, cannot be sent to other processes."""


def say_nothing(_progress: Progress) -> None:
    """Report nothing."""


@dataclass(frozen=True, kw_only=True)
class KeptAccuracy(Objective):
    """`Accuracy`, with every training in a folder of its own, and several at once.

    What is finished is not trained again, what was interrupted goes on. Values are those of
    `Accuracy`, however many are trained at once.

    Attributes:
        accuracy: How to train.
        places: Where each architecture is trained, by genotype.
        together: How many at once, each in a process of its own; with 1, in this one, as also
            where the space cannot be sent to other processes.
        space_name: What makes the space in other processes, `FILE.py:NAME`, if it cannot be sent.
        report: Called now and then.
    """

    accuracy: Accuracy
    places: Mapping[str, Place] = field(repr=False)
    together: int = 1
    space_name: str | None = None
    report: Report = field(default=say_nothing, repr=False, compare=False)
    name: str = field(default="accuracy", init=False)
    unit: str = field(default="", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(default=Stage.TRAIN, init=False)
    batched: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        if self.together < 1:
            raise SettingsError(f"At least 1 is trained at once; got {self.together}.")

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Train each in its folder."""
        places = [self.places[a.genotype] for a in architectures]
        trained = self._train(list(dict.fromkeys(places)))
        return [self._outcome(trained[place.trial]) for place in places]

    def identity(self) -> dict[str, Json]:
        """That of the training."""
        return self.accuracy.identity()

    def _outcome(self, trained: Finalist | str) -> Outcome:
        if isinstance(trained, str):
            return Failure(trained)
        if trained.failure is not None:
            return Failure(trained.failure)
        measured: Measurement = self.accuracy.measurement(trained.curve)
        return measured

    def _train(self, places: Sequence[Place]) -> dict[int, Finalist | str]:
        """Return what became of each, by trial: a finalist, or why there is none."""
        left = [place for place in places if read_finalist(place.folder) is None]
        several = min(self.together, len(left))
        found: dict[int, Finalist | str | None] = {}
        try:
            found |= dict(self._side_by_side(left, several)) if several > 1 else {}
        except _NotSentError as error:
            _logger.warning("Finalists are trained one at a time: %s", error)
        for place in places:
            if found.get(place.trial) is None:  # not tried yet, or short of memory beside others
                found[place.trial] = self._told(_alone(place, self.accuracy, self.report))
        return {trial: one for trial, one in found.items() if one is not None}

    def _told(self, trained: _Trained) -> _Trained:
        if isinstance(trained, Finalist):
            self.report(Progress(trained.trial, 1.0, trained))
        return trained

    def _side_by_side(
        self, places: Sequence[Place], several: int
    ) -> Iterator[tuple[int, Finalist | None]]:
        """Yield each trained finalist with its trial; None if there was too little memory."""
        news: SimpleQueue[Progress] = get_context("spawn").SimpleQueue()
        space = self.space_name or places[0].architecture.space
        todo = {place.trial: (place.architecture.genotype, place.folder) for place in places}
        begin = partial(_begin, _packed(_Job(self.accuracy, space, todo)), news)
        with worker_pool(several, begin=begin) as pool:
            waiting: dict[Future[Finalist | None], int] = {
                pool.submit(_train_here, place.trial): place.trial for place in places
            }
            while waiting:
                done, _ = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                while not news.empty():
                    self.report(news.get())
                for future in done:
                    yield waiting.pop(future), self._told(_result(future))


def _result(future: Future[Finalist | None]) -> Finalist | None:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise EvaluationError(
            "A process that trained a finalist died, perhaps for want of memory. Everything up to "
            "the last epochs is kept: run the same command again, with fewer --together."
        ) from error


def _alone(place: Place, accuracy: Accuracy, report: Report) -> Finalist | str:
    try:
        return train_in(place, accuracy, on_step=_Reporter(place.trial, report))
    except torch.OutOfMemoryError as error:
        _logger.warning(
            "Trial %d is out of memory on %s, even alone. Free memory and run the same command "
            "again, or train by a smaller batch under another name (--batch-size, --name). %s",
            place.trial,
            accuracy.train_device,
            str(error).splitlines()[0],
        )
        return "out of memory"


class _Reporter:
    """Reports steps, but not all of them."""

    def __init__(self, trial: int, report: Report) -> None:
        self._trial, self._report = trial, report
        self._last = -_REPORT_S

    def __call__(self, step: int, steps: int) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_S:
            self._last = now
            self._report(Progress(self._trial, step / steps))


@dataclass(frozen=True)
class _Job:
    """What a process trains, and how.

    Attributes:
        accuracy: How to train.
        space: The space, or its name.
        todo: Genotype and folder of each trial.
    """

    accuracy: Accuracy
    space: Space | str
    todo: Mapping[int, tuple[str, Path]]

    def place(self, trial: int) -> Place:
        """Return where a trial is trained."""
        genotype, folder = self.todo[trial]
        space = self.space if isinstance(self.space, Space) else space_by_name(self.space)
        return Place(space.architecture(genotype), trial, folder)


def _packed(job: _Job) -> bytes:
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _NotSentError(str(error)) from error


@dataclass
class _Here:
    """What a process of a pool has been given, set before its first task."""

    packed: bytes
    news: SimpleQueue[Progress]

    @cached_property
    def job(self) -> _Job:
        """What to train."""
        job: _Job = pickle.loads(self.packed)  # noqa: S301  (written by the parent)
        return job


_here: list[_Here] = []


def _begin(packed: bytes, news: SimpleQueue[Progress]) -> None:
    _here.append(_Here(packed, news))


def _train_here(trial: int) -> Finalist | None:
    here = _here[0]
    try:
        job = here.job
    except (pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise _NotSentError(str(error)) from None
    report = _Reporter(trial, here.news.put)
    try:
        return train_in(job.place(trial), job.accuracy, on_step=report)
    except torch.OutOfMemoryError:
        return None
    except DeviceError as error:
        raise DeviceError(str(error)) from None
    except MotemoError as error:  # as one that crosses the border of a process whole
        raise SettingsError(str(error)) from None
