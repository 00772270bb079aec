"""One run of a benchmark: a real search on table values, judged at checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from motemo import records
from motemo.benchmark.problem import Problem, Rows
from motemo.front import Front
from motemo.registry import SAMPLERS
from motemo.rescoring import is_predicted, rescore
from motemo.search_loop import search
from motemo.space import Json

_STUDY = "benchmark"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a run had after so many paid evaluations.

    Attributes:
        evaluations: Paid evaluations.
        hypervolume: True hypervolume of what would be handed over, relative to the true front.
        duplicates: Proposals pruned as duplicates up to then.
        seconds: Wall-clock seconds up to then.
        paid_duplicates: Evaluations that were paid for a network paid before; counted by key.
        front_size: How many architectures would be handed over.
        rescored: How many of the evaluations re-scored.
        rescore_seconds: What re-scoring cost, in the seconds that the table states, if it does.
    """

    evaluations: int
    hypervolume: float
    duplicates: int
    seconds: float
    paid_duplicates: int
    front_size: int
    rescored: int = 0
    rescore_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished search.

    Attributes:
        sampler: Registered name.
        seed: Its seed.
        checkpoints: In order; the last is what it handed over.
        members: What it handed over: architecture, estimate, costs, truth of each, and its value
            after re-scoring, None where that is only predicted.
    """

    sampler: str
    seed: int
    checkpoints: tuple[Checkpoint, ...]
    members: tuple[dict[str, Json], ...]

    def at(self, evaluations: int) -> Checkpoint:
        """Return the last checkpoint within a budget."""
        within = [c for c in self.checkpoints if c.evaluations <= evaluations]
        return within[-1] if within else self.checkpoints[0]

    def to_json(self) -> dict[str, Json]:
        """Return the run as plain data."""
        plain: dict[str, Json] = asdict(self)
        return plain

    @classmethod
    def from_json(cls, plain: Any) -> Run:  # noqa: ANN401  (whatever a file holds)
        """Read what `to_json` returned."""
        return cls(
            sampler=plain["sampler"],
            seed=plain["seed"],
            checkpoints=tuple(Checkpoint(**c) for c in plain["checkpoints"]),
            members=tuple(plain["members"]),
        )


def run_search(problem: Problem, sampler: str, seed: int) -> Run:
    """Search with one sampler and seed, and judge what it would hand over."""
    plan = problem.plan
    storage = InMemoryStorage()
    population = plan.population if "population" in SAMPLERS.parameters(sampler) else None
    front = search(
        problem.space,
        problem.objectives,
        trials=plan.searched,
        sampler=sampler,
        population=population,
        storage=storage,
        study_name=_STUDY,
        batch_size=plan.batch_size,
        seed=seed,
    )
    trials = optuna.load_study(study_name=_STUDY, storage=storage).get_trials(deepcopy=False)
    history = _History(problem, trials)
    last_point = min(history.paid, plan.searched)
    points = [*(n for n in plan.checkpoints if n < last_point), last_point]
    checkpoints = [history.checkpoint(n) for n in points]
    members = [_member(problem, row) for row in history.front(last_point)]
    if plan.rescore is not None:
        last, members = _rescored(problem, front, plan.rescore, checkpoints[-1])
        checkpoints.append(last)
    return Run(sampler=sampler, seed=seed, checkpoints=tuple(checkpoints), members=tuple(members))


class _History:
    """The trials of a finished search, by number."""

    def __init__(self, problem: Problem, trials: Sequence[FrozenTrial]) -> None:
        self._problem = problem
        self._trials = sorted(trials, key=lambda t: t.number)
        self._completed = [t for t in self._trials if t.state is TrialState.COMPLETE]
        genotypes = (t.user_attrs[records.GENOTYPE] for t in self._completed)
        self._rows = problem.find(genotypes)

    @property
    def paid(self) -> int:
        return len(self._completed)

    def front(self, paid: int) -> Rows:
        return self._problem.front(self._rows[:paid], self._problem.plan.estimate)

    def checkpoint(self, paid: int) -> Checkpoint:
        until = self._trials[: self._completed[paid - 1].number + 1] if paid else self._trials
        front = self.front(paid)
        return Checkpoint(
            evaluations=paid,
            hypervolume=self._problem.share(front),
            front_size=len(front),
            duplicates=sum(records.DUPLICATE_OF in t.user_attrs for t in until),
            paid_duplicates=paid - len({self._key(t) for t in self._completed[:paid]}),
            seconds=self._seconds(until),
        )

    def _key(self, trial: FrozenTrial) -> str | None:
        architecture = records.trial_architecture(self._problem.space, trial)
        return None if architecture is None else architecture.key

    @staticmethod
    def _seconds(until: Sequence[FrozenTrial]) -> float:
        begun, ended = until[0].datetime_start, until[-1].datetime_complete
        return 0.0 if begun is None or ended is None else (ended - begun).total_seconds()


def _rescored(
    problem: Problem, front: Front, column: str, before: Checkpoint
) -> tuple[Checkpoint, list[dict[str, Json]]]:
    """Return the last checkpoint, after re-scoring, and what is handed over then."""
    plan, objective = problem.plan, problem.dearer_objective(column)
    paid = Front.of(front.evaluated[: before.evaluations], axes=front.axes)
    again = rescore(paid, objective, plan.top, keep_others=not plan.only_rescored, doubt=plan.doubt)
    rows = problem.find(m.architecture.genotype for m in again.members)
    scored = problem.find(
        m.architecture.genotype
        for m in again.evaluated
        if not is_predicted(m.measurements[objective.name])
    )
    seconds = plan.rescore_seconds
    last = replace(
        before,
        evaluations=before.evaluations + len(scored),
        hypervolume=problem.share(rows),
        front_size=len(rows),
        rescored=len(scored),
        rescore_seconds=(
            None if seconds is None else float(problem.table.columns[seconds][scored].sum())
        ),
    )
    values: dict[int, Json] = {row: float(problem.table.columns[column][row]) for row in scored}
    return last, [_member(problem, row) | {"rescored": values.get(row)} for row in rows]


def _member(problem: Problem, row: int) -> dict[str, Json]:
    plan, columns = problem.plan, problem.table.columns
    return {
        "arch": problem.table.architectures[row].genotype,
        "estimate": float(columns[plan.estimate][row]),
        "costs": {cost: float(columns[cost][row]) for cost in plan.costs},
        "truth": float(columns[plan.truth][row]),
    }
