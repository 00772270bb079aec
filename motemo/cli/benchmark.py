"""`motemo benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from motemo.cli.console import note, out_console, write_json
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import AsJson, Quiet, SpaceName, Tables, create_space
from motemo.cli.signals import hint_when_interrupted
from motemo.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from motemo.benchmark.folder import BenchmarkFolder
    from motemo.benchmark.mote_nas import Row as ReplayRow
    from motemo.benchmark.problem import Problem
    from motemo.benchmark.report import Report
    from motemo.benchmark.run import Run
    from motemo.benchmark.statistics import Mean

DEFAULT_OUT = Path("runs/benchmark")


def benchmark(
    *,
    space: SpaceName = "nasbench201",
    table: Tables = None,
    estimate: Annotated[
        str | None, typer.Option("--estimate", help="Column that the search maximises.")
    ] = None,
    truth: Annotated[
        str | None, typer.Option("--truth", help="Column that judges, higher is better.")
    ] = None,
    cost: Annotated[
        list[str] | None, typer.Option("--cost", help="Column that is minimised. Repeat.")
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option("--sampler", help="Repeat it; the first is compared with each other one."),
    ] = None,
    evaluations: Annotated[
        int, typer.Option("--evaluations", help="Paid evaluations of each run, in all.")
    ] = 200,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each sampler: seeds 0, 1, ...")] = (
        10
    ),
    reference: Annotated[
        float | None,
        typer.Option("--reference", help="Bound of the truth; costs have their worst value."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option("--every", help="Evaluations between checkpoints.  \\[default: a tenth]"),
    ] = None,
    rescore: Annotated[
        str | None,
        typer.Option("--rescore", help="Column that re-scores the best, in the estimate's place."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", help="How many are re-scored; they count as evaluations.")
    ] = 0,
    only_rescored: Annotated[
        bool,
        typer.Option(
            "--only-rescored",
            help="Hand over only what was re-scored: the K best. Else the others stay, and K "
            "challengers from behind the front are re-scored.",
        ),
    ] = False,
    doubt: Annotated[
        float,
        typer.Option(
            "--doubt",
            help="How much better a predicted value must be to count, in standard deviations: with "
            "more doubt, more is handed over.",
        ),
    ] = 0.25,
    rescore_seconds: Annotated[
        str | None, typer.Option("--rescore-seconds", help="Column: what re-scoring one costs.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Candidates that are asked for together.")
    ] = 4,
    population: Annotated[
        int | None, typer.Option("--population", help="Population of samplers that have one.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", help="Runs at a time.  \\[default: one per core]", min=1),
    ] = None,
    replay_mote_nas: Annotated[
        bool,
        typer.Option(
            "--replay-mote-nas",
            help="Replay MOTE-NAS beside its paper instead; needs --table only.",
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for all results.")] = DEFAULT_OUT,
) -> None:
    r"""Compare samplers offline, on tables of published records.

    Each run is a real search whose objectives look their values up. It is judged by the true
    hypervolume of what it would hand over, relative to the true front. Run it again with the same
    settings to continue, or to add samplers and seeds. See docs/benchmark.md.

    [bold]Examples[/bold]

      motemo benchmark --table cells.csv.gz --seeds 100 --replay-mote-nas

      motemo benchmark --table cells.csv.gz --table latency.csv.gz \
        --estimate published_mote --truth cifar100_test_acc_200 --reference 55 \
        --cost gold_6240 --sampler motemo --sampler random
    """
    from motemo.benchmark.folder import BenchmarkFolder
    from motemo.benchmark.plan import Plan, check_seeds
    from motemo.benchmark.problem import Problem
    from motemo.benchmark.runner import check_samplers

    given_seeds = check_seeds(seeds)
    if replay_mote_nas:
        _replay(space, table or [], given_seeds, out, as_json=as_json)
        return
    if estimate is None or truth is None or not cost or reference is None:
        raise SettingsError(
            "A comparison needs --estimate COLUMN, --truth COLUMN, --cost COLUMN and --reference "
            "NUMBER, the bound of the truth."
        )
    samplers = check_samplers(sampler or [])
    plan = Plan(
        space=space,
        tables=tuple(table or ()),
        estimate=estimate,
        truth=truth,
        costs=tuple(cost),
        reference=reference,
        evaluations=evaluations,
        every=every,
        batch_size=batch_size,
        population=population,
        rescore=rescore,
        top=top,
        only_rescored=only_rescored,
        doubt=doubt,
        rescore_seconds=rescore_seconds,
    )
    problem = Problem.load(plan)
    folder = BenchmarkFolder(out, plan.settings())
    folder.check()
    with folder.claimed():
        runs = _run(problem, samplers, list(given_seeds), folder, processes)
        _report(problem, runs, folder, as_json=as_json)


def _run(
    problem: Problem,
    samplers: list[str],
    seeds: list[int],
    folder: BenchmarkFolder,
    processes: int | None,
) -> list[Run]:
    from motemo.benchmark.runner import run_all

    note(
        f"{problem.rows:,} rows, {len(problem.table):,} networks with all "
        f"{len(problem.plan.columns)} columns"
    )
    with hint_when_interrupted(), progress_bar("searching", resumes=True) as on_progress:
        return run_all(
            problem.plan,
            samplers,
            seeds,
            folder=folder,
            processes=processes,
            on_progress=on_progress,
        )


def _report(problem: Problem, runs: list[Run], folder: BenchmarkFolder, *, as_json: bool) -> None:
    from motemo.benchmark.report import (
        benchmark_csv,
        curves,
        fronts_jsonl,
        report,
        summary,
        summary_csv,
    )
    from motemo.rendering.curves import curves_png

    found = report(problem, runs)
    if as_json:
        write_json(summary(found))
    else:
        out_console.print(_table(found, problem.plan.truth))
    plan = problem.plan
    levels = {f"exhaustive {column}": share for column, share in found.exhaustive.items()}
    picture = curves_png(
        curves(problem, runs),
        levels=levels,
        title=f"{plan.estimate} against {', '.join(plan.costs)}, judged by {plan.truth}; mean and "
        "95 % interval",
        y_label="true hypervolume, relative to the true front",
    )
    for path in (
        folder.write("benchmark.csv", benchmark_csv(runs)),
        folder.write("fronts.jsonl", fronts_jsonl(runs)),
        folder.write("summary.csv", summary_csv(found)),
        folder.write("benchmark.png", picture),
    ):
        note(f"wrote {path}")


def _replay(
    space: str, tables: list[Path], seeds: Sequence[int], out: Path, *, as_json: bool
) -> None:
    from motemo.benchmark.mote_nas import read_cells, replay, replay_csv
    from motemo.files import write_atomically

    if out.exists() and not out.is_dir():
        raise OutputError(f"The output folder {out} is a file. Choose a folder.")
    cells = read_cells(tables, create_space(space))
    rows = list(replay(cells, seeds))
    if as_json:
        write_json([asdict(row) for row in rows])
    else:
        out_console.print(_replay_table(rows, len(cells)))
    write_atomically(out / "mote_nas.csv", replay_csv(rows))
    note(f"wrote {out / 'mote_nas.csv'}")


def _replay_table(rows: Sequence[ReplayRow], cells: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_style="")
    for name in ("form", "data set"):
        table.add_column(name, no_wrap=True)
    for name in ("accuracy %\nmean (sd)", "cost\nV100 s", "paper\n%", "paper\nV100 s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("selected on", no_wrap=True)
    for row in rows:
        accuracy, kiloseconds = row.paper or (None, None)
        table.add_row(
            row.form.name,
            row.data.name,
            f"{row.accuracy.value:.2f} ({row.accuracy.sd:.1f})",
            f"{row.seconds.value / 1000:.1f}K",
            "" if accuracy is None else f"{accuracy:.2f}",
            "" if kiloseconds is None else f"{kiloseconds:.1f}K",
            row.selected_on,
        )
    table.caption = Text(
        f"{rows[0].accuracy.n} seeds on {cells:,} written cells; the paper had all 15,625. "
        "Accuracy: test, 200 epochs. Cost: published seconds of scoring, and of 12 epochs for the "
        "k best. Selecting on test accuracy flatters."
    )
    table.caption_justify = "left"
    return table


def _table(found: Report, truth: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, caption_style="")
    table.add_column("paid", justify="right", no_wrap=True)
    table.add_column("sampler", overflow="fold")
    table.add_column("true volume\nmean (sd)", no_wrap=True)
    table.add_column("first leads by\n95 % interval", no_wrap=True)
    table.add_column("dupl.", justify="right", no_wrap=True)
    for row in found.rows:
        mean, lead = row.hypervolume, row.lead
        table.add_row(
            str(row.evaluations),
            row.sampler,
            f"{mean.value:.4f}" + (f" ({mean.sd:.3f})" if mean.n > 1 else ""),
            "" if lead is None else _lead(lead),
            f"{row.duplicates:.0f}",
        )
    for column, share in found.exhaustive.items():
        table.add_row("all", f"exhaustive {column}", f"{share:.4f}")
    table.caption = Text(_caption(found, truth))
    table.caption_justify = "left"
    return table


def _lead(lead: Mean) -> str:
    interval = f" [{lead.low:+.4f}, {lead.high:+.4f}]" if lead.n > 1 else ""
    return f"{lead.value:+.4f}{interval}"


def _caption(found: Report, truth: str) -> str:
    last = found.rows[-1]
    seeds, twice = last.hypervolume.n, sum(row.paid_duplicates for row in found.rows)
    lines = [
        f"{seeds} seeds, paired by seed; intervals by Student's t. True volume: hypervolume under "
        f"{truth} of what is handed over, relative to the true front. Paid twice: {twice}."
    ]
    lines += [
        f"{row.sampler}: {row.short} runs ended before {row.evaluations} evaluations."
        for row in found.rows
        if row.short
    ]
    lines += [
        f"{row.sampler}: re-scoring cost {row.rescore_seconds:,.0f} s a run."
        for row in found.rows
        if row.rescore_seconds is not None
    ]
    return "\n".join(lines)
