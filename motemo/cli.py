"""The command line. Imports late, so that `--help` and `list` answer at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from motemo.errors import EvaluationError, MotemoError, SettingsError, UsageError
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES

if TYPE_CHECKING:
    from motemo.data.dataset import ImageData
    from motemo.device import Device
    from motemo.front import Front
    from motemo.objective import Objective
    from motemo.run_folder import RunFolder
    from motemo.space import Shape, Space

EXIT_FAILED, EXIT_USAGE = 1, 2
DEFAULT_OUT = Path("runs/search")
DEFAULT_OBJECTIVES = ("mote", "params", "flops", "latency_ms")
COUNTED_OBJECTIVES = ("params", "flops")

app = typer.Typer(
    name="motemo",
    help="Find neural architectures that are accurate and cheap on your device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
_out = Console(emoji=False)
_err = Console(stderr=True, emoji=False)

SpaceName = Annotated[str, typer.Option("--space", help="Search space; see 'motemo list'.")]
ObjectiveNames = Annotated[
    list[str] | None,
    typer.Option("--objective", help="What to evaluate; repeat it. See 'motemo list'."),
]
DataSource = Annotated[
    str,
    typer.Option(
        "--data",
        help="Images to train on: digits, cifar10, cifar100, an .npz file (x_train, y_train), "
        "or a folder with one sub-folder per class.",
    ),
]
DataClasses = Annotated[
    int | None,
    typer.Option("--data-classes", help="Reduce the data to so many random classes."),
]
ImagesPerClass = Annotated[
    int | None,
    typer.Option("--images-per-class", help="Reduce the data to so many images of each class."),
]
ImageSize = Annotated[
    str | None, typer.Option("--image-size", help="Resize the training images: 32 or 32x24.")
]
DeviceName = Annotated[
    str, typer.Option("--device", help="Device whose cost counts; see 'motemo list'.")
]
Threads = Annotated[int, typer.Option("--threads", help="Threads of one inference on the device.")]
TrainDevice = Annotated[
    str, typer.Option("--train-device", help="torch device that trains: cpu, cuda, cuda:1.")
]
InputShape = Annotated[
    str, typer.Option("--input-shape", help="Deployment shape, CxHxW, that costs are taken at.")
]
Classes = Annotated[
    int | None,
    typer.Option("--classes", help="Classes of the deployed network.  [default: the data's]"),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set a field of an objective, as in --set mote.recipe.epochs=8. Repeat it.",
    ),
]


@app.command()
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
        typer.Option("--trials", help="Completed evaluations in all; a batch is finished."),
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
    images = _load_data(data, data_classes, images_per_class, image_size, seed)
    objectives = _create_objectives(
        names,
        option or [],
        data=images,
        device=_create_device(device, threads),
        input_shape=_parse_shape(input_shape),
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
    _show(front)
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
        display = LiveProgress(_err)

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
        _err.print("Interrupted. Run the same command again to continue.")
        raise


def _write_all(folder: RunFolder, front: Front) -> None:
    paths = [
        folder.write_csv(front),
        folder.write_json(front),
        folder.write_html(front),
        folder.write_png(front),
    ]
    for path in paths:
        _note(f"wrote {path}")
    _write_onnx(folder, front)


def _note(text: str) -> None:
    _err.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)


def _write_onnx(folder: RunFolder, front: Front) -> None:
    results = folder.write_onnx(front)
    written = [result.path for result in results if result.path is not None]
    if written:
        _note(
            f"wrote {written[0].parent}: {len(written)} ONNX models, untrained weights, each equal "
            "to its torch network"
        )
    for result in results:
        if result.failure is not None:
            _err.print(
                f"[yellow]no ONNX model of trial {result.member.trial}: {escape(result.failure)}"
            )


def _show(front: Front) -> None:
    from motemo.rendering.table import print_front

    print_front(front, _out)


@app.command()
def front(
    *,
    run: Annotated[str, typer.Argument(help="Folder of a run, or an Optuna storage URL.")],
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", help="Narrow the front, as in 'latency_ms<=2'. Repeat."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV; write front.csv.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; write front.json.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write front.html.")] = False,
    png: Annotated[bool, typer.Option("--png", help="Write front.png.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX models.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write.  [default: the run's folder]")
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="Storage URL, if the run's has a password.")
    ] = None,
    study_name: Annotated[
        str | None, typer.Option("--study-name", help="Study in the storage.")
    ] = None,
) -> None:
    """Show the front of a run again, from its study alone.

    [bold]Examples[/bold]

      motemo front runs/search

      motemo front runs/search --constraint "latency_ms<=2" --csv > small.csv

      motemo front postgresql+psycopg://me@host/db --study-name motemo --html --out report
    """
    import optuna

    from motemo.records import read_front
    from motemo.storage import explained, load_study

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = _source(run, storage=storage, study_name=study_name)
    with explained():
        answer = read_front(load_study(folder.storage_url, folder.study_name))
    if constraint:
        answer = answer.within(*constraint)
    target: RunFolder | None = None if constraint or "://" in run else folder
    if out is not None:
        target = replace(folder, path=out)
        target.check_free_for(folder)
    _emit(answer, target, csv, as_json, html, png, onnx)


def _source(run: str, *, storage: str | None, study_name: str | None) -> RunFolder:
    """Return the folder and study that the user means by a folder or a storage URL."""
    from motemo.run_folder import RunFolder

    if "://" in run:
        return RunFolder(Path(), run, study_name or "motemo")
    opened = RunFolder.open(Path(run), storage=storage)
    return replace(opened, study_name=study_name) if study_name else opened


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

    if target is None and (html or png or onnx):
        raise SettingsError(
            "Where to? A narrowed front does not replace the run's own files, and a storage URL "
            "has no folder. Give --out FOLDER."
        )
    for wanted, text in ((csv, to_csv), (as_json, to_json)):
        if wanted:
            sys.stdout.write(text(answer).rstrip("\n") + "\n")
    if not (csv or as_json):
        _show(answer)
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
            _note(f"wrote {write(answer)}")
    if onnx:
        _write_onnx(target, answer)


@app.command()
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
    images = _load_data(data, data_classes, images_per_class, image_size, seed) if trains else None
    objectives = _create_objectives(
        names,
        option or [],
        data=images,
        device=_create_device(device, threads),
        input_shape=_parse_shape(input_shape),
        classes=classes if classes is not None else images.classes if images else 10,
        seed=seed,
        train_device=train_device,
    )
    records, failures = _measure_all(architectures, objectives)
    if as_json:
        sys.stdout.write(json.dumps(records, indent=2, allow_nan=False) + "\n")
    else:
        _out.print(_records_table(records))
    if failures:
        raise EvaluationError("\n".join(failures))


def _measure_all(
    architectures: Sequence[Any], objectives: Sequence[Objective]
) -> tuple[list[dict[str, Any]], list[str]]:
    from rich.progress import track

    from motemo.objective import Failure

    records, failures = [], []
    todo = [(a, o) for a in architectures for o in objectives]
    for architecture, each in track(
        todo, "measuring", console=_err, transient=True, disable=not _err.is_terminal
    ):
        [outcome] = each.evaluate([architecture])
        record = {"arch": architecture.genotype, "objective": each.name}
        if isinstance(outcome, Failure):
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


@app.command("list")
def list_names() -> None:
    """List spaces, objectives, samplers and devices, with one line each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("kind")
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("what it is")
    for registry in (SPACES, OBJECTIVES, SAMPLERS, DEVICES):
        for number, entry in enumerate(registry):
            table.add_row("" if number else registry.kind, entry.name, escape(entry.summary))
        table.add_section()
    _out.print(table)


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


