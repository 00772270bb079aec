"""`motemo train`."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from motemo.cli.console import note, out_console, show, warn, write_json
from motemo.cli.opened_run import opened_run
from motemo.cli.progress_bar import progress_bar
from motemo.cli.request import Request
from motemo.cli.settings import (
    AsJson,
    DataClasses,
    ImagesPerClass,
    Quiet,
    RunSpace,
    RunStorage,
    RunStudy,
    Seed,
    TrainDevice,
    load_images,
    parse_shape,
    run_space,
    set_options,
)
from motemo.cli.signals import ended_in_order, hint_when_interrupted
from motemo.errors import EvaluationError, SettingsError
from motemo.finalist import FOLDER, finalist_folder, read_finalist

if TYPE_CHECKING:
    import optuna

    from motemo.comparison import Compared
    from motemo.data.dataset import ImageData
    from motemo.final_training import Trained
    from motemo.front import Front
    from motemo.objectives.accuracy import Accuracy
    from motemo.objectives.full_training_crew import Progress, Report
    from motemo.run_folder import RunFolder
    from motemo.space import Shape

DEFAULT_TOP = 10
_ON_ONE_GPU = 4


def train(
    *,
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    top: Annotated[
        int | None,
        typer.Option("--top", help=f"How many of the best to train.  \\[default: {DEFAULT_TOP}]"),
    ] = None,
    trial: Annotated[
        list[int] | None, typer.Option("--trial", help="Train this trial instead. Repeat it.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the images.")] = 12,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Images to train on: digits, cifar10, cifar100, an .npz file (x_train, y_train), "
            "or a folder with one sub-folder per class.  \\[default: the images of the search]",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images a step.")] = 128,
    val_share: Annotated[
        float, typer.Option("--val-share", help="Share of each class to validate on, held out.")
    ] = 0.1,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Whether to mirror images.  \\[default: those that have colours]",
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile networks; pays in long trainings.")
    ] = False,
    train_device: TrainDevice = "cpu",
    together: Annotated[
        int | None,
        typer.Option(
            "--together",
            help=f"How many to train at once.  \\[default: one a core; on a GPU, {_ON_ONE_GPU}]",
        ),
    ] = None,
    replaces: Annotated[
        str | None,
        typer.Option(
            "--replaces",
            help="The estimate in whose place accuracy comes.  \\[default: the first to maximise]",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="Folder of these finalists inside RUN, and study.")
    ] = FOLDER,
    seed: Seed = 0,
    data_classes: DataClasses = None,
    images_per_class: ImagesPerClass = None,
    input_shape: Annotated[
        str | None,
        typer.Option(
            "--input-shape",
            help="Shape of the images that the networks take, as in 3x224x224; images of other "
            "sizes are scaled.  \\[default: what the costs of the run were taken for, or else the "
            "shape of the images]",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set a field of the training, as in --set accuracy.recipe.learning_rate=0.001. "
            "Repeat it.",
        ),
    ] = None,
    space: RunSpace = None,
    storage: RunStorage = None,
    study_name: RunStudy = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the finalists of a run for real, and redraw its front with what they reach.

    The best of the front, layer by layer, are trained in full, and validated on images that are
    held out, the same for all. Run it again to go on after an interruption, or with a higher --top
    to add finalists: nothing is trained twice. Results go to RUN/trained: front.csv, front.json,
    front.html, comparison.csv, and a folder per finalist with its weights.

    [bold]Examples[/bold]

      motemo train runs/search --top 3

      motemo train runs/search --top 10 --epochs 12 --data cifar10 --train-device cuda

      motemo train runs/search --trial 12 --trial 31 --epochs 60 --name long
    """
    import optuna

    from motemo.storage import explained, load_study

    _check_name(name)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = opened_run(str(run), storage=storage, study_name=study_name)
    with explained():
        study = load_study(folder.storage_url, folder.study_name)
        front = _front(study, space)
    images = _images(
        study,
        data,
        data_classes,
        images_per_class,
        shape=_shape(front, input_shape),
    )
    recipe = {"epochs": epochs, "batch_size": batch_size, "compiled": compiled}
    accuracy = _accuracy(
        images,
        [
            *(f"accuracy.recipe.{key}={json.dumps(value)}" for key, value in recipe.items()),
            *([] if flip is None else [f"accuracy.recipe.flip={'always' if flip else 'never'}"]),
            *(option or []),
        ],
        val_share=val_share,
        seed=seed,
        train_device=train_device,
    )
    trials = _trials(front, top, trial)
    trained = _train(
        folder,
        front,
        accuracy,
        trials,
        name=name,
        replaces=replaces,
        together=together,
        space=space,
    )
    _write(folder, trained, name)
    if as_json:
        _print_json(trained)
    else:
        _show(trained)
    _complain(trained)


