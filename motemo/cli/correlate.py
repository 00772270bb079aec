"""`motemo correlate`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from motemo.cli.console import note, out_console, show_preparations, write_json
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import (
    AsJson,
    Classes,
    DataClasses,
    DeviceName,
    ImageSize,
    ImagesPerClass,
    InputShape,
    Quiet,
    SpaceName,
    Tables,
    Threads,
    TrainDevice,
    create_device,
    create_space,
    deployment_shape,
    load_images,
    set_options,
)
from motemo.cli.signals import hint_when_interrupted
from motemo.errors import SettingsError
from motemo.registry import OBJECTIVES

if TYPE_CHECKING:
    from motemo.correlation.report import Correlation, Correlations, Difference
    from motemo.correlation.sample import Cells, Sample
    from motemo.data.dataset import ImageData
    from motemo.objective import Objective

DEFAULT_OUT = Path("runs/correlate")
_BASELINES = ("params", "flops")


@dataclass(frozen=True)
class ImageChoice:
    """Which images the estimates get.

    Attributes:
        source: Name or path, or None for none.
        classes: How many classes, or None for all.
        images_per_class: How many images of each, or None for all.
        size: Their size as given, or None.
        seed: Seed of the choice.
    """

    source: str | None
    classes: int | None
    images_per_class: int | None
    size: str | None
    seed: int

    def load(self, source: str) -> ImageData:
        """Return the images."""
        return load_images(source, self.classes, self.images_per_class, self.size, self.seed)


def correlate(
    *,
    space: SpaceName = "nasbench201",
    table: Tables = None,
    truth: Annotated[
        list[str] | None,
        typer.Option("--truth", help="Column of true accuracies, higher is better. Repeat it."),
    ] = None,
    estimate: Annotated[
        list[str] | None,
        typer.Option(
            "--estimate",
            help="An objective (see 'motemo list'), column:NAME of the table, or rank(A,B), the "
            "mean rank of other estimates; LABEL=NAME gives it a name of its own. Repeat it.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "--option",
            help="Set a field of an estimate, as in --set mote.recipe.epochs=8. Repeat it.",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            help="An estimate that the others are compared with, cell by cell. Repeat it.",
        ),
    ] = None,
    labels: Annotated[
        list[int] | None,
        typer.Option(
            "--labels",
            help="Learn from the true accuracies of so many cells, with all estimates but "
            "columns of the table among the features, and rank the others: adds predictor(N). "
            "Repeat it.",
        ),
    ] = None,
    cells: Annotated[
        str, typer.Option("--cells", help="Cells drawn at random from the table, or 'all'.")
    ] = "200",
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the sample, the estimates and the bootstrap.")
    ] = 0,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Images for the estimates: digits, cifar10, cifar100, an .npz file (x_train, "
            "y_train), or a folder with one sub-folder per class.",
        ),
    ] = None,
    data_classes: DataClasses = None,
    images_per_class: ImagesPerClass = None,
    image_size: ImageSize = None,
    device: DeviceName = "cpu",
    threads: Threads = None,
    train_device: TrainDevice = "cpu",
    input_shape: InputShape = None,
    classes: Classes = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            help="Cells at a time, each on one thread.  \\[default: one per core; 1 on a GPU]",
            min=1,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Cells that a batched estimate gets at once.")
    ] = 64,
    records: Annotated[
        bool, typer.Option("--records", help="Keep what explains each score, such as traces.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Score again what failed in an earlier run.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for all results.")] = DEFAULT_OUT,
) -> None:
    r"""Correlate estimates with the true accuracies of a table.

    Kendall's tau-b with a bootstrap interval, Spearman's rho, tau inside FLOPs deciles and in the
    true top tenth, and seconds per cell; parameters and FLOPs always beside. Scores are kept: run
    it again to continue, or with more cells, estimates or truths. See docs/correlate.md.

    [bold]Examples[/bold]

      motemo correlate --table cells.csv.gz --truth cifar10_test_acc_200 \
        --estimate mote --estimate synflow --data rd.npz --cells 200

      motemo correlate --table cells.csv.gz --truth cifar10_test_acc_200 \
        --estimate mote --estimate long=mote --set long.recipe.epochs=8 \
        --estimate column:published_mote \
        --estimate 'both=rank(mote,column:published_mote)' \
        --against column:published_mote --data rd.npz
    """
    if not table or not truth:
        raise SettingsError(
            "A correlation needs --table FILE and --truth COLUMN: published cells and their true "
            "accuracies."
        )
    from motemo.correlation.run import correlate as run

    show_preparations()
    estimates = _estimates(
        estimate or [],
        option or [],
        ImageChoice(data, data_classes, images_per_class, image_size, seed),
        {
            "input_shape": deployment_shape(input_shape, device),
            "train_device": train_device,
            "classes": classes,
            "seed": seed,
        },
        device=(device, threads),
    )
    with hint_when_interrupted(), progress_bar("scoring", resumes=True) as on_progress:
        found = run(
            create_space(space, option or ()),
            table,
            truths=truth,
            estimates=estimates,
            out=out,
            cells=_cells(cells),
            against=against or [],
            labels=labels or [],
            seed=seed,
            processes=processes,
            batch_size=batch_size,
            records=records,
            retry_failed=retry_failed,
            on_start=_say_sample,
            on_progress=on_progress,
        )
    _show(found, out, as_json=as_json)


def _cells(text: str) -> Cells:
    if text == "all":
        return "all"
    if not (text.isascii() and text.isdigit()):
        raise SettingsError(f"Malformed number of cells {text!r}. Give a number or 'all'.")
    return int(text)


def _estimates(
    texts: Sequence[str],
    options: Sequence[str],
    images: ImageChoice,
    offered: Mapping[str, object],
    *,
    device: tuple[str, int | None],
) -> dict[str, Objective | str]:
    """Create the estimates by label, the baselines last."""
    from motemo.correlation.estimates import is_derived, split_label

    names: dict[str, str] = {}
    for text in texts:
        label, name = split_label(text)
        if label in names:
            raise SettingsError(
                f"The estimate {label!r} is given more than once. Give each a label of its own, "
                f"as in 'other={name}'."
            )
        names[label] = name
    names |= {name: name for name in _BASELINES if name not in names}
    asked = {label: name for label, name in names.items() if not is_derived(name)}
    parameters = {name: OBJECTIVES.parameters(name) for name in asked.values()}
    offered = dict(offered)
    loaded = None if images.source is None else images.load(images.source)
    if loaded is not None:
        offered |= {"data": loaded, "classes": offered["classes"] or loaded.classes}
    if any("device" in of_one for of_one in parameters.values()):
        offered["device"] = create_device(*device, data=loaded)
    for label, name in asked.items():
        if "data" in parameters[name] and images.source is None:
            raise SettingsError(
                f"The estimate {label!r} needs images. Give --data: an .npz file, a folder, "
                "cifar10, cifar100 or digits."
            )
    created = {label: OBJECTIVES.create(name, offered=offered) for label, name in asked.items()}
    set_options(created, options)
    return {label: created.get(label, name) for label, name in names.items()}


def _say_sample(sample: Sample) -> None:
    note(f"{len(sample):,} cells, {len(sample.networks):,} different networks")


def _show(found: Correlations, out: Path, *, as_json: bool) -> None:
    if as_json:
        from motemo.correlation.report import as_json as plain

        write_json([plain(row) for row in (*found.rows, *found.learned)])
    else:
        for truth in found.truths:
            ranked = [row for row in (*found.rows, *found.learned) if row.truth == truth]
            out_console.print(_table(ranked, truth))
        out_console.print(Text(_notes(found)))
        for place in dict.fromkeys((row.truth, row.against) for row in found.differences):
            rows = [row for row in found.differences if (row.truth, row.against) == place]
            out_console.print(_differences(rows, f"{place[0]}, against {place[1]}"))
    note(f"wrote {out}: correlate.csv, differences.csv, costs.csv, scores.csv, correlate.png")


def _new_table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_style="bold",
        title_justify="left",
    )
    table.add_column("estimate", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _table(rows: Sequence[Correlation], truth: str) -> Table:
    names = ("n", "tau", "95 % interval", "rho", "in FLOPs\ndeciles", "top\ntenth", "s/cell")
    table = _new_table(truth, *names)
    for row in rows:
        table.add_row(
            Text(row.estimate),
            str(row.n),
            _number(row.tau),
            _interval(row.tau_low, row.tau_high),
            _number(row.rho),
            _number(row.tau_in_flops_deciles),
            _number(row.tau_top_tenth),
            "" if math.isnan(row.seconds_per_cell) else f"{row.seconds_per_cell:.3g}",
        )
    return table


def _notes(found: Correlations) -> str:
    lines = [
        f"{len(found.sample):,} cells. Intervals: percentile bootstrap over networks, "
        f"{found.resamples:,} resamples. Seconds: wall clock in one process, a shared training "
        "counted in full for each."
    ]
    if found.learned:
        lines.append(
            "predictor(N): mean over random draws of N labels, on the networks that have none; "
            "interval of that mean over draws."
        )
    lines += [
        f"{cost.estimate}: {cost.scored} of {cost.networks} networks scored. First failure: "
        f"{cost.failure}"
        for cost in found.costs
        if cost.scored < cost.networks
    ]
    return "\n".join(lines)


def _differences(rows: Sequence[Difference], title: str) -> Table:
    table = _new_table(title, "n", "tau is\nhigher by", "paired\n95 % interval")
    for row in rows:
        table.add_row(
            Text(row.estimate),
            str(row.n),
            _number(row.difference, sign="+"),
            _interval(row.low, row.high, sign="+"),
        )
    return table


def _number(value: float, *, sign: str = "") -> str:
    return "" if math.isnan(value) else f"{value:{sign}.3f}"


def _interval(low: float, high: float, *, sign: str = "") -> str:
    return "" if math.isnan(low) else f"[{low:{sign}.3f}, {high:{sign}.3f}]"
