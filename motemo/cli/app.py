"""The command line as a whole: its commands, and how it ends."""

from __future__ import annotations

from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

from motemo.allocator import keep_freed_memory
from motemo.cli.benchmark import benchmark
from motemo.cli.console import fail, out_console
from motemo.cli.correlate import correlate
from motemo.cli.dashboard import dashboard
from motemo.cli.devices import devices
from motemo.cli.draw import draw
from motemo.cli.export import export
from motemo.cli.front import front
from motemo.cli.help_text import help_text
from motemo.cli.latency_model import latency_model
from motemo.cli.listing import list_names
from motemo.cli.measure import measure
from motemo.cli.reduce import reduce
from motemo.cli.report import report
from motemo.cli.search import search
from motemo.cli.select import select
from motemo.cli.serve_device import serve_device
from motemo.cli.train import train
from motemo.cli.worker import worker
from motemo.errors import MotemoError, UsageError

EXIT_FAILED, EXIT_USAGE = 1, 2

app = typer.Typer(
    name="motemo",
    help="Find neural architectures that are accurate and cheap on your device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(search)
app.command()(worker)
app.command()(front)
app.command()(report)
app.command()(dashboard)
app.command()(select)
app.command()(train)
app.command()(export)
app.command()(measure)
app.command()(draw)
app.command()(devices)
app.command()(benchmark)
app.command()(correlate)
app.command()(reduce)
app.command("serve-device")(serve_device)
app.add_typer(latency_model, name="latency-model")
app.command("list")(list_names)
for command in (*app.registered_commands, *latency_model.registered_commands):
    command.help = help_text(command.callback)


def _show_version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"motemo {distribution_version('motemo')}", highlight=False)
        raise typer.Exit


@app.callback()
def _motemo(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; bad input ends with status 2 and a message, never a traceback."""
    keep_freed_memory()
    try:
        app(standalone_mode=True)
    except UsageError as error:
        fail(str(error), EXIT_USAGE)
    except MotemoError as error:
        fail(str(error), EXIT_FAILED)
    except OSError as error:
        fail(
            f"{error}. What a study or a folder of scores holds is safe: once this is mended, run "
            "the same command again, or 'motemo front' for the files of a search.",
            EXIT_FAILED,
        )
