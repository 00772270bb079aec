"""`motemo select`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from motemo.cli.console import note, out_console, write_json
from motemo.cli.opened_run import check_finalists, opened_run, searched_front, trained_front
from motemo.cli.settings import FinalistsName, Quiet, Run, RunSpace, RunStorage, RunStudy, run_space
from motemo.constraint import Constraint
from motemo.errors import ConstraintError, SettingsError
from motemo.finalist import FOLDER

if TYPE_CHECKING:
    from motemo.choosing import Pick
    from motemo.front import Front


def select(
    *,
    run: Run,
    at_most: Annotated[
        list[str] | None,
        typer.Option("--max", help="Upper bound, as in 'latency_ms=5' or 'params=1.5M'. Repeat."),
    ] = None,
    at_least: Annotated[
        list[str] | None, typer.Option("--min", help="Lower bound, as in 'mote=30'. Repeat.")
    ] = None,
    prefer: Annotated[
        str | None,
        typer.Option(
            "--prefer",
            help="The objective of which the best is wanted.  "
            "\\[default with bounds alone: the first]",
        ),
    ] = None,
    knee: Annotated[
        bool, typer.Option("--knee", help="The knee: where a little more starts to cost much.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="What is closest to a wish: 'mote=30,latency_ms=2'."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="What suits weights best: 'mote=2,latency_ms=1'."),
    ] = None,
    spread: Annotated[
        int | None, typer.Option("--spread", help="So many members, spread over the front.")
    ] = None,
    estimates: Annotated[
        bool,
        typer.Option(
            "--estimates",
            help="Choose from the front of the search, even if finalists are trained.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of records: trial, arch, reason, ...")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    name: FinalistsName = FOLDER,
    quiet: Quiet = False,
    space: RunSpace = None,
    storage: RunStorage = None,
    study_name: RunStudy = None,
) -> None:
    r"""Choose members of a front, and say why: the best under a budget, the knee, a few of all.

    Without options: the knee, and the best of each objective. Where finalists are trained
    ('motemo train'), it chooses among these, by what they have learnt.

    [bold]Examples[/bold]

      motemo select runs/search --max latency_ms=5 --max params=1.5M

      motemo select runs/search --min mote=30 --prefer latency_ms

      motemo select runs/search --reference mote=30,latency_ms=2 --spread 5

      motemo select runs/search --knee --json | jq -r '.[] | "--trial \(.trial)"'
    """
    if as_csv and as_json:
        raise SettingsError("Standard output holds one document: give --csv or --json, not both.")
    from motemo.choosing import select as choose

    bounds = [*_bounds(at_most, "--max", "<="), *_bounds(at_least, "--min", ">=")]
    wish = None if reference is None else _numbers(reference, "--reference")
    weighed = None if weights is None else _numbers(weights, "--weights")
    folder = opened_run(run, storage=storage, study_name=study_name)
    check_finalists(folder, name)
    searched = searched_front(folder, space=run_space(space))
    trained = None if estimates else trained_front(folder, searched, name=name)
    if trained is not None:
        among = f"{len(trained.evaluated)} trained finalist{'s'[: len(trained.evaluated) != 1]}"
        note(f"chosen among {among}; with --estimates, from the whole search")
    front = trained or searched
    picks = choose(
        front,
        constraints=bounds,
        prefer=prefer,
        knee=knee,
        reference=wish,
        weights=weighed,
        spread=spread,
    )
    if as_json:
        write_json(_records(picks))
    elif as_csv:
        _write_csv(picks, front)
    else:
        _show(picks, front)


def _bounds(given: Sequence[str] | None, option: str, operator: str) -> list[str]:
    """Return bounds as constraints: `latency_ms=5` as `latency_ms<=5`."""
    return [_bound(text, option, operator) for text in given or ()]


def _bound(text: str, option: str, operator: str) -> str:
    name, _, number = text.partition("=")
    bound = f"{name}{operator}{number}"
    try:
        Constraint.parse(bound)
    except ConstraintError as error:
        raise ConstraintError(
            f"Malformed {option} {text!r}. Write NAME=NUMBER, as in 'latency_ms=5' or "
            "'params=1.5M'."
        ) from error
    return bound


def _numbers(text: str, option: str) -> dict[str, float]:
    """Read `NAME=NUMBER,NAME=NUMBER`; a number may end in k, M or G."""
    numbers: dict[str, float] = {}
    for bound in _bounds(text.split(","), option, "<="):
        pair = Constraint.parse(bound)
        if pair.objective in numbers:
            raise SettingsError(f"{option} names {pair.objective!r} more than once. Name it once.")
        numbers[pair.objective] = pair.bound
    return numbers


def _records(picks: Sequence[Pick]) -> list[dict[str, Any]]:
    return [
        {
            "trial": pick.member.trial,
            "arch": pick.member.architecture.genotype,
            "reason": pick.reason,
            "measurements": {
                name: {"value": m.value, "unit": m.unit, "low": m.low, "high": m.high}
                for name, m in pick.member.measurements.items()
            },
        }
        for pick in picks
    ]


def _write_csv(picks: Sequence[Pick], front: Front) -> None:
    names = [axis.name for axis in front.axes]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["trial", "arch", *names, "reason"])
    for pick in picks:
        member = pick.member
        values = [f"{member.measurements[name].value:.17g}" for name in names]
        writer.writerow([member.trial, member.architecture.genotype, *values, pick.reason])


def _show(picks: Sequence[Pick], front: Front) -> None:
    """Print values as a table, then a line per pick: why, and which architecture."""
    from motemo.rendering.quantities import label, scales

    by_name = scales(front)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("trial", justify="right", no_wrap=True)
    for axis in front.axes:
        table.add_column(Text(label(axis, by_name[axis.name])), justify="right", overflow="fold")
    for pick in picks:
        measured = pick.member.measurements
        cells = [Text(by_name[axis.name].text(measured[axis.name])) for axis in front.axes]
        table.add_row(str(pick.member.trial), *cells)
    out_console.print(table)
    for pick in picks:
        line = Text(f"trial {pick.member.trial}  ", style="bold").append(
            pick.reason, style="not bold"
        )
        out_console.print(line)
        out_console.print(Text(pick.member.architecture.genotype, style="dim"), soft_wrap=True)