def _check_name(name: str) -> None:
    if not name or Path(name).name != name or name in (".", "..", "models", "workers"):
        raise SettingsError(
            f"The finalists cannot be called {name!r}: it becomes a folder inside the run's. Give "
            "a plain name, such as 'long'."
        )


def _front(study: optuna.Study, space: str | None) -> Front:
    from motemo.records import read_front

    return read_front(study, space=run_space(space))


def _images(
    study: optuna.Study,
    data: str | None,
    data_classes: int | None,
    images_per_class: int | None,
    *,
    shape: Shape | None,
) -> ImageData:
    """Return the images, given ones or those of the search, in the shape that is deployed."""
    from motemo.data.pipeline import in_shape
    from motemo.data.sizes import format_size
    from motemo.records import REQUEST, read_request

    stored = REQUEST in study.user_attrs
    request = Request.from_json(read_request(study)) if stored else None
    if data is None and request is None:
        raise SettingsError(
            "The run does not say on which images it searched: 'motemo search' did not make it. "
            "Give --data."
        )
    size = None if shape is None else format_size(shape[1:])
    if data is None and request is not None:
        request.check_data()
        images = load_images(
            request.data,
            data_classes or request.data_classes,
            images_per_class or request.images_per_class,
            size or request.image_size,
            request.seed,
        )
    else:
        seed = 0 if request is None else request.seed
        images = load_images(str(data), data_classes, images_per_class, size, seed)
    return images if shape is None else in_shape(images, shape)


def _shape(front: Front, given: str | None) -> Shape | None:
    """Return the shape of the images: given, or that of the costs; None leaves them as they are."""
    from motemo.records import stored_input_shape

    return stored_input_shape(front.settings) if given is None else parse_shape(given)


def _accuracy(
    images: ImageData,
    options: Sequence[str],
    *,
    val_share: float,
    seed: int,
    train_device: str,
) -> Accuracy:
    from motemo.objective import Objective
    from motemo.objectives.accuracy import Accuracy

    plain = Accuracy(data=images, val_share=val_share, seed=seed, train_device=train_device)
    created: dict[str, Objective] = {"accuracy": plain}
    set_options(created, options)
    accuracy = created["accuracy"]
    assert isinstance(accuracy, Accuracy)  # noqa: S101  (options keep the class)
    return accuracy


def _trials(front: Front, top: int | None, trials: Sequence[int] | None) -> list[int]:
    from motemo.rescoring import best_trials

    if trials and top is not None:
        raise SettingsError("Give --top or --trial, not both.")
    if top is not None and top < 1:
        raise SettingsError(f"--top is at least 1; got {top}.")
    return list(trials or best_trials(front, DEFAULT_TOP if top is None else top))


def _train(
    folder: RunFolder,
    front: Front,
    accuracy: Accuracy,
    trials: Sequence[int],
    *,
    name: str,
    replaces: str | None,
    together: int | None,
    space: str | None,
) -> Trained:
    from motemo.final_training import train_finalists
    from motemo.processes import cores

    place = folder.path / name
    left = [t for t in trials if read_finalist(finalist_folder(place, t)) is None]
    at_once = _ON_ONE_GPU if accuracy.train_device.startswith("cuda") else cores()
    with hint_when_interrupted(), ended_in_order(), _progress(len(left), accuracy) as report:
        return train_finalists(
            front,
            accuracy,
            place,
            trials=trials,
            replaces=replaces,
            together=at_once if together is None else together,
            space_name=space,
            storage=folder.storage_url,
            study_name=f"{folder.study_name}-{name}",
            report=report,
        )


