"""One process searches: ask a batch, evaluate it, tell it; continue exactly where it stopped.

The rules that make a killed and continued search identical to an uninterrupted one, for
deterministic objectives, one worker and a fixed batch size B:

1. A batch is the trial numbers [kB, (k+1)B), always full; whether to stop is decided between two
   batches only, so that up to B - 1 evaluations more than asked for may be made.
2. The whole batch is asked before any of it is told. Trials that a dead process left running are
   taken up in place, under their own number.
3. Sampling is seeded per trial (`motemo.samplers.per_trial_seed`).
4. Duplicates are looked up among the parameters of lower-numbered trials, whatever became of them.
5. Attributes first, then one tell.
6. A training is stopped early by what earlier batches showed, never by its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.constraint import Constraint
from motemo.early_stopping import EarlyStopping, Judge
from motemo.evaluation import Candidate, evaluate, mark_duplicates, take_candidate, tell
from motemo.objective import Objective
from motemo.progress import Progress, Reporter, paid
from motemo.space import Space
from motemo.stopping import enqueue_rescue, least_violating, needs_rescue, stop_reason


@dataclass
class BatchLoop:
    """Searches a study, batch by batch, alone.

    Attributes:
        study: The study, with its sampler.
        space: Where to search.
        objectives: What to evaluate.
        constraints: The bounds.
        wanted: Evaluations in the study, in all.
        batch_size: Candidates that are asked for together.
        on_progress: Called at the start and after every step.
        early_stopping: When a training is stopped; None for never.
    """

    study: optuna.Study
    space: Space
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    wanted: int
    batch_size: int
    on_progress: Callable[[Progress], None] | None
    early_stopping: EarlyStopping | None = None

    def run(self) -> None:
        """Search until the study has what was asked for, or there is a reason to stop."""
        self._reporter = Reporter(self.study, self.space, self.on_progress)
        self._batches = 0
        self._report()
        for trial in records.left_behind(self.space, self._trials()):
            records.retry(self.study, trial)
        while True:
            self._complete_rescue(self._trials())
            trials = self._trials()
            if all(trial.state.is_finished() for trial in trials):
                stop = stop_reason(trials, self.space, self.wanted, heed_failures=self._batches > 0)
                if stop is not None and self._rescue(trials):
                    continue
                if stop is not None or paid(trials) >= self.wanted:
                    self._report(stop)
                    break
            self._run_batch(self._ask_batch(trials))
            self._batches += 1

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _report(self, stopped_early: str | None = None) -> None:
        self._reporter.report(self.wanted, stopped_early)

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
        mark_duplicates(batch, records.first_trial_of_each_claim(self.space, self._trials()))
        evaluate(
            batch,
            self.objectives,
            self.constraints,
            on_measured=self._report,
            watch=self._judge(batch),
        )
        for candidate in batch:
            tell(self.study, candidate, self.objectives)
        self._report()

    def _judge(self, batch: Sequence[Candidate]) -> Judge | None:
        """Return who stops trainings of a batch.

        It goes by earlier batches alone, so that it does not matter which trials of this one were
        told before a kill.
        """
        if self.early_stopping is None:
            return None
        start = batch[0].trial.number // self.batch_size * self.batch_size
        return Judge.of(
            self.early_stopping,
            [trial for trial in self._trials() if trial.number < start],
            objectives=self.objectives,
            constraints=self.constraints,
        )

    def _rescue(self, trials: Sequence[FrozenTrial]) -> bool:
        """If nothing was evaluated, enqueue the least violating candidates to be so after all."""
        chosen = self._least_violating(trials) if needs_rescue(trials) else []
        for trial in chosen:
            enqueue_rescue(self.study, trial)
        return bool(chosen)

    def _complete_rescue(self, trials: Sequence[FrozenTrial]) -> None:
        """Enqueue what a process that died while enqueueing a batch of rescues left out."""
        begun = len(trials) % self.batch_size
        last = trials[len(trials) - begun :]
        if begun and all(records.RESCUES in trial.user_attrs for trial in last):
            for trial in self._least_violating(trials[:-begun])[begun:]:
                enqueue_rescue(self.study, trial)

    def _least_violating(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return least_violating(trials, self.constraints, self.batch_size)
