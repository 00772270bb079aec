"""Runs of a benchmark, side by side in processes of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache

import optuna

from motemo.benchmark.folder import BenchmarkFolder
from motemo.benchmark.plan import Plan
from motemo.benchmark.problem import Problem
from motemo.benchmark.run import Run, run_search
from motemo.errors import MotemoError, SettingsError
from motemo.processes import as_finished, cores, worker_pool
from motemo.registry import SAMPLERS
from motemo.space import Json

_OFFERED = ("seed", "space")

Report = Callable[[int, int], None]
"""Called with how many runs are finished, and how many there are."""


def run_all(
    plan: Plan,
    samplers: Sequence[str],
    seeds: Sequence[int],
    *,
    folder: BenchmarkFolder,
    processes: int | None = None,
    on_progress: Report = lambda _done, _all: None,
) -> list[Run]:
    """Run every sampler with every seed; finished runs in the folder are not repeated.

    Args:
        plan: What to do.
        samplers: Registered names.
        seeds: Seeds; each sampler gets the same.
        folder: Where each run is kept as soon as it is finished.
        processes: How many runs at a time; None: one per core.
        on_progress: Called at the start and after every run.

    Returns:
        The runs, sampler by sampler, by seed.

    Raises:
        UsageError: A setting cannot work.
        EvaluationError: A process died.
    """
    options = {name: described(name, plan) for name in samplers}
    kept = {
        (name, seed): folder.finished(name, seed, options=options[name])
        for name in samplers
        for seed in seeds
    }
    runs = {task: run for task, run in kept.items() if run is not None}
    missing = [(name, seed) for seed in seeds for name in samplers if (name, seed) not in runs]
    on_progress(len(runs), len(kept))
    if not missing:
        return [runs[name, seed] for name in samplers for seed in seeds]
    with worker_pool(min(processes or cores(), len(missing)), begin=_begin) as pool:
        for run in _finished(pool, plan, missing):
            folder.keep(run, options=options[run.sampler])
            runs[run.sampler, run.seed] = run
            on_progress(len(runs), len(kept))
    return [runs[name, seed] for name in samplers for seed in seeds]


def described(sampler: str, plan: Plan) -> Json:
    """Return a sampler's options, as far as they have names."""
    defaults = {k: v for k, v in SAMPLERS.defaults(sampler).items() if k not in _OFFERED}
    given = {} if plan.population is None else {"population": plan.population}
    return defaults | {k: v for k, v in given.items() if k in SAMPLERS.parameters(sampler)}


def check_samplers(names: Sequence[str]) -> list[str]:
    """Return the registered names of samplers.

    Raises:
        UnknownNameError: There is no such sampler.
        SettingsError: None is given, or one twice.
    """
    found = [SAMPLERS.entry(name).name for name in names]
    if not found or len(set(found)) < len(found):
        raise SettingsError(
            f"Give at least one sampler, and each once; got {', '.join(names) or 'none'}."
        )
    return found


def _finished(
    pool: ProcessPoolExecutor, plan: Plan, tasks: Sequence[tuple[str, int]]
) -> Iterator[Run]:
    futures: list[Future[Run]] = [pool.submit(_run, plan, *task) for task in tasks]
    yield from as_finished(futures, of="benchmark", kept="Finished runs")


def _begin() -> None:
    """Say nothing in between."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("motemo").setLevel(logging.ERROR)


def _run(plan: Plan, sampler: str, seed: int) -> Run:
    try:
        return run_search(_problem(plan), sampler, seed)
    except MotemoError as error:  # one that crosses the border of a process whole
        raise SettingsError(f"The sampler {sampler!r} with seed {seed}: {error}") from None


@cache
def _problem(plan: Plan) -> Problem:
    return Problem.load(plan)