def _load_data(
    source: str,
    data_classes: int | None,
    images_per_class: int | None,
    image_size: str | None,
    seed: int,
) -> ImageData:
    from motemo.data.pipeline import load_data

    return load_data(
        source,
        image_size=None if image_size is None else _parse_size(image_size),
        classes=data_classes,
        images_per_class=images_per_class,
        seed=seed,
    )


def _create_device(name: str, threads: int) -> Device:
    device: Device = DEVICES.create(name, offered={"threads": threads})
    return device


def _create_objectives(
    names: Sequence[str], options: Sequence[str], **offered: object
) -> list[Objective]:
    """Create objectives by name; each takes from what is offered what it has a field for."""
    from motemo.options import parse_option, with_option

    created: dict[str, Objective] = {}
    for name in names:
        if name in created:
            raise SettingsError(f"The objective {name!r} is given more than once. Give it once.")
        created[name] = OBJECTIVES.create(name, offered=offered)
    for text in options:
        name, path, value = parse_option(text)
        if name not in created:
            raise SettingsError(
                f"The option {text!r} is for {name!r}, which is not an objective here. "
                f"Objectives: {', '.join(created)}."
            )
        created[name] = with_option(created[name], path, value, shown=text)
    return list(created.values())


def _parse_size(text: str) -> tuple[int, int]:
    numbers = _numbers(text)
    if len(numbers) not in (1, 2):
        raise SettingsError(f"Malformed image size {text!r}. Write 32 or 32x24 (height x width).")
    return numbers[0], numbers[-1]


def _parse_shape(text: str) -> Shape:
    numbers = _numbers(text)
    if len(numbers) != 3:
        raise SettingsError(f"Malformed input shape {text!r}. Write CxHxW, as in 3x32x32.")
    return numbers[0], numbers[1], numbers[2]


def _numbers(text: str) -> list[int]:
    parts = text.lower().split("x")
    good = all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts)
    return [int(part) for part in parts] if good else []


def main() -> None:
    """Run the command line; bad input ends with status 2 and a message, never a traceback."""
    try:
        app(standalone_mode=True)
    except UsageError as error:
        _fail(str(error), EXIT_USAGE)
    except MotemoError as error:
        _fail(str(error), EXIT_FAILED)
    except OSError as error:
        _fail(
            f"{error}. What the study holds is safe: once this is mended, run the same command "
            "again, or 'motemo front' for the files.",
            EXIT_FAILED,
        )


def _fail(message: str, status: int) -> None:
    _err.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(status)
