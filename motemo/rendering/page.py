"""The fixed parts of the page, as HTML text in which everything from the study is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from motemo.front import Axis, Front, Member
from motemo.rendering.quantities import Scale, label
from motemo.rendering.summary import (
    all_settings,
    best_value,
    better_word,
    constraint_note,
    facts,
    headline,
    keeps_constraints,
)

TRIAL = -1
"""Stands for the number of the trial where an axis is chosen by its index."""

_AFTER_MARKS = re.compile(r"([|+,;/])(?=\w)")


def header_html(
    front: Front, *, kind: str = "Pareto front", more: Sequence[tuple[str, str]] = ()
) -> str:
    """Return the heading: what was searched, how it ended, and the main settings.

    Args:
        front: The front.
        kind: What the page is.
        more: Further facts, by what they are called.
    """
    known = [*facts(front.settings), *more]
    pairs = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(text)}</dd></div>" for k, text in known)
    note = constraint_note(front)
    infeasible = f'<p class="warning" role="alert">{escape(note)}</p>'
    goals = (f"{axis.name} ({better_word(axis)} is better)" for axis in front.axes)
    lead = f"Objectives: {', '.join(goals)}. {note if front.feasible else ''}".rstrip()
    return (
        f'<header><p class="eyebrow">motemo · {escape(kind)}</p>'
        f"<h1>{escape(headline(front).removesuffix('.'))}</h1>"
        f'<p class="lead">{escape(lead)}</p>'
        f"{'' if front.feasible else infeasible}"
        f'<dl class="facts">{pairs}</dl></header>'
    )


def scatter_html(front: Front, scales: Mapping[str, Scale]) -> str:
    """Return the section of the scatter plot with its three selectors; empty without points."""
    if not front.evaluated or not front.axes:
        return ""
    single = len(front.axes) == 1
    options = [(str(k), label(axis, scales[axis.name])) for k, axis in enumerate(front.axes)]
    by_trial = (str(TRIAL), "trial")
    third = "2" if len(front.axes) > 2 else ""
    controls = (
        _select("x", "across", [*options, by_trial], by_trial[0] if single else "1"),
        _select("y", "up", [*options, by_trial], "0"),
        _select("colour", "colour", [("", "one colour"), *options, by_trial], third),
    )
    return (
        '<section id="front" aria-label="Scatter plot of two objectives">'
        f'<div class="controls">{"".join(controls)}</div>'
        '<div id="scatter" class="plot" tabindex="0" role="group" aria-describedby="how" '
        'aria-label="Scatter plot; arrow keys go along the front"></div>'
        f'{_key(front)}<p class="hint screen" id="how">Choose a point or a row to mark it '
        'everywhere.<span class="mouse"> Shift marks several, a box that you drag what is in it; '
        "Esc clears. Arrow keys in the plot go along the front.</span></p></section>"
    )


def parallel_html(front: Front) -> str:
    """Return the section of the parallel coordinates; empty below three objectives."""
    if len(front.axes) < 3 or not front.members:
        return ""
    return (
        "<section><h2>All objectives at once</h2>"
        '<p class="hint">One line per architecture on the front; up is better on every axis.'
        '<span class="mouse screen"> Drag a box over an axis to mark the lines in it.</span></p>'
        '<div class="wide"><div id="parallel" class="plot"></div></div></section>'
    )


def table_html(front: Front, scales: Mapping[str, Scale]) -> str:
    """Return the section with the table of the members; empty without any."""
    if not front.members:
        return ""
    heads = value_heads(front, scales)
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    best = {axis.name: best_value(axis, front.members) for axis in front.axes}
    rows = (_row(m, index[m.trial], front.axes, scales=scales, best=best) for m in front)
    return (
        '<section id="members"><h2>On the front</h2><div class="scroll">'
        '<table id="members-table"><caption>Best of each objective in blue. '
        '<span class="screen">Click a heading to sort.</span></caption>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        "</div></section>"
    )


def picked_html() -> str:
    """Return the bar that tells of what is marked; the script fills it."""
    return '<div id="picked" role="status" hidden></div>'


def value_heads(front: Front, scales: Mapping[str, Scale]) -> list[str]:
    """Return the headings of a table: trial, one per objective, architecture."""
    values = (
        head_html(a.name, k, unit=f"{scales[a.name].unit} · {better_word(a)}".lstrip(" ·"))
        for k, a in enumerate(front.axes)
    )
    return [head_html("trial", TRIAL), *values, head_html("architecture", "arch")]


def head_html(name: str, column: int | str, *, unit: str = "") -> str:
    """Return the heading of a column that can be sorted; a column with a name holds text."""
    kind = ' class="text"' if isinstance(column, str) else ""
    return (
        f'<th scope="col" data-column="{column}"{kind}><button type="button">{escape(name)}'
        f'<span class="arrow"></span><small>{escape(unit)}</small></button></th>'
    )


def settings_html(front: Front) -> str:
    """Return all settings, folded away; empty without settings."""
    rows = all_settings(front.settings)
    if not rows:
        return ""
    pairs = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in rows)
    return f"<details><summary>All settings</summary><dl>{pairs}</dl></details>"


def _select(name: str, text: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    items = "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{escape(shown)}</option>'
        for value, shown in options
    )
    return (
        f'<label><span>{text}</span><select id="{name}" autocomplete="off">{items}</select></label>'
    )


def _key(front: Front) -> str:
    members = {member.trial for member in front}
    keeps = {keeps_constraints(m, front) for m in front.evaluated if m.trial not in members}
    entries = [
        ("front", "on the front, with its spread", True),
        ("kept", "evaluated", True in keeps),
        ("broken", "breaks a constraint", False in keeps),
        ("bound", "constraint", bool(front.constraints)),
    ]
    items = "".join(f'<li class="{name}">{text}</li>' for name, text, shown in entries if shown)
    return f'<ul class="key">{items}<li class="outside" id="outside"></li></ul>'


def _row(
    member: Member,
    index: int,
    axes: Sequence[Axis],
    *,
    scales: Mapping[str, Scale],
    best: Mapping[str, float | None],
) -> str:
    pick = f'<button type="button" class="pick" aria-pressed="false">{member.trial}</button>'
    cells = [f"<td>{pick}</td>"]
    for axis in axes:
        measurement, scale = member.measurements[axis.name], scales[axis.name]
        mark = ' class="best"' if measurement.value == best[axis.name] else ""
        spread = scale.spread(measurement)
        small = f" <small>{escape(spread)}</small>" if spread else ""
        cells.append(f"<td{mark}>{escape(scale.number(measurement.value))}{small}</td>")
    genotype = _AFTER_MARKS.sub(r"\1<wbr>", escape(member.architecture.genotype))
    cells.append(f'<td class="text arch"><code>{genotype}</code></td>')
    return f'<tr data-index="{index}">{"".join(cells)}</tr>'
