"""A search by several workers: those that are started here, and any that join."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from motemo.cli.console import note
from motemo.cli.crew import Crew, gpus_for, worker_command

if TYPE_CHECKING:
    import optuna

    from motemo.cli.request import Request
    from motemo.front import Front
    from motemo.plan import Plan
    from motemo.progress import Progress
    from motemo.run_folder import RunFolder

_POLL_S = 0.5


def search_together(
    folder: RunFolder,
    request: Request,
    trials: int,
    batch_size: int,
    workers: int,
    on_progress: Callable[[Progress], None],
) -> Front:
    """Create the study, start workers on this host, and report what they do until they are done.

    Args:
        folder: The run's folder; what the workers say goes into its sub-folder `workers`.
        request: What is asked for.
        trials: Completed evaluations in all.
        batch_size: Stored with the study; how many of the least violating candidates to rescue.
        workers: How many to start; with 0 it waits for workers on other machines.
        on_progress: Called again and again.

    Raises:
        UsageError: A setting cannot work, or the storage serves one process only.
        EvaluationError: The workers could not go on.
    """
    from motemo import records
    from motemo.plan import check_counts
    from motemo.progress import Reporter, paid
    from motemo.spaces.by_name import is_file
    from motemo.storage import check_serves_several, explained, opened

    check_counts(trials=trials, batch_size=batch_size)
    check_serves_several(folder.storage_url)
    plan = request.plan()
    with opened(folder.storage_url) as storage, explained():
        study = plan.create_study(storage, folder.study_name, batch_size=batch_size)
        records.remember(study, wanted=trials, request=request.to_json())
        reporter = Reporter(study, plan.space, on_progress)
        reporter.report(trials)
        crew = Crew(
            workers,
            worker_command(
                folder.study_name, space=request.space if is_file(request.space) else None
            ),
            folder.path / "workers",
            gpus=gpus_for(request.train_device) if workers else (),
            environment={"MOTEMO_STORAGE": folder.storage_url},
        )
        if not workers:
            note(_invitation(folder))
        with crew:
            while True:
                at_work = crew.tend(paid(study.get_trials(deepcopy=False)))
                ended, reason = _end(study, plan, trials)
                reporter.report(trials, None if at_work else reason)
                if not at_work and (workers or ended):
                    break
                time.sleep(_POLL_S)
        return records.read_front(study, space=plan.space)


def _end(study: optuna.Study, plan: Plan, trials: int) -> tuple[bool, str | None]:
    """Return whether there is nothing left to do, and why if that is early."""
    from motemo.progress import paid
    from motemo.stopping import stop_reason

    stored = study.get_trials(deepcopy=False)
    if any(not trial.state.is_finished() for trial in stored):
        return False, None
    reason = stop_reason(stored, plan.space, trials, heed_failures=True)
    return reason is not None or paid(stored) >= trials, reason


def _invitation(folder: RunFolder) -> str:
    from motemo.storage import without_password

    named = "" if folder.study_name == "motemo" else f" --study-name {folder.study_name}"
    return f"Waiting for: motemo worker {without_password(folder.storage_url)}{named}"
