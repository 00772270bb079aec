"""`motemo measure`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from motemo.cli.console import err_console, out_console
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
from motemo.errors import EvaluationError, SettingsError
from motemo.registry import OBJECTIVES, SPACES

if TYPE_CHECKING:
    from motemo.objective import Objective
    from motemo.space import Architecture, Space

COUNTED_OBJECTIVES = ("params", "flops")


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
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a list of records: arch, objective, value, unit, low, high."
        ),
    ] = False,
    data: DataSource = "digits",
    seed: Seed = 0,
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
    """Evaluate given architectures, exactly as written.

    Without --objective it counts params and flops. Data is read only if an objective trains;
    without it, the deployed network has 10 classes.

    [bold]Example[/bold]

      motemo measure --objective latency_ms --objective mote
      --arch "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"
    """
    found_space: Space = SPACES.create(space)
    architectures = [
        found_space.architecture(genotype).require_valid()
        for genotype in _genotypes(arch or [], arch_file)
    ]
    names = objective or COUNTED_OBJECTIVES
    trains = any("data" in OBJECTIVES.parameters(name) for name in names)
    images = load_images(data, data_classes, images_per_class, image_size, seed) if trains else None
    objectives = create_objectives(
        names,
        option or [],
        data=images,
        device=create_device(device, threads),
        input_shape=parse_shape(input_shape),
        classes=classes if classes is not None else images.classes if images else 10,
        seed=seed,
        train_device=train_device,
    )
    records, failures = _measure_all(architectures, objectives)
    if as_json:
        sys.stdout.write(json.dumps(records, indent=2, allow_nan=False) + "\n")
    else:
        out_console.print(_records_table(records))
    if failures:
        raise EvaluationError("\n".join(failures))


def _measure_all(
    architectures: Sequence[Architecture], objectives: Sequence[Objective]
) -> tuple[list[dict[str, Any]], list[str]]:
    from rich.progress import track

    from motemo.objective import Failure, Skipped

    records, failures = [], []
    todo = [(a, o) for a in architectures for o in objectives]
    for architecture, each in track(
        todo, "measuring", console=err_console, transient=True, disable=not err_console.is_terminal
    ):
        [outcome] = each.evaluate([architecture])
        record: dict[str, Any] = {"arch": architecture.genotype, "objective": each.name}
        if isinstance(outcome, Failure | Skipped):
            failures.append(f"{each.name} of {architecture.genotype} failed: {outcome.reason}")
            records.append(record | {"value": None, "unit": each.unit, "low": None, "high": None})
        else:
            values = {name: getattr(outcome, name) for name in ("value", "unit", "low", "high")}
            records.append(record | values)
    return records, failures


def _records_table(records: Sequence[dict[str, Any]]) -> Table:
    table = Table(title_justify="left", header_style="bold")
    for name in ("architecture", "objective"):
        table.add_column(name, overflow="fold")
    for name in ("value", "low", "high"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit")
    for record in records:
        numbers = [
            "failed"
            if record[k] is None
            else f"{record[k]:,.6g}"
            if isinstance(record[k], float)
            else f"{record[k]:,}"
            for k in ("value", "low", "high")
        ]
        texts = [escape(str(record[k])) for k in ("arch", "objective")]
        table.add_row(*texts, *numbers, record["unit"])
    return table


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
