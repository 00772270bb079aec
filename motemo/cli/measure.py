"""`motemo measure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from motemo.cli.console import note, out_console, write_json
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import (
    Classes,
    DataClasses,
    DataSource,
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
    create_device,
    create_objectives,
    create_space,
    deployment_shape,
    load_images,
)
from motemo.errors import EvaluationError, SettingsError
from motemo.registry import OBJECTIVES

if TYPE_CHECKING:
    from motemo.data.dataset import ImageData
    from motemo.objective import Objective, Outcome
    from motemo.space import Architecture

COUNTED_OBJECTIVES = ("params", "flops")
_NUMBERS = ("value", "low", "high")
_LONGEST_LIST = 12


def measure(
    *,
    space: SpaceName = "nasbench201",
    arch: Annotated[
        list[str] | None, typer.Option("--arch", help="Genotype; repeat it for more.")
    ] = None,
    arch_file: Annotated[
        Path | None, typer.Option("--arch-file", help="File with one genotype per line.")
    ] = None,
    objective: ObjectiveNames = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            help="Device to measure on; repeat it to compare. See 'motemo devices'.  "
            "\\[default: cpu]",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a list of records: arch, objective, device, value, unit, low, high.",
        ),
    ] = False,
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Add what explains the values: counts by operator, what a measurement saw. With "
            "--json also every sample.",
        ),
    ] = False,
    data: DataSource = "digits",
    seed: Seed = 0,
    threads: Threads = None,
    train_device: TrainDevice = "cpu",
    input_shape: InputShape = None,
    classes: Classes = None,
    data_classes: DataClasses = None,
    images_per_class: ImagesPerClass = None,
    image_size: ImageSize = None,
    option: Options = None,
    quiet: Quiet = False,
) -> None:
    r"""Evaluate given architectures, exactly as written, on one device or several.

    Without --objective it counts params and flops; with --device, it measures latency_ms too. Data
    are read only if an objective trains, or a device is calibrated on them; without, the deployed
    network has 10 classes.

    [bold]Examples[/bold]

      motemo measure --objective latency_ms --objective mote \
        --arch "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"

      motemo measure --arch-file cells.txt --device cpu --device torch --json > costs.json
    """
    found_space = create_space(space, option or ())
    architectures = [
        found_space.architecture(genotype).require_valid()
        for genotype in _genotypes(arch or [], arch_file)
    ]
    names = list(objective or (*COUNTED_OBJECTIVES, *(["latency_ms"] if device else [])))
    trains = any("data" in OBJECTIVES.parameters(name) for name in names)
    trains = trains or (_measures(names) and any(map(_is_calibrated, device or ())))
    images = load_images(data, data_classes, images_per_class, image_size, seed) if trains else None
    tasks = _tasks(
        names,
        device or ["cpu"],
        option or [],
        images,
        threads=threads,
        input_shape=input_shape,
        offered={
            "classes": classes if classes is not None else images.classes if images else 10,
            "seed": seed,
            "train_device": train_device,
        },
    )
    records, failures = _measure_all(architectures, tasks, details=details)
    if as_json:
        write_json(records)
    else:
        _show(records)
        if details:
            for record in records:
                _print_details(record)
    if failures:
        raise EvaluationError("\n".join(failures))


def _measures(names: Sequence[str]) -> bool:
    return any("device" in OBJECTIVES.parameters(name) for name in names)


def _is_calibrated(device: str) -> bool:
    """Return whether what a device measures depends on images."""
    return "calibration" in create_device(device, None).identity()


@dataclass(frozen=True)
class _Task:
    """An objective, and the device that it measures on, if it does."""

    objective: Objective
    device: str | None


def _tasks(
    names: Sequence[str],
    devices: Sequence[str],
    options: Sequence[str],
    images: ImageData | None,
    *,
    threads: int | None,
    input_shape: str | None,
    offered: Mapping[str, object],
) -> list[_Task]:
    """Return what is to be measured: objectives that have a device once on each, others once."""
    measured = [name for name in names if "device" in OBJECTIVES.parameters(name)]
    for name in devices:
        if devices.count(name) > 1:
            raise SettingsError(f"The device {name!r} is given more than once. Give it once.")
    shapes = {deployment_shape(input_shape, device) for device in devices}
    if len(shapes) > 1 and len(measured) < len(names):
        note(f"What is not measured is taken at the shape of {devices[0]}.")
    tasks: dict[tuple[str, str | None], _Task] = {}
    for device in devices:
        wanted = names if device == devices[0] else measured
        created = create_objectives(
            wanted,
            [text for text in options if text.split(".")[0] in wanted or device == devices[0]],
            data=images,
            device=create_device(device, threads, data=images) if measured else None,
            input_shape=deployment_shape(input_shape, device),
            **offered,
        )
        for name, objective in zip(wanted, created, strict=True):
            on = device if name in measured else None
            tasks[name, on] = _Task(objective, on)
    return [tasks[key] for name in names for key in tasks if key[0] == name]


def _measure_all(
    architectures: Sequence[Architecture], tasks: Sequence[_Task], *, details: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    from motemo.evaluation import undisturbed

    records, failures = [], []
    todo = [(a, task) for a in architectures for task in tasks]
    with progress_bar("measuring") as tell:
        for done, (architecture, task) in enumerate(todo, start=1):
            with undisturbed(task.objective):
                [outcome] = task.objective.evaluate([architecture])
            record, failure = _record(architecture, task, outcome, details=details)
            records.append(record)
            failures += [failure] if failure else []
            tell(done, len(todo))
    return records, failures


def _record(
    architecture: Architecture, task: _Task, outcome: Outcome, *, details: bool
) -> tuple[dict[str, Any], str | None]:
    """Return a line of the answer, and what went wrong."""
    from motemo.objective import Measurement

    name = task.objective.name
    record: dict[str, Any] = {
        "arch": architecture.genotype,
        "objective": name,
        "device": task.device,
        "value": None,
        "unit": task.objective.unit,
        "low": None,
        "high": None,
    }
    if not isinstance(outcome, Measurement):
        return record, f"{name} of {architecture.genotype} failed: {outcome.reason}"
    record |= {number: getattr(outcome, number) for number in _NUMBERS}
    if details:
        record["details"] = dict(outcome.record)
    return record, None


def _show(records: Sequence[dict[str, Any]]) -> None:
    """Print a row per figure for one architecture; a row per architecture for several."""
    genotypes = list(dict.fromkeys(record["arch"] for record in records))
    if len(genotypes) == 1:
        out_console.print(genotypes[0], markup=False, highlight=False, style="bold")
        out_console.print(_figures_table(records))
        return
    out_console.print(_architectures_table(records, genotypes))
    for number, genotype in enumerate(genotypes, start=1):
        out_console.print(f"{number:>5}  {genotype}", markup=False, highlight=False, soft_wrap=True)


def _figures_table(records: Sequence[dict[str, Any]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in ("objective", "device"):
        table.add_column(name, no_wrap=True)
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit")
    for record in records:
        texts = [escape(str(record[name] or "")) for name in ("objective", "device")]
        table.add_row(*texts, *(_number(record[n]) for n in _NUMBERS), record["unit"])
    return table


def _architectures_table(records: Sequence[dict[str, Any]], genotypes: Sequence[str]) -> Table:
    columns = list(dict.fromkeys((r["objective"], r["device"]) for r in records))
    cells = {(r["arch"], r["objective"], r["device"]): _cell(r) for r in records}
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("", justify="right")
    for objective, device in columns:
        head = escape(objective if device is None else f"{objective}\n{device}")
        table.add_column(head, justify="right", no_wrap=True)
    for number, genotype in enumerate(genotypes, start=1):
        table.add_row(str(number), *(cells[genotype, o, d] for o, d in columns))
    return table


def _cell(record: dict[str, Any]) -> str:
    """Return a value, with half of its spread if it has one."""
    value, low, high = (record[name] for name in _NUMBERS)
    if value is None or low == high:
        return _number(value)
    return f"{value:.4g} ± {(high - low) / 2:.2g}"


def _number(value: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"


def _print_details(record: dict[str, Any]) -> None:
    """Print what explains a value; long lists are only counted."""
    on = f" on {record['device']}" if record["device"] else ""
    rows = list(_flat(record.get("details", {})))
    if not rows:
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan")
    table.add_column()
    for name, text in rows:
        table.add_row(escape(name), escape(text))
    title = f"\n{record['objective']}{on} of {record['arch']}"
    out_console.print(title, markup=False, highlight=False, style="bold")
    out_console.print(table)


def _flat(details: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in details.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} ")
        elif isinstance(value, list) and len(value) > _LONGEST_LIST:
            rows.append((prefix + name, f"{len(value)} values (see --json)"))
        else:
            rows.append((prefix + name, _number(value) if _is_number(value) else str(value)))
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _genotypes(given: Sequence[str], file: Path | None) -> list[str]:
    genotypes = list(given)
    if file is not None:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"Cannot read the genotypes in {file}: {error}.") from error
        genotypes += [line.strip() for line in lines if line.strip()]
    if not genotypes:
        raise SettingsError("No architecture given. Give --arch GENOTYPE or --arch-file FILE.")
    return genotypes
