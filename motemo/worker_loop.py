"""Several processes search one study: no candidate is lost, none is evaluated by two of them.

Each worker evaluates one candidate at a time. What they agree on stands in the study:

1. Everyone at work says so again and again (`motemo.presence`), and every trial says who works on
   it. A running trial whose worker is dead, or that nobody has signed for a whole lease, is
   abandoned: it is failed, and its candidate is enqueued again with what was measured of it.
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
from motemo.presence import LEFT, Heartbeat, Silence
from motemo.progress import Progress, Reporter, paid
from motemo.space import Space
from motemo.stopping import enqueue_rescue, least_violating, needs_rescue, stop_reason

_SHORTEST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_GRACE_S = 5.0
"""Time that the worker that abandoned a trial has to enqueue its candidate again."""

_logger = logging.getLogger(__name__)


class _Step(Enum):
    TAKE = auto()
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
    _silence: Silence = field(default_factory=Silence, init=False)
    _abandoned: set[int] = field(default_factory=set, init=False)
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
            elif step in (_Step.TAKE, _Step.ASK):
                self._work(trials if step is _Step.TAKE else None)
            trials = self._look()

    def _report(self, stopped_early: str | None = None) -> None:
        self._reporter.report(self._wanted, stopped_early)

    def _next(self, trials: Sequence[FrozenTrial]) -> tuple[_Step, str | None]:
        """Decide what to do now, and why if it is to leave early."""
        if any(t.state is TrialState.WAITING for t in trials):
            return _Step.TAKE, None
        running = [t for t in trials if t.state is TrialState.RUNNING]
        evaluated = paid(trials)
        left = records.left_behind(self.space, trials)
        if evaluated >= self._wanted:
            unsigned = any(records.WORKER not in t.user_attrs for t in running)
            return (_Step.WAIT if left or unsigned else _Step.LEAVE), None
        if left or evaluated + len(running) >= self._wanted:
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
        if ended:
            trials = self.study.get_trials(deepcopy=False)
        left = [trial for trial in records.left_behind(self.space, trials) if self._is_ours(trial)]
        for trial in left:
            records.retry(self.study, trial)
        return self.study.get_trials(deepcopy=False) if left else trials

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
            return True  # by another worker, or by its own after all
        self._abandoned.add(trial.number)
        return True

    def _end_of_worker(self, trial: FrozenTrial) -> str | None:
        """Say how the worker of a running trial came to its end, or None if it did not."""
        if trial.state is not TrialState.RUNNING:
            return None
        worker = trial.user_attrs.get(records.WORKER)
        if worker is not None:
            return self.heartbeat.observer.end(worker)
        lease_s = self.heartbeat.own.lease_s
        silent = self._silence.seconds(trial.number, None, lease_s=lease_s)
        return LEFT if silent >= lease_s else None  # it did not come to evaluating anything

    def _reason(self, trial: FrozenTrial, trials: Sequence[FrozenTrial], how: str) -> str:
        reason = f"its worker {how}"
        key = records.trial_key(self.space, trial)
        if how == records.DIED and key is not None:
            deaths = records.deaths_of(key, self.space, trials) + 1
            if deaths >= records.MAX_DEATHS:
                return f"{reason}, as {deaths} have over this candidate: it is not tried again"
        return reason

    def _is_ours(self, trial: FrozenTrial) -> bool:
        """Whether to enqueue an abandoned candidate, or leave that to who abandoned its trial."""
        unchanged = self._silence.seconds((trial.number, "retry"), None, lease_s=_GRACE_S)
        return trial.number in self._abandoned or unchanged >= _GRACE_S

    def _take(self, trials: Sequence[FrozenTrial]) -> optuna.Trial | None:
        """Take a waiting trial, if another worker is not faster."""
        storage = self.study._storage
        for waiting in (t for t in trials if t.state is TrialState.WAITING):
            try:
                taken = storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
            except UpdateFinishedTrialError:
                continue
            if taken:
                trial = self._begin(waiting._trial_id)
                trial.set_user_attr(records.WORKER, self.heartbeat.own.id)
                return trial
        return None

    def _ask(self) -> optuna.Trial:
        """Make a new trial, as `Study.ask` does, that is signed from its first moment."""
        signed = optuna.trial.create_trial(
            state=TrialState.RUNNING, user_attrs={records.WORKER: self.heartbeat.own.id}
        )
        return self._begin(self.study._storage.create_new_trial(self.study._study_id, signed))

    def _begin(self, trial_id: int) -> optuna.Trial:
        self.study._thread_local.cached_all_trials = None  # so that samplers see what is new
        return optuna.Trial(self.study, trial_id)

    def _work(self, waiting: Sequence[FrozenTrial] | None) -> None:
        """Evaluate one of the waiting trials, or of None a new one."""
        try:
            trial = self._ask() if waiting is None else self._take(waiting)
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
