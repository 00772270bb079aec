"""Several processes search one study: no candidate is lost, none is evaluated by two of them.

Each worker evaluates one candidate at a time. What they agree on stands in the study:

1. Everyone at work says so again and again (`motemo.presence`), and every trial says who works on
   it, or who is about to. A running trial whose worker is dead is abandoned: it is failed, and
   whoever is free begins another one of its candidate, with what was measured of it.
2. A worker writes the parameters of its candidate, then waits until all trials with a lower number
   have theirs. The lowest number among those that hold a claim evaluates it; the others are
   duplicates (`records.first_trial_of_each_claim`). Numbers are given out in order and parameters
   do not change, so that all come to the same answer, whenever they look.
3. Attributes first, then one tell, which succeeds once. A worker that was taken for dead, and was
   not, finds its trial finished, and goes on with another.
4. No new candidate is asked for while the evaluations under way may be enough. Who has nothing to
   do stays until they are: their workers may die, or they may fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.constraint import Constraint
from motemo.early_stopping import EarlyStopping, Judge
from motemo.evaluation import Candidate, evaluate, mark_duplicate, take_candidate, tell
from motemo.objective import Objective
from motemo.presence import LEFT, Heartbeat
from motemo.progress import Progress, Reporter, paid
from motemo.space import Space
from motemo.stopping import enqueue_rescue, least_violating, needs_rescue, stop_reason

_SHORTEST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5

_logger = logging.getLogger(__name__)


class _Step(Enum):
    TAKE = auto()
    RETRY = auto()
    ASK = auto()
    WAIT = auto()
    RESCUE = auto()
    LEAVE = auto()


@dataclass
class WorkerLoop:
    """One worker's part of a search.

    Attributes:
        study: The study, with its sampler.
        space: Where to search.
        objectives: What to evaluate.
        constraints: The bounds.
        heartbeat: What tells the others that this worker lives, and who of them does.
        rescues: How many of the least violating candidates to evaluate where none is feasible.
        on_progress: Called at the start and after every step.
        stop: Asked between two candidates; true ends this worker's part.
        early_stopping: When a training is stopped; None for never.
    """

    study: optuna.Study
    space: Space
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    heartbeat: Heartbeat
    rescues: int
    on_progress: Callable[[Progress], None] | None = None
    stop: Callable[[], bool] = lambda: False
    early_stopping: EarlyStopping | None = None
    _evaluated: int = field(default=0, init=False)
    _wanted: int = field(default=0, init=False)

    def run(self) -> None:
        """Evaluate candidates until the study has its trials, or there is a reason to stop."""
        self._reporter = Reporter(self.study, self.space, self.on_progress)
        pauses = _Pauses()
        trials = self._look()
        self._report()
        while not self.stop():
            step, reason = self._next(trials)
            if step is _Step.LEAVE:
                self._report(reason)
                return
            if step is _Step.WAIT:
                pauses.wait()
            else:
                pauses = _Pauses()
            if step is _Step.RESCUE:
                for trial in least_violating(trials, self.constraints, self.rescues):
                    enqueue_rescue(self.study, trial)
            elif step in (_Step.TAKE, _Step.RETRY, _Step.ASK):
                self._work(step, trials)
            trials = self._look()

    def _report(self, stopped_early: str | None = None) -> None:
        self._reporter.report(self._wanted, stopped_early)

    def _next(self, trials: Sequence[FrozenTrial]) -> tuple[_Step, str | None]:
        """Decide what to do now, and why if it is to leave early."""
        if any(t.state is TrialState.WAITING for t in trials):
            return _Step.TAKE, None
        if records.left_behind(self.space, trials):
            return _Step.RETRY, None
        running = [t for t in trials if t.state is TrialState.RUNNING]
        evaluated = paid(trials)
        if evaluated >= self._wanted:
            unsigned = any(records.WORKER not in t.user_attrs for t in running)
            return (_Step.WAIT if unsigned else _Step.LEAVE), None
        if evaluated + len(running) >= self._wanted:
            return _Step.WAIT, None
        reason = stop_reason(trials, self.space, self._wanted, heed_failures=self._evaluated > 0)
        if reason is None:
            return _Step.ASK, None
        if running:
            return _Step.WAIT, None
        if needs_rescue(trials) and least_violating(trials, self.constraints, self.rescues):
            return _Step.RESCUE, None
        return _Step.LEAVE, reason

    def _look(self) -> list[FrozenTrial]:
        """Return the trials, after taking away from the dead what they will not finish."""
        attributes = self.heartbeat.look()
        self._wanted = int(attributes[records.WANTED])
        trials = self.study.get_trials(deepcopy=False)
        ended = [trial for trial in trials if self._abandon_if_dead(trial, trials)]
        return self.study.get_trials(deepcopy=False) if ended else trials

    def _abandon_if_dead(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
        """Fail a running trial whose worker is dead; return whether it has ended by now."""
        how = self._end_of_worker(trial)
        if how is None:
            return False
        storage = self.study._storage
        try:
            storage.set_trial_user_attr(trial._trial_id, records.ABANDONED, how)
            reason = self._reason(trial, trials, how)
            storage.set_trial_user_attr(trial._trial_id, records.REASON, reason)
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            _logger.debug("Trial %d was finished by another worker.", trial.number)
        return True

    def _end_of_worker(self, trial: FrozenTrial) -> str | None:
        """Say how the worker of a running trial came to its end, or None if it did not."""
        if trial.state is not TrialState.RUNNING:
            return None
        observer = self.heartbeat.observer
        if records.WORKER in trial.user_attrs:
            return observer.end(trial.user_attrs[records.WORKER])
        takers = records.takers(trial.user_attrs)
        alive = any(observer.end(taker) is None for taker in takers)
        return None if alive else LEFT  # it did not come to evaluating anything

    def _reason(self, trial: FrozenTrial, trials: Sequence[FrozenTrial], how: str) -> str:
        reason = f"its worker {how}"
        key = records.trial_key(self.space, trial)
        if how == records.DIED and key is not None:
            deaths = records.deaths_of(key, self.space, trials) + 1
            if deaths >= records.MAX_DEATHS:
                return f"{reason}, as {deaths} have over this candidate: it is not tried again"
        return reason

    def _take(self, trials: Sequence[FrozenTrial]) -> optuna.Trial | None:
        """Take a waiting trial, if another worker is not faster.

        Who is about to take it says so first: if it dies before it has signed, the others know.
        """
        storage, own = self.study._storage, self.heartbeat.own.id
        for waiting in (t for t in trials if t.state is TrialState.WAITING):
            number = waiting._trial_id
            try:
                storage.set_trial_user_attr(number, records.taker(own), True)
                if storage.set_trial_state_values(number, TrialState.RUNNING):
                    storage.set_trial_user_attr(number, records.WORKER, own)
                    return self._begin(number)
                storage.set_trial_user_attr(number, records.taker(own), False)
            except UpdateFinishedTrialError:
                continue
        return None

    def _ask(self, retried: FrozenTrial | None = None) -> optuna.Trial:
        """Make a new trial, as `Study.ask` does, that is signed from its first moment.

        Args:
            retried: Abandoned trial whose candidate to evaluate again; None for a new candidate.
        """
        again, fixed = ({}, {}) if retried is None else records.retry_attributes(retried)
        signed = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            user_attrs={**again, records.WORKER: self.heartbeat.own.id},
            system_attrs=fixed,
        )
        return self._begin(self.study._storage.create_new_trial(self.study._study_id, signed))

    def _begin(self, trial_id: int) -> optuna.Trial:
        self.study._thread_local.cached_all_trials = None  # so that samplers see what is new
        return optuna.Trial(self.study, trial_id)

    def _work(self, step: _Step, trials: Sequence[FrozenTrial]) -> None:
        """Evaluate a candidate that waits, that was left behind, or a new one."""
        try:
            if step is _Step.TAKE:
                trial = self._take(trials)
            elif step is _Step.RETRY:
                left = records.left_behind(self.space, trials)
                trial = self._ask(left[int(self.heartbeat.own.id, 16) % len(left)])
            else:
                trial = self._ask()
            if trial is None:
                return
            candidate = take_candidate(trial, self.space, self.objectives)
            self._settle(candidate)
            evaluate(
                [candidate],
                self.objectives,
                self.constraints,
                on_measured=self._report,
                watch=self._judge(),
            )
            tell(self.study, candidate, self.objectives, skip_if_finished=True)
        except UpdateFinishedTrialError:
            _logger.warning(
                "A trial was taken from this worker, which had been silent for too long."
            )
        self._evaluated += 1
        self._report()

    def _judge(self) -> Judge | None:
        """Return who stops a training, by all that has been trained by now."""
        if self.early_stopping is None:
            return None
        return Judge.of(
            self.early_stopping,
            self.study.get_trials(deepcopy=False),
            objectives=self.objectives,
            constraints=self.constraints,
        )

    def _settle(self, candidate: Candidate) -> None:
        """Find out whether this or another trial evaluates what the candidate asks for."""
        number, pauses = candidate.trial.number, _Pauses()
        while candidate.alive:
            trials = self._look()
            lower = [trial for trial in trials if trial.number < number]
            if len(lower) == number and not any(self._undecided(trial) for trial in lower):
                others = trials if self._decided_late(trials[number]) else lower
                others = [trial for trial in others if trial.number != number]
                mark_duplicate(candidate, records.first_trial_of_each_claim(self.space, others))
                return
            pauses.wait()

    def _decided_late(self, trial: FrozenTrial) -> bool:
        """Whether it was enqueued with less than all parameters, and higher numbers went ahead."""
        fixed = trial.system_attrs.get("fixed_params")
        return fixed is not None and any(gene.name not in fixed for gene in self.space.genes)

    def _undecided(self, trial: FrozenTrial) -> bool:
        """Whether a trial is going to ask for something that nobody knows yet."""
        running = trial.state is TrialState.RUNNING
        return running and records.trial_architecture(self.space, trial) is None


class _Pauses:
    """Pauses that become longer."""

    def __init__(self) -> None:
        self._next = _SHORTEST_PAUSE_S

    def wait(self) -> None:
        time.sleep(self._next)
        self._next = min(2 * self._next, _LONGEST_PAUSE_S)
