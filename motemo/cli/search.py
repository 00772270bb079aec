"""`motemo search`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import err_console, note, show
from motemo.cli.export import write_onnx
from motemo.cli.settings import (
    Classes,
    DataClasses,
    DataSource,
    DeviceName,
    ImageSize,
    ImagesPerClass,
    InputShape,
    ObjectiveNames,
    Options,
    Seed,
    SpaceName,
    Threads,
    TrainDevice,
    create_device,
    create_objectives,
    load_images,
    parse_shape,
)
from motemo.errors import EvaluationError
from motemo.registry import SPACES

if TYPE_CHECKING:
    from motemo.front import Front
    from motemo.objective import Objective
    from motemo.run_folder import RunFolder
    from motemo.space import Space

DEFAULT_OUT = Path("runs/search")
DEFAULT_OBJECTIVES = ("mote", "params", "flops", "latency_ms")


def search(
    *,
    space: SpaceName = "nasbench201",
    data: DataSource = "digits",
    objective: ObjectiveNames = None,
    sampler: Annotated[
        str,
        typer.Option("--sampler", help="Who proposes candidates; see 'motemo list'."),
    ] = "nsga2",
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
        typer.Option("--storage", help="Optuna storage URL.  [default: sqlite:///OUT/study.db]"),
    ] = None,
    study_name: Annotated[str, typer.Option("--study-name", help="Study in the storage.")] = (
        "motemo"
    ),
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Candidates that are asked for together.")
    ] = 4,
    population: Annotated[
        int | None, typer.Option("--population", help="Population of nsga2 and nsga3.")
    ] = None,
    device: DeviceName = "cpu",
    threads: Threads = 1,
    train_device: TrainDevice = "cpu",
    input_shape: InputShape = "3x32x32",
    classes: Classes = None,
    data_classes: DataClasses = None,
    images_per_class: ImagesPerClass = None,
    image_size: ImageSize = None,
    option: Options = None,
) -> None:
    """Search a space for its Pareto front.

    Run it again with the same settings to continue where it stopped; raise --trials to go on.
    The front is printed and written to OUT: front.csv, front.json, front.html, front.png and
    untrained ONNX models.

    [bold]Examples[/bold]

      motemo search

      motemo search --data photos/ --image-size 32 --trials 100 --constraint "latency_ms<=5"

      motemo search --data rd.npz --images-per-class 100 --objective mote --objective params
    """
    from motemo.run_folder import RunFolder
    from motemo.storage import without_password

    folder = RunFolder(out, storage, study_name)
    folder.check()
    found_space: Space = SPACES.create(space)
    names = objective or DEFAULT_OBJECTIVES
    images = load_images(data, data_classes, images_per_class, image_size, seed)
    objectives = create_objectives(
        names,
        option or [],
        data=images,
        device=create_device(device, threads),
        input_shape=parse_shape(input_shape),
        classes=images.classes if classes is None else classes,
        seed=seed,
        train_device=train_device,
    )
    front = _run_search(
        folder,
        found_space,
        objectives,
        trials=trials,
        constraints=constraint or [],
        sampler=sampler,
        population=population,
        batch_size=batch_size,
        seed=seed,
    )
    show(front)
    if not front.evaluated:
        raise EvaluationError(
            "No architecture was evaluated. The reasons are in the study: "
            f"optuna-dashboard {without_password(folder.storage_url)}"
        )


def _run_search(
    folder: RunFolder,
    space: Space,
    objectives: Sequence[Objective],
    *,
    trials: int,
    constraints: Sequence[str],
    sampler: str,
    population: int | None,
    batch_size: int,
    seed: int,
) -> Front:
    import optuna

    from motemo.rendering.live import LiveProgress
    from motemo.search_loop import Progress
    from motemo.search_loop import search as run

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with ExitStack() as stack:
        stack.enter_context(_hint_when_interrupted())
        display = LiveProgress(err_console)

        def on_progress(progress: Progress) -> None:
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

        front = run(
            space,
            objectives,
            trials=trials,
            constraints=constraints,
            sampler=sampler,
            population=population,
            storage=folder.storage_url,
            study_name=folder.study_name,
            batch_size=batch_size,
            seed=seed,
            on_progress=on_progress,
        )
        display.stop()
        _write_all(folder, front)
    return front


@contextmanager
def _hint_when_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        err_console.print("Interrupted. Run the same command again to continue.")
        raise


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
