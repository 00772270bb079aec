"""`motemo front`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import note, show
from motemo.cli.export import write_onnx
from motemo.cli.opened_run import opened_run, searched_front
from motemo.cli.settings import Quiet, Run, RunSpace, RunStorage, RunStudy, run_space
from motemo.errors import SettingsError

if TYPE_CHECKING:
    from motemo.front import Front
    from motemo.run_folder import RunFolder


def front(
    *,
    run: Run,
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", help="Narrow the front, as in 'latency_ms<=2'. Repeat."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="Measure the members of the front on this device, and redraw it; see 'motemo "
            "devices'. What is measured is kept with the run.",
        ),
    ] = None,
    replaces: Annotated[
        str | None,
        typer.Option(
            "--replaces",
            help="With --device: the cost in whose place the latency comes.  "
            "\\[default: the front's latency, or else flops, or params]",
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV; write front.csv.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; write front.json.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write front.html.")] = False,
    png: Annotated[bool, typer.Option("--png", help="Write front.png.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX models.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where to write; needed with --constraint, --device or a storage URL.  "
            "\\[default: the run's folder]",
        ),
    ] = None,
    space: RunSpace = None,
    storage: RunStorage = None,
    study_name: RunStudy = None,
    quiet: Quiet = False,
) -> None:
    """Show the front of a run again, from its study alone.

    It is printed as a table; files are written if they are asked for.

    [bold]Examples[/bold]

      motemo front runs/search

      motemo front runs/search --constraint "latency_ms<=2" --csv > small.csv

      motemo front runs/mine --space my_space.py:SPACE --html

      motemo front runs/search --device pi --out runs/on-the-pi --csv

      motemo front postgresql+psycopg://me@host/db --study-name motemo --html --out report
    """
    from motemo.cli.measured_front import measured_front
    from motemo.constraint import Constraint
    from motemo.hardware.profiles import profile
    from motemo.storage import is_storage_url

    folder = opened_run(run, storage=storage, study_name=study_name)
    answer = searched_front(folder, space=run_space(space))
    if replaces is not None and device is None:
        raise SettingsError("--replaces goes with --device: give both, or neither.")
    other = constraint or device or is_storage_url(run)
    target: RunFolder | None = None if other else folder
    if out is not None:
        target = replace(folder, path=out)
        target.check_free_for(folder)
    _check_output(target, csv=csv, as_json=as_json, files=html or png or onnx)
    names = {axis.name for axis in answer.axes}
    bounds = {text: Constraint.parse(text) for text in constraint or ()}
    first = [text for text, bound in bounds.items() if device is None or bound.objective in names]
    answer = answer.within(*first) if first else answer
    if device is not None:
        shape = profile(device).input_shape
        answer = measured_front(answer, device, folder, replaces=replaces, input_shape=shape)
        later = [text for text in bounds if text not in first]
        answer = answer.within(*later) if later else answer
    _emit(answer, target, csv, as_json, html, png, onnx)


def _check_output(target: RunFolder | None, *, csv: bool, as_json: bool, files: bool) -> None:
    if csv and as_json:
        raise SettingsError("Standard output holds one document: give --csv or --json, not both.")
    if target is None and files:
        raise SettingsError(
            "Where to? A narrowed or redrawn front does not replace the run's own files, and a "
            "storage URL has no folder. Give --out FOLDER."
        )


def _emit(
    answer: Front,
    target: RunFolder | None,
    csv: bool,
    as_json: bool,
    html: bool,
    png: bool,
    onnx: bool,
) -> None:
    from motemo.rendering.files import to_csv, to_json

    for wanted, text in ((csv, to_csv), (as_json, to_json)):
        if wanted:
            sys.stdout.write(text(answer).rstrip("\n") + "\n")
    if not (csv or as_json):
        show(answer)
    if target is None:
        return
    writers: Sequence[tuple[bool, Callable[[Front], Path]]] = (
        (csv, target.write_csv),
        (as_json, target.write_json),
        (html, target.write_html),
        (png, target.write_png),
    )
    for wanted, write in writers:
        if wanted:
            note(f"wrote {write(answer)}")
    if onnx:
        write_onnx(target, answer)