@contextmanager
def _progress(count: int, accuracy: Accuracy) -> Iterator[Report]:
    """Show how many epochs are done, and say what each finalist came to."""
    shares: dict[int, float] = {}
    epochs = accuracy.recipe.epochs
    with _failures_told_once(), progress_bar("training, epochs") as tell:

        def report(progress: Progress) -> None:
            shares[progress.trial] = progress.share
            tell(int(sum(shares.values()) * epochs), max(count, len(shares)) * epochs)
            finalist = progress.finalist
            if finalist is not None and finalist.failure is None:
                note(f"trial {finalist.trial}: {_reached(finalist.val_accuracy)}")
            elif finalist is not None:
                warn(f"trial {finalist.trial} failed: {finalist.failure}")

        yield report


@contextmanager
def _failures_told_once() -> Iterator[None]:
    """Keep re-scoring from logging the failures that are told as they happen."""
    logger = logging.getLogger("motemo.rescoring")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _write(folder: RunFolder, trained: Trained, name: str) -> None:
    from motemo.files import write_atomically
    from motemo.final_training import comparison_csv

    place = replace(folder, path=folder.path / name)
    written = []
    if trained.rows:
        written.append(place.path / "comparison.csv")
        write_atomically(written[0], comparison_csv(trained))
    if trained.front.evaluated:
        front = trained.front
        written += [place.write_csv(front), place.write_json(front), place.write_html(front)]
    for path in written:
        note(f"wrote {path}")


def _print_json(trained: Trained) -> None:
    from motemo.final_training import agreement_of, records_of
    from motemo.rendering.files import to_json

    front = json.loads(to_json(trained.front)) if trained.front.evaluated else None
    write_json(
        {"finalists": records_of(trained), "agreement": agreement_of(trained), "front": front}
    )


def _show(trained: Trained) -> None:
    if trained.front.evaluated:
        show(trained.front)
        out_console.print()
    table = Table(
        title=Text("Estimate and truth"),
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=Text(_agreement(trained)),
        caption_justify="left",
        caption_style="",
    )
    estimate = trained.replaced.name
    heads = ("trial", f"estimate:\n{estimate}", "rank", "trained:\naccuracy", "95 % interval")
    for head in (*heads, "rank", "seconds"):
        table.add_column(Text(head), justify="right")
    for row in trained.rows:
        table.add_row(*_cells(row))
    out_console.print(table)


def _cells(row: Compared) -> list[str]:
    finalist = row.finalist
    cells = [str(finalist.trial), f"{row.estimate.value:.5g}", str(row.estimate_rank)]
    if finalist.val_low is None or finalist.val_high is None:
        return [*cells, "failed", "", "", f"{finalist.seconds:.0f}"]
    interval = f"[{finalist.val_low:.3f}, {finalist.val_high:.3f}]"
    reached = _reached(finalist.val_accuracy)
    return [*cells, reached, interval, str(row.accuracy_rank), f"{finalist.seconds:.0f}"]


def _reached(accuracy: float | None) -> str:
    return f"{accuracy or 0.0:.4f}"


def _agreement(trained: Trained) -> str:
    found = trained.agreement
    if math.isnan(found.tau):
        return "No rank correlation: that takes two trained finalists at least, not all alike."
    interval = "; too few for an interval"
    if not math.isnan(found.tau_low):
        interval = f", 95 % interval [{found.tau_low:.2f}, {found.tau_high:.2f}]"
    return (
        f"Rank correlation of {trained.replaced.name} and trained accuracy, n = {found.n}: "
        f"Kendall {found.tau:.2f}{interval}; Spearman {found.rho:.2f}."
    )


def _complain(trained: Trained) -> None:
    """Raise if none could be trained; say which could not."""
    failed = [f for f in trained.finalists if f.failure is not None]
    if not trained.front.evaluated:
        reasons = "\n".join(f"trial {f.trial}: {f.failure}" for f in failed)
        raise EvaluationError(f"No finalist could be trained.\n{reasons}")
    if failed:
        note(f"{len(failed)} failed and will not be tried again; delete their folders to do so")
