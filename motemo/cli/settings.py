"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motemo.cli.console import be_quiet, show_preparations
from motemo.errors import SettingsError
from motemo.registry import OBJECTIVES

if TYPE_CHECKING:
    from motemo.data.dataset import ImageData
    from motemo.device import Device
    from motemo.objective import Objective
    from motemo.space import Shape, Space

SpaceName = Annotated[
    str,
    typer.Option(
        "--space",
        help="Search space: a name of 'motemo list', or FILE.py:NAME of one's own. The file is "
        "run.",
    ),
]
RunSpace = Annotated[
    str | None,
    typer.Option(
        "--space", help="The space of the run, FILE.py:NAME, if it is one's own. The file is run."
    ),
]
Run = Annotated[str, typer.Argument(help="Folder of a run, or an Optuna storage URL.")]
RunStorage = Annotated[
    str | None, typer.Option("--storage", help="Storage URL, if the run's has a password.")
]
RunStudy = Annotated[str | None, typer.Option("--study-name", help="Study in the storage.")]
FinalistsName = Annotated[
    str, typer.Option("--name", help="What the finalists are called; see 'motemo train'.")
]
OpenPage = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
Tables = Annotated[
    list[Path] | None,
    typer.Option(
        "--table",
        help="CSV file with a column arch; repeat it for more, joined on arch or index.",
    ),
]
ObjectiveNames = Annotated[
    list[str] | None,
    typer.Option("--objective", help="What to evaluate; repeat it. See 'motemo list'."),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=be_quiet,
        help="No notes and no progress on standard error; results, warnings and errors stay.",
    ),
]
"""Acts when it is parsed; a command need not look at it."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
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
    typer.Option(
        "--images-per-class",
        help="Reduce the data to so many images of each class, at most the smallest class.",
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        "--image-size",
        help="Resize the training images: 32, or 32x24 (height x width). Folders of mixed sizes "
        "become 32x32.",
    ),
]
DeviceName = Annotated[
    str, typer.Option("--device", help="Device whose cost counts; see 'motemo devices'.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Threads of one inference on the device.  \\[default: the device's, or 1]"
    ),
]
TrainDevice = Annotated[
    str, typer.Option("--train-device", help="torch device that trains: cpu, cuda, cuda:1.")
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        help="Deployment shape, CxHxW, that costs are taken at.  "
        "\\[default: the device's, or 3x32x32]",
    ),
]
Classes = Annotated[
    int | None,
    typer.Option("--classes", help="Classes of the deployed network.  \\[default: the data's]"),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set a field of an objective, as in --set mote.recipe.epochs=8, or of the space, as "
        "in --set space.channels=32. Repeat it.",
    ),
]


def load_images(
    source: str,
    data_classes: int | None,
    images_per_class: int | None,
    image_size: str | None,
    seed: int,
) -> ImageData:
    """Load the training images and reduce them."""
    from motemo.data.pipeline import load_data

    return load_data(
        source,
        image_size=None if image_size is None else _parse_size(image_size),
        classes=data_classes,
        images_per_class=images_per_class,
        seed=seed,
    )


def create_space(name: str, options: Sequence[str] = ()) -> Space:
    """Return a space by name, or in a file; of the options, those of the space are set."""
    from motemo.spaces.by_name import space_by_name

    return space_by_name(name, [text for text in options if is_of_space(text)])


def run_space(name: str | None) -> Space | None:
    """Return the space that a command was given for a run, if any."""
    return None if name is None else create_space(name)


def is_of_space(option: str) -> bool:
    """Return whether the text of an option is about the space, not about an objective."""
    return option.split(".")[0].strip() == "space"


def create_device(name: str, threads: int | None, *, data: ImageData | None = None) -> Device:
    """Create the device whose cost counts; reduced precision is calibrated on the data."""
    from motemo.hardware.profiles import profile

    given = {} if threads is None else {"threads": threads}
    return profile(name).create(offered={"calibration": data}, options=given)


def deployment_shape(given: str | None, device: str) -> Shape:
    """Return the shape that costs are taken at: as given, or the device's, or 3x32x32."""
    from motemo.hardware.profiles import profile

    return parse_shape(given) if given else profile(device).input_shape or (3, 32, 32)


def create_objectives(
    names: Sequence[str], options: Sequence[str], **offered: object
) -> list[Objective]:
    """Create objectives by name; each takes from what is offered what it has a field for."""
    show_preparations()
    created: dict[str, Objective] = {}
    for name in names:
        if name in created:
            raise SettingsError(f"The objective {name!r} is given more than once. Give it once.")
        created[name] = OBJECTIVES.create(name, offered=offered)
    set_options(created, options)
    return list(created.values())


def set_options(created: dict[str, Objective], options: Sequence[str]) -> None:
    """Replace objectives, by label, by those with the options set; skip options of the space."""
    from motemo.options import parse_option, with_option

    for text in (text for text in options if not is_of_space(text)):
        label, path, value = parse_option(text)
        if label not in created:
            raise SettingsError(
                f"The option {text!r} is for {label!r}, which is no objective here. "
                f"Objectives: {', '.join(created)}."
            )
        created[label] = with_option(created[label], path, value, shown=text)


def parse_shape(text: str) -> Shape:
    """Read `CxHxW`."""
    numbers = _numbers(text)
    if len(numbers) != 3:
        raise SettingsError(f"Malformed input shape {text!r}. Write CxHxW, as in 3x32x32.")
    return numbers[0], numbers[1], numbers[2]


def _parse_size(text: str) -> tuple[int, int]:
    numbers = _numbers(text)
    if len(numbers) not in (1, 2):
        raise SettingsError(f"Malformed image size {text!r}. Write 32 or 32x24 (height x width).")
    return numbers[0], numbers[-1]


def _numbers(text: str) -> list[int]:
    parts = text.lower().split("x")
    good = all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts)
    return [int(part) for part in parts] if good else []
