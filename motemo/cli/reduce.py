"""`motemo reduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape
from rich.table import Table

from motemo.cli.console import note, out_console, write_json
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import AsJson, ImageSize, Quiet, Seed, load_images
from motemo.errors import OutputError

if TYPE_CHECKING:
    from motemo.reduction.encoder import Form
    from motemo.reduction.reduce import Method, Reduced


def reduce(
    *,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="The full data: digits, cifar10, cifar100, an .npz file (x_train, y_train), or a "
            "folder with one sub-folder per class.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .npz file to write.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="farthest or random-classes choose classes; random, k-centre or facility choose "
            "images of all classes.",
        ),
    ] = "farthest",
    classes: Annotated[
        int,
        typer.Option(
            "--classes",
            help="Classes to choose; or, where images are chosen, as many images as so many "
            "classes have.",
        ),
    ] = 10,
    images_per_class: Annotated[
        int | None,
        typer.Option("--images-per-class", help="Images of each class.  \\[default: all]"),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="pixels (no weights), an .onnx file (input float32 (N, 3, H, W), RGB in [0, 1]), "
            "or torchvision:vgg16.  \\[default: pixels]",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            help="Codes are the encoder's outputs, scaled to length 1 (unit), as softmax, or raw. "
            " \\[default: softmax of torchvision:vgg16, else unit]",
        ),
    ] = None,
    image_size: ImageSize = None,
    seed: Seed = 0,
    threads: Annotated[int, typer.Option("--threads", help="Threads of an ONNX encoder.")] = 1,
    encoder_device: Annotated[
        str, typer.Option("--encoder-device", help="Where the encoder computes: cpu or cuda.")
    ] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a reduced data set: few classes or images that stand for all.

    Estimates that train on it are cheaper. The file serves as --data of the other commands. It
    keeps the test images of the chosen classes if the source has them, and says how it came
    about.

    [bold]Examples[/bold]

      motemo reduce --data cifar100 --encoder encoder.onnx --out rd.npz

      motemo search --data rd.npz
    """
    from motemo.reduction.encoders import PIXELS, encoder_by_name
    from motemo.reduction.file import check_output, write_reduced
    from motemo.reduction.held_out import load_held_out
    from motemo.reduction.reduce import ENCODING, reduce_data

    check_output(out, force=force)
    if out.resolve() == Path(data).resolve():
        raise OutputError(f"{out}: is the full data itself. Give another --out.")
    if method in ENCODING and encoder is None:
        encoder = PIXELS
    found = (
        None
        if encoder is None
        else encoder_by_name(encoder, threads=threads, device=encoder_device)
    )
    images = load_images(data, None, None, image_size, seed)
    held_out = load_held_out(data, images)
    with progress_bar("encoding") as on_progress:
        reduced = reduce_data(
            images,
            method=cast("Method", method),
            classes=classes,
            images_per_class=images_per_class,
            encoder=found,
            form=cast("Form | None", form),
            seed=seed,
            on_progress=on_progress,
        )
    provenance = write_reduced(out, reduced, held_out=held_out, force=force)
    if as_json:
        write_json(provenance)
    elif reduced.groups or method == "random-classes":
        out_console.print(_class_table(reduced, images.class_names))
    note(
        f"{provenance['images']} of {len(images)} images, {reduced.data.classes} of "
        f"{images.classes} classes, {provenance['test_images']} test images"
    )
    note(f"wrote {out}")


def _class_table(reduced: Reduced, names: tuple[str, ...]) -> Table:
    """Return the chosen classes and what each stands for."""
    from collections import Counter

    counts = Counter(reduced.data.labels.tolist())
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", style="cyan", no_wrap=True)
    table.add_column("images", justify="right")
    if reduced.groups:
        table.add_column("also in its group")
    for label, index in enumerate(reduced.kept):
        row = [escape(names[index]), str(counts[label])]
        if reduced.groups:
            others = [names[other] for other in reduced.groups[label] if other != index]
            row.append(escape(", ".join(others)) or "-")
        table.add_row(*row)
    return table
