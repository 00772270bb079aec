"""`motemo list`."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from motemo.cli.console import out_console, write_json
from motemo.cli.settings import AsJson, create_space
from motemo.errors import SettingsError
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES, Entry

if TYPE_CHECKING:
    from torch import nn

    from motemo.space import Architecture, Choice, Gene, Json, Space

_MANY = 12
_NAMES = 3
_DRAWS = 10_000
_REGISTRIES = (SPACES, OBJECTIVES, SAMPLERS, DEVICES)


def list_names(
    *,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            help="Explain one search space, by name or FILE.py:NAME: genes, size, an example.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List spaces, objectives, samplers and devices, with one line each; or explain a space.

    What stands there under "name" is what the options of other commands take.

    [bold]Examples[/bold]

      motemo list

      motemo list --space darts

      motemo list --space my_space.py:SPACE
    """
    if space is not None:
        explained = _explained(space)
        if as_json:
            write_json(explained.plain())
        else:
            _print_explained(explained)
        return
    if as_json:
        write_json({each.kind: [_plain(entry) for entry in each] for each in _REGISTRIES})
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("kind")
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("what it is")
    for registry in _REGISTRIES:
        for number, entry in enumerate(registry):
            also = f"; also called {', '.join(entry.aliases)}" if entry.aliases else ""
            kind = "" if number else registry.kind
            table.add_row(kind, entry.name, escape(entry.summary + also))
        table.add_section()
    out_console.print(table)


def _plain(entry: Entry) -> dict[str, object]:
    return {"name": entry.name, "aliases": entry.aliases, "summary": entry.summary}


@dataclass(frozen=True)
class _Explained:
    """What there is to say of a space.

    Attributes:
        name: Its name.
        summary: What it is.
        reference: The paper, or nothing.
        page: Its page in the documentation, or nothing.
        genotypes: How many can be written.
        is_bound: Whether there are at most so many.
        estimate: The estimate of accuracy that a search takes if it is told nothing else.
        example: A genotype.
        networks: What the full network and the reduced architecture of the example have and take.
        options: What may be set, and to what it is set.
        genes: The decisions.
    """

    name: str
    summary: str
    reference: str
    page: str
    genotypes: int
    is_bound: bool
    estimate: str
    example: str
    networks: Mapping[str, Mapping[str, Json]]
    options: Mapping[str, Json]
    genes: tuple[Gene, ...]

    def plain(self) -> dict[str, object]:
        """Return it as JSON-able values."""
        genes = [
            {"name": g.name, "choices": g.choices, "active_if": dict(g.conditions)}
            for g in self.genes
        ]
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "genes": genes}


def _explained(name: str) -> _Explained:
    from motemo.spaces.by_name import default_objectives, is_file, settable

    space, own = create_space(name), is_file(name)
    example = _example(space)
    return _Explained(
        name=space.name,
        summary=f"of {name}" if own else SPACES.entry(name).summary,
        reference=_reference(space),
        page="" if own else SPACES.entry(name).page,
        genotypes=space.size,
        is_bound=space.size_is_bound,
        estimate=default_objectives(space)[0],
        example=example.genotype,
        networks={
            "full network": _counted(example.build, space),
            "reduced architecture": _counted(example.build_reduced, space),
        },
        options=settable(space),
        genes=space.genes,
    )


def _print_explained(space: _Explained) -> None:
    options = [f"space.{name}={json.dumps(value)}" for name, value in space.options.items()]
    rows: dict[str, Sequence[str]] = {
        "space": [f"{space.name}: {space.summary}"],
        "reference": [space.reference],
        "page": [space.page],
        "genotypes": [_size(space)],
        "default estimate": [space.estimate],
        "an example": [space.example],
        **{name: [_figures(figures)] for name, figures in space.networks.items()},
        "options (--set)": [", ".join(options)],
        "genes": _genes(space.genes),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, lines in rows.items():
        for number, line in enumerate(filter(None, lines)):
            table.add_row("" if number else name, escape(line))
    out_console.print(table)


def _counted(build: Callable[..., nn.Module], space: Space) -> dict[str, Json]:
    """Return what a network has and takes, or why it cannot be counted."""
    from motemo.counting import count_operators, count_parameters

    shape, classes = space.example_shape, space.example_classes
    at: dict[str, Json] = {"input_shape": list(shape), "classes": classes}
    try:
        network = build(input_shape=shape, classes=classes)
        counted = {
            "params": count_parameters(network),
            "flops": count_operators(network, shape).flops,
        }
    except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
        return {**at, "failure": f"{type(error).__name__}: {error}"}
    return {**at, **counted}


def _figures(counted: Mapping[str, Any]) -> str:
    at = "x".join(map(str, counted["input_shape"]))
    if "failure" in counted:
        return f"cannot be counted at {at}: {counted['failure']}"
    parameters, flops = (_millions(counted[name]) for name in ("params", "flops"))
    return f"{parameters} parameters, {flops} multiply-adds at {at}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g} M" if count >= 10_000 else f"{count:,}"


def _size(space: _Explained) -> str:
    size = f"{space.genotypes:,}" if space.genotypes < 10**12 else f"{space.genotypes:.1e}"
    return f"at most {size}: some genes depend on others" if space.is_bound else size


def _example(space: Space) -> Architecture:
    """Return a random valid architecture, always the same."""
    import numpy as np

    rng = np.random.default_rng(0)
    drawn = (space.sample(rng) for _ in range(_DRAWS))
    found = next((a for a in drawn if a.invalid_reason is None), None)
    if found is None:
        raise SettingsError(f"None of {_DRAWS:,} random architectures of {space.name!r} is valid.")
    return found


def _reference(space: Space) -> str:
    """Return the paper that the space's module names."""
    text = inspect.getdoc(inspect.getmodule(type(space))) or ""
    found = re.search(r"References?:\s*(.+?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return " ".join(found[1].replace("*", "").split()) if found else ""


def _genes(genes: Iterable[Gene]) -> list[str]:
    """Return a line for those genes that have the same choices and conditions."""
    named: dict[tuple[str, str], list[str]] = {}
    for gene in genes:
        named.setdefault((_listed(gene.choices), _conditions(gene)), []).append(gene.name)
    lines = []
    for (choices, conditions), names in named.items():
        shown = ", ".join(names)
        if len(names) > _NAMES:
            shown = f"{names[0]}, {names[1]}, ..., {names[-1]} ({len(names)} genes)"
        lines.append(f"{shown}: {choices}{conditions}")
    return lines


def _conditions(gene: Gene) -> str:
    texts = [f"{name} is {_listed(wanted, ' or ')}" for name, wanted in gene.conditions.items()]
    return f"  (if {' and '.join(texts)})" if texts else ""


def _listed(choices: Sequence[Choice], between: str = ", ") -> str:
    listed = [str(choice) for choice in choices[:_MANY]]
    more = [f"... ({len(choices)} in all)"] if len(choices) > _MANY else []
    return between.join(listed + more)
