"""`motemo list`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from motemo.cli.console import out_console
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES


def list_names() -> None:
    """List spaces, objectives, samplers and devices, with one line each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("kind")
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("what it is")
    for registry in (SPACES, OBJECTIVES, SAMPLERS, DEVICES):
        for number, entry in enumerate(registry):
            also = f"; also called {', '.join(entry.aliases)}" if entry.aliases else ""
            kind = "" if number else registry.kind
            table.add_row(kind, entry.name, escape(entry.summary + also))
        table.add_section()
    out_console.print(table)
