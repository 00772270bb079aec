"""`motemo export`, and writing the ONNX models of a front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from motemo.cli.console import err_console, note, warn, write_json
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import FinalistsName, Quiet, Run, RunSpace, RunStorage, RunStudy, run_space
from motemo.errors import EvaluationError, SettingsError
from motemo.finalist import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from motemo.data.dataset import ImageData
    from motemo.deployment.folder import Deployed
    from motemo.front import Front
    from motemo.run_folder import RunFolder

_FOLDER = "deploy"


def write_onnx(folder: RunFolder, front: Front) -> None:
    """Write the members of a front into a run folder."""
    results = folder.write_onnx(front)
    written = [result.path for result in results if result.path is not None]
    if written:
        note(
            f"wrote {written[0].parent}: {len(written)} ONNX models, untrained weights, each equal "
            "to its torch network"
        )
    for result in results:
        if result.failure is not None:
            err_console.print(
                f"[yellow]no ONNX model of trial {result.member.trial}: {escape(result.failure)}"
            )


def export(
    *,
    run: Run,
    trial: Annotated[
        list[int] | None,
        typer.Option(
            "--trial",
            help="Number of the trial to export; repeat it for more.  "
            "\\[default: what 'motemo select' picks]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the folders are to be.  \\[default: RUN/deploy]"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Images to fix the scales of the int8 model by.  \\[default: those of the search]",
        ),
    ] = None,
    program: Annotated[
        bool, typer.Option("--program", help="Write a program of torch.export (.pt2), too.")
    ] = False,
    name: FinalistsName = FOLDER,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of records: trial, folder, trained, ...")
    ] = False,
    quiet: Quiet = False,
    space: RunSpace = None,
    storage: RunStorage = None,
    study_name: RunStudy = None,
) -> None:
    """Write a folder per chosen model, with all that it takes to run it without motemo.

    ONNX in float32 and int8, weights, genotype, drawing, a model card, and a short program that
    runs it. Weights are trained ones where 'motemo train' has trained the model; else they are
    initial, and every name says so.

    [bold]Examples[/bold]

      motemo export runs/search --trial 12

      motemo export runs/search --trial 12 --trial 40 --program --out for-the-phone
    """
    from motemo.cli.opened_run import (
        check_finalists,
        measured_elsewhere,
        opened_run,
        searched_front,
        stored_command,
        trained_front,
    )
    from motemo.deployment.folder import deploy
    from motemo.finalist import read_finalists
    from motemo.storage import is_storage_url

    folder = opened_run(run, storage=storage, study_name=study_name)
    if is_storage_url(run) and out is None:
        raise SettingsError("Where to? A storage URL has no folder. Give --out FOLDER.")
    check_finalists(folder, name)
    front = searched_front(folder, space=run_space(space))
    chosen = trial or _picked(front, trained_front(folder, front, name=name))
    with progress_bar("exporting") as tell:
        results = deploy(
            front,
            chosen,
            out or folder.path / _FOLDER,
            data=_images(folder, data),
            program=program,
            finalists=() if is_storage_url(run) else read_finalists(folder.path, name=name),
            elsewhere=measured_elsewhere(folder, front),
            commands=stored_command(folder),
            on_progress=tell,
        )
    if as_json:
        write_json([_record(result) for result in results])
    _report(results)


def _picked(front: Front, trained: Front | None) -> list[int]:
    from motemo.choosing import select

    return [pick.member.trial for pick in select(trained or front)]


def _images(folder: RunFolder, source: str | None) -> ImageData | None:
    """Return the images of a search, or those that the user names; None if there are none here."""
    from motemo.cli.opened_run import stored_images
    from motemo.data.pipeline import load_data
    from motemo.errors import DataError, StorageError

    if source is not None:
        return load_data(source)
    try:
        return stored_images(folder)
    except (DataError, StorageError) as error:
        note(f"the images of the search are not at hand, so there are no int8 models: {error}")
        return None


def _report(results: Sequence[Deployed]) -> None:
    """Say what became of each; raise if nothing could be written."""
    for result in results:
        if result.folder is None:
            warn(f"trial {result.trial} was not exported: {result.failure}")
            continue
        weights = "trained" if result.trained else "UNTRAINED"
        known = result.trained and not isinstance(result.int8, str)
        int8 = _agreement(result.int8) if known else ""
        note(f"wrote {result.folder}: {weights} weights{int8}")
    if not any(result.folder for result in results):
        raise EvaluationError("No model could be exported; the reasons are above.")


def _agreement(int8: object) -> str:
    from motemo.rendering.wording import percent

    same, images = (int8["same_class"], int8["images"]) if isinstance(int8, dict) else (0, 0)
    return f"; int8 names the same class as float32 for {percent(float(same))} of {images} images"


def _record(result: Deployed) -> dict[str, object]:
    return {
        "trial": result.trial,
        "folder": None if result.folder is None else str(result.folder),
        "trained": result.trained,
        "int8": result.int8 if isinstance(result.int8, str) else dict(result.int8),
        "failure": result.failure,
    }
