"""`motemo worker`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from motemo.cli.console import note, note_console
from motemo.cli.opened_run import opened_run
from motemo.cli.settings import Quiet, RunSpace
from motemo.cli.signals import ended_in_order

DEFAULT_LEASE_S = 60.0


def worker(
    *,
    storage: Annotated[
        str,
        typer.Argument(
            help="Storage URL of the study: journal:FILE, postgresql+psycopg://..., mysql+..., "
            "grpc://HOST:PORT; or the folder of a run on this machine.",
            envvar="MOTEMO_STORAGE",
        ),
    ],
    study_name: Annotated[str, typer.Option("--study-name", help="Study in the storage.")] = (
        "motemo"
    ),
    space: RunSpace = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Where the study's data are on this machine.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Device whose cost counts, if called otherwise.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads of one inference on the device.")
    ] = None,
    train_device: Annotated[
        str | None,
        typer.Option("--train-device", help="torch device that trains here: cpu, cuda, cuda:1."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", help="Completed evaluations in all.  \\[default: as many as searched for]"
        ),
    ] = None,
    lease: Annotated[
        float,
        typer.Option("--lease", help="Seconds of silence after which others take over."),
    ] = DEFAULT_LEASE_S,
    quiet: Quiet = False,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
) -> None:
    """Join a search that 'motemo search' has begun, from this or another machine.

    Space, objectives and settings come from the study. Any number of workers may join and leave;
    what one that dies was evaluating is evaluated again by another. It ends when the study has
    its trials. Results are shown by 'motemo front'.

    [bold]Examples[/bold]

      motemo worker journal:runs/search/study.log

      motemo worker postgresql+psycopg://me@host/db --data /scratch/photos --train-device cuda

      motemo worker journal:runs/mine/study.log --space my_space.py:SPACE
    """
    import optuna

    from motemo import records
    from motemo.cli.request import Request
    from motemo.rendering.live import LiveProgress
    from motemo.search_loop import Progress, work
    from motemo.storage import check_serves_several, explained, is_storage_url, load_study

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not is_storage_url(storage):
        storage = opened_run(storage).storage_url
    check_serves_several(storage)
    with explained():
        stored = records.read_request(load_study(storage, study_name))
    request = Request.from_json(stored).on_this_machine(
        space=space, data=data, device=device, threads=threads, train_device=train_device
    )
    request.check_data()
    found, objectives = request.create()
    with ended_in_order() as check_signals, LiveProgress(note_console) as display:

        def on_progress(progress: Progress) -> None:
            check_signals()
            display.update(
                progress.front,
                wanted=progress.wanted,
                trials=progress.trials,
                seconds_left=progress.seconds_left,
                stopped_early=progress.stopped_early,
            )

        def stop() -> bool:
            check_signals()
            return parent is not None and os.getppid() != parent

        front = work(
            found,
            objectives,
            storage=storage,
            study_name=study_name,
            trials=trials,
            constraints=request.constraints,
            sampler=request.sampler,
            population=request.population,
            seed=request.seed,
            early_stopping=request.early_stopping,
            lease_s=lease,
            on_progress=on_progress,
            stop=stop,
        )
    note(f"{len(front.evaluated)} evaluated, {len(front)} on the front")
