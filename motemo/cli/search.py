"""`motemo search`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import note, note_console, show
from motemo.cli.export import write_onnx
from motemo.cli.measured_front import measured_front, predicts_latency
from motemo.cli.request import Request
from motemo.cli.settings import (
    AsJson,
    Classes,
    DataClasses,
    DataSource,
    DeviceName,
    ImageSize,
    ImagesPerClass,
    InputShape,
    ObjectiveNames,
    Options,
    Quiet,
    Seed,
    SpaceName,
    Threads,
    TrainDevice,
)
from motemo.cli.signals import ended_in_order, hint_when_interrupted
from motemo.cli.together import search_together
from motemo.errors import DeviceError, EvaluationError, SettingsError

if TYPE_CHECKING:
    from motemo.front import Front
    from motemo.progress import Progress
    from motemo.run_folder import RunFolder

DEFAULT_OUT = Path("runs/search")


def search(
    *,
    space: SpaceName = "nasbench201",
    data: DataSource = "digits",
    objective: ObjectiveNames = None,
    sampler: Annotated[
        str,
        typer.Option("--sampler", help="Who proposes candidates; see 'motemo list'."),
    ] = "motemo",
    trials: Annotated[
        int,
        typer.Option("--trials", help="At least so many completed evaluations in all."),
    ] = 40,
    seed: Seed = 0,
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", help="Bound on an objective, as in 'latency_ms<=5'. Repeat."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for all results.")] = DEFAULT_OUT,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            help="Optuna storage URL.  \\[default: sqlite:///OUT/study.db; with --workers, "
            "journal:OUT/study.log]",
        ),
    ] = None,
    study_name: Annotated[str, typer.Option("--study-name", help="Study in the storage.")] = (
        "motemo"
    ),
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Candidates that are asked for together.")
    ] = 4,
    population: Annotated[
        int | None, typer.Option("--population", help="Population of the genetic samplers.")
    ] = None,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping/--no-early-stopping",
            help="Stop trainings that cannot enter the front; they count as evaluations.",
        ),
    ] = False,
    device: DeviceName = "cpu",
    threads: Threads = None,
    train_device: TrainDevice = "cpu",
    input_shape: InputShape = None,
    classes: Classes = None,
    data_classes: DataClasses = None,
    images_per_class: ImagesPerClass = None,
    image_size: ImageSize = None,
    option: Options = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            help="Processes on this machine that share the search. 0 waits for 'motemo worker' "
            "on other machines.",
        ),
    ] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search a space for its Pareto front.

    Without --objective: the estimate of accuracy that suits the space ('motemo list --space NAME'
    says which), params, flops and latency_ms.

    Run it again with the same settings to continue where it stopped; raise --trials to go on.
    The front is printed and written to OUT: front.csv, front.json, front.html, front.png and
    untrained ONNX models. If latency was predicted, the members are measured first.

    [bold]Examples[/bold]

      motemo search

      motemo search --data photos/ --image-size 32 --trials 100 --constraint "latency_ms<=5"

      motemo search --workers 4 --out runs/shared

      motemo search --data rd.npz --images-per-class 100 --objective mote --objective params
    """
    from motemo.run_folder import RunFolder

    if workers < 0:
        raise SettingsError(f"The number of workers cannot be negative; got {workers}.")
    folder = RunFolder(out, storage, study_name, shared=workers != 1)
    folder.check()
    request = Request(
        space=space,
        data=data,
        data_classes=data_classes,
        images_per_class=images_per_class,
        image_size=image_size,
        objectives=tuple(objective or ()),
        options=tuple(option or ()),
        constraints=tuple(constraint or ()),
        device=device,
        threads=threads,
        train_device=train_device,
        input_shape=input_shape,
        classes=classes,
        sampler=sampler,
        population=population,
        seed=seed,
        early_stopping=early_stopping,
    )
    front = _run(folder, request, trials=trials, batch_size=batch_size, workers=workers)
    if as_json:
        from motemo.rendering.files import to_json

        sys.stdout.write(to_json(front))
    else:
        show(front)
    if not front.evaluated:
        raise EvaluationError(
            "No architecture was evaluated. The reasons are in the study: "
            f"motemo dashboard {folder.path}"
        )


def _run(
    folder: RunFolder, request: Request, *, trials: int, batch_size: int, workers: int
) -> Front:
    """Search, alone or by workers; show how far it is, and write the files."""
    import optuna

    from motemo.rendering.live import LiveProgress

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # an interruption while SQLAlchemy tidies up a connection would be shown as a traceback
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.enter_context(hint_when_interrupted())
        check_signals = stack.enter_context(ended_in_order())
        display = LiveProgress(note_console)

        def on_progress(progress: Progress) -> None:
            check_signals()
            if not display.started:
                stack.enter_context(folder.claimed())
                stack.enter_context(display)
            display.update(
                progress.front,
                wanted=progress.wanted,
                trials=progress.trials,
                seconds_left=progress.seconds_left,
                stopped_early=progress.stopped_early,
            )

        if workers == 1:
            front = _search_alone(folder, request, trials, batch_size, on_progress)
        else:
            front = search_together(folder, request, trials, batch_size, workers, on_progress)
        display.stop()
        front = _with_measurements(front, request, folder)
        _write_all(folder, front)
    return front


def _with_measurements(front: Front, request: Request, folder: RunFolder) -> Front:
    """Return the front with its predicted latencies measured, if it has any and they can be."""
    if not (front.members and predicts_latency(front)):
        return front
    try:
        measured = measured_front(front, request.device, folder, threads=request.threads)
    except (DeviceError, SettingsError) as error:
        note(f"The latencies stay predictions: {error}")
        return front
    return measured if measured.evaluated else front


def _search_alone(
    folder: RunFolder,
    request: Request,
    trials: int,
    batch_size: int,
    on_progress: Callable[[Progress], None],
) -> Front:
    from motemo.search_loop import search as run

    space, objectives = request.create()
    return run(
        space,
        objectives,
        trials=trials,
        constraints=request.constraints,
        sampler=request.sampler,
        population=request.population,
        storage=folder.storage_url,
        study_name=folder.study_name,
        batch_size=batch_size,
        seed=request.seed,
        early_stopping=request.early_stopping,
        on_progress=on_progress,
        request=request.to_json(),
    )


def _write_all(folder: RunFolder, front: Front) -> None:
    paths = [
        folder.write_csv(front),
        folder.write_json(front),
        folder.write_html(front),
        folder.write_png(front),
    ]
    for path in paths:
        note(f"wrote {path}")
    write_onnx(folder, front)
