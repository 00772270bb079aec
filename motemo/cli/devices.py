"""`motemo devices`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from motemo.cli.console import note, note_console, out_console, write_json
from motemo.cli.settings import AsJson, Quiet
from motemo.errors import DeviceError, EvaluationError, SettingsError

if TYPE_CHECKING:
    from motemo.device import Device
    from motemo.hardware.profiles import Profile

TEMPLATE = """\
# Devices under names of your own; 'motemo devices' lists and checks them.
# Keep this file as devices.toml in the folder that you work in, or in your configuration folder
# (remote devices only there), or name it by the environment variable MOTEMO_DEVICES.

[cpu-2-threads]
kind = "cpu"                   # a device of 'motemo devices'; the rest are its options
threads = 2

[cpu-int8]
kind = "cpu"
precision = "int8"             # float32, float16, int8 or int8_dynamic
batch = 1                      # images of one inference
input_shape = [3, 224, 224]    # what costs are taken at; --input-shape goes before

# [pi]
# kind = "remote"              # where 'motemo serve-device' runs
# address = "https://pi.local:8765"
"""


def devices(
    *,
    name: Annotated[
        list[str] | None, typer.Argument(help="Devices to describe.  \\[default: list all]")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Measure a small network on each, too.")
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Print a file of devices to start from.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List devices, check that they are here, and describe them.

    A device is where deployment cost is measured. Those of your own stand in devices.toml, in the
    working folder or your configuration folder.

    [bold]Examples[/bold]

      motemo devices

      motemo devices cpu --check

      motemo devices --template > devices.toml
    """
    if template:
        sys.stdout.write(TEMPLATE)
        return
    from motemo.errors import UnknownNameError
    from motemo.hardware.profiles import files, profiles

    found = profiles()
    for wanted in name or []:
        if wanted not in found:
            raise UnknownNameError("device", wanted, found)
    asked = bool(name) or check
    rows = [_looked_at(found[each], check=check, ask=asked) for each in name or found]
    if as_json:
        write_json(rows)
    elif name:
        for row in rows:
            _describe(row)
    else:
        out_console.print(_table(rows, check=check))
        note("files read: " + (", ".join(map(str, files())) or "none; --template prints one"))
    if name and any(row["problem"] for row in rows):
        raise DeviceError("; ".join(f"{r['name']}: {r['problem']}" for r in rows if r["problem"]))


def _looked_at(profile: Profile, *, check: bool, ask: bool) -> dict[str, Any]:
    """Return what there is to say of a device, by creating it, and measuring on it if wanted.

    A remote device, which is sent the token, is only created if it is asked for.
    """
    row: dict[str, Any] = {
        "name": profile.name,
        "kind": profile.kind,
        "options": {name: str(value) for name, value in profile.options.items()},
        "input_shape": None if profile.input_shape is None else list(profile.input_shape),
        "file": None if profile.file is None else str(profile.file),
        "identity": None,
        "milliseconds": None,
        "problem": None,
    }
    if profile.kind == "remote" and profile.file is not None and not ask:
        return row
    try:
        with note_console.status(f"looking at {profile.name}"):
            device = profile.create()
            row["identity"] = device.identity()
            if check:
                row["milliseconds"] = _milliseconds(device)
    except (DeviceError, EvaluationError, SettingsError) as error:
        row["problem"] = str(error)
    return row


def _milliseconds(device: Device) -> list[float]:
    """Return low, median and high of the reference network."""
    from motemo import host_lock
    from motemo.device import TimingProtocol
    from motemo.hardware.reference_network import INPUT_SHAPE, reference_network
    from motemo.hardware.spread import latency_interval

    protocol = TimingProtocol()
    with host_lock.measuring() if device.occupies_host else nullcontext():
        timing = device.time(reference_network(), input_shape=INPUT_SHAPE, protocol=protocol)
    return [round(ms, 5) for ms in latency_interval(timing, protocol)]


def _table(rows: list[dict[str, Any]], *, check: bool) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("device", style="cyan", no_wrap=True)
    table.add_column("what it is")
    table.add_column("here?")
    if check:
        table.add_column("reference network, ms", justify="right", no_wrap=True)
    for row in rows:
        state = "yes" if row["identity"] else "not asked; name it to ask"
        if row["problem"] is not None:
            state = f"no: {escape(_first_sentence(row))}"
        measured = [_interval(row["milliseconds"])] if check else []
        table.add_row(escape(row["name"]), escape(_summary(row)), state, *measured)
    return table


def _first_sentence(row: dict[str, Any]) -> str:
    return str(row["problem"]).partition(". ")[0].rstrip(".")


def _summary(row: dict[str, Any]) -> str:
    from motemo.registry import DEVICES

    if row["file"] is None:
        return DEVICES.entry(row["kind"]).summary
    options = ", ".join(f"{key} {value}" for key, value in row["options"].items())
    shape = row["input_shape"] and "x".join(map(str, row["input_shape"]))
    parts = (row["kind"], options, f"at {shape}" if shape else "")
    return ", ".join(part for part in parts if part)


def _interval(milliseconds: list[float] | None) -> str:
    if milliseconds is None:
        return ""
    low, middle, high = milliseconds
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _describe(row: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    table.add_row("device", escape(row["name"]))
    table.add_row("what it is", escape(_summary(row)))
    if row["file"]:
        table.add_row("from", escape(row["file"]))
    for key, value in (row["identity"] or {}).items():
        if key != "name":
            table.add_row(escape(key), escape(str(value)))
    if row["milliseconds"]:
        table.add_row("reference network, ms", _interval(row["milliseconds"]))
    out_console.print(table)
