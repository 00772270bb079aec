"""`motemo list`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from motemo.cli.console import out_console
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES

if TYPE_CHECKING:
    from motemo.space import Architecture, Choice, Gene, Space

_MANY = 12
_NAMES = 3
_DRAWS = 10_000


def list_names(
    *,
    space: Annotated[
        str | None,
        typer.Option("--space", help="Explain one search space: genes, size, an example."),
    ] = None,
) -> None:
    """List spaces, objectives, samplers and devices, with one line each; or explain a space.

    [bold]Example[/bold]

      motemo list --space darts
    """
    if space is not None:
        _explain(SPACES.create(space), SPACES.entry(space).summary)
        return
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


def _explain(space: Space, summary: str) -> None:
    from motemo.counting import count_operators, count_parameters

    example = _example(space)
    shape, classes = (3, 32, 32), 10
    rows = {"space": f"{space.name}: {summary}", "reference": _reference(space)}
    rows["genotypes"] = f"{space.size:,}" if space.size < 10**12 else f"{space.size:.1e}"
    rows["an example"] = example.genotype
    for name, network in (
        ("full network", example.build(input_shape=shape, classes=classes)),
        ("reduced architecture", example.build_reduced(input_shape=shape, classes=classes)),
    ):
        flops = count_operators(network, shape).flops / 1e6
        parameters = count_parameters(network) / 1e6
        rows[name] = f"{parameters:.3g} M parameters, {flops:.3g} M multiply-adds at 3x32x32"
    if len(space.identity()) > 1:
        options = ((k, v) for k, v in space.identity().items() if k != "name")
        rows["options"] = ", ".join(f"{name}={value}" for name, value in options)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        if text:
            table.add_row(name, escape(text))
    for number, (names, choices) in enumerate(_genes(space.genes)):
        table.add_row("" if number else "genes", escape(f"{names}: {choices}"))
    out_console.print(table)


def _example(space: Space) -> Architecture:
    """Return a random valid architecture, always the same."""
    import numpy as np

    rng = np.random.default_rng(0)
    drawn = (space.sample(rng) for _ in range(_DRAWS))
    return next(a for a in drawn if a.invalid_reason is None)


def _reference(space: Space) -> str:
    """Return the paper that the space's module names."""
    text = inspect.getdoc(inspect.getmodule(type(space))) or ""
    found = re.search(r"References?:\s*(.+?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return " ".join(found[1].replace("*", "").split()) if found else ""


def _genes(genes: Iterable[Gene]) -> list[tuple[str, str]]:
    """Return names and choices; genes that have the same choices share a line."""
    named: dict[tuple[Choice, ...], list[str]] = {}
    for gene in genes:
        named.setdefault(gene.choices, []).append(gene.name)
    lines = []
    for choices, names in named.items():
        shown = ", ".join(names)
        if len(names) > _NAMES:
            shown = f"{names[0]}, {names[1]}, ..., {names[-1]} ({len(names)} genes)"
        listed = [str(choice) for choice in choices[:_MANY]]
        more = [f"... ({len(choices)} in all)"] if len(choices) > _MANY else []
        lines.append((shown, ", ".join(listed + more)))
    return lines
