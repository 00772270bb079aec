"""A front as a table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement as Width
from rich.table import Table
from rich.text import Text

from motemo.front import Axis, Front, Member
from motemo.objective import Direction
from motemo.rendering.quantities import Scale, fold, scales
from motemo.rendering.summary import best_value, constraint_note, headline

_BEST = "bold green"
_NARROWEST_GENOTYPE = 16
_MOST_LINES = 4
_ROOM_FOR_VALUES = 60


def front_table(front: Front, *, architectures: bool = True, caption: bool = True) -> Table:
    """Return the members as a table: trial, one column per objective, architecture.

    A value that has a spread is followed by it; the best value of each column stands out.

    Args:
        front: The front.
        architectures: Whether to have the column of architectures.
        caption: Whether to say below how many are on the front; it is as wide as the table.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=_caption(front) if caption else None,
        caption_justify="left",
        caption_style="",
    )
    table.add_column(Text("trial"), justify="right", no_wrap=True)
    by_name = scales(front)
    for axis in front.axes:
        table.add_column(_header(axis, by_name[axis.name]), justify="right", overflow="fold")
    if architectures:
        table.add_column(Text("architecture"))
    best = {axis.name: best_value(axis, front.members) for axis in front.axes}
    for member in front:
        cells = [_cell(member, a.name, scale=by_name[a.name], best=best) for a in front.axes]
        genotype = [_Genotype(member.architecture.genotype)] if architectures else []
        table.add_row(str(member.trial), *cells, *genotype)
    return table


def print_front(front: Front, console: Console) -> None:
    """Print the table, with whole genotypes: beside the values if there is room, else below."""
    longest = max((len(m.architecture.genotype) for m in front), default=0)
    if console.width >= longest + _ROOM_FOR_VALUES:
        console.print(front_table(front))
        return
    console.print(front_table(front, architectures=False, caption=False))
    console.print(_caption(front))
    console.print("\ntrial  architecture", style="bold", highlight=False)
    for member in front:
        line = f"{member.trial:>5}  {member.architecture.genotype}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _caption(front: Front) -> Text:
    caption = Text(headline(front))
    if front.members:
        caption.append(" Best of each column ")
        caption.append("highlighted", style=_BEST)
        caption.append(".")
    note = constraint_note(front)
    if note:
        caption.append(f"\n{note}", style="" if front.feasible else "bold yellow")
    return caption


def _header(axis: Axis, scale: Scale) -> Text:
    wanted = "max" if axis.direction is Direction.MAXIMIZE else "min"
    header = Text(axis.name)
    second_line = f"\n{wanted}, {scale.unit}" if scale.unit else f"\n{wanted}"
    return header.append(second_line, style="not bold dim")


def _cell(member: Member, name: str, *, scale: Scale, best: Mapping[str, float | None]) -> Text:
    measurement = member.measurements[name]
    cell = Text(
        scale.number(measurement.value), style=_BEST if measurement.value == best[name] else ""
    )
    spread = scale.spread(measurement)
    return cell.append(f" {spread}", style="not bold dim") if spread else cell


@dataclass(frozen=True)
class _Genotype:
    """A genotype that folds after punctuation; where even that takes too many lines, it is cut."""

    text: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Width:
        return Width(min(len(self.text), _NARROWEST_GENOTYPE), len(self.text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = fold(self.text, options.max_width)
        if len(lines) > _MOST_LINES:
            last = lines[_MOST_LINES - 1][: options.max_width - 1]
            lines = [*lines[: _MOST_LINES - 1], f"{last}…"]
        yield Text("\n".join(lines), no_wrap=True)
