"""`motemo draw`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from motemo.cli.console import note
from motemo.cli.settings import Quiet, SpaceName, create_space, is_of_space
from motemo.errors import SettingsError


def draw(
    *,
    space: SpaceName = "nasbench201",
    arch: Annotated[str, typer.Option("--arch", help="Genotype of the architecture.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="SVG file to write.  \\[default: standard output]"),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set a field of the space, as in --set space.channels=32."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draw an architecture, as written, as an SVG picture that scales.

    It can be read on light and on dark ground.

    [bold]Examples[/bold]

      motemo draw --space nats_size --arch 8:16:24:32:40 --out network.svg

      motemo draw --space my_space.py:SPACE --arch '{"depth":1,"width_0":16}' > mine.svg
    """
    from motemo.files import require_writable, write_atomically
    from motemo.rendering.drawing import architecture_svg

    for text in option or ():
        if not is_of_space(text):
            raise SettingsError(
                f"Only fields of the space can be set, as space.NAME; got {text!r}."
            )
    if out is not None:
        require_writable(out)
    picture = architecture_svg(create_space(space, option or ()).architecture(arch))
    if out is None:
        sys.stdout.write(f"{picture}\n")
    else:
        write_atomically(out, f"{picture}\n")
        note(f"wrote {out}")
