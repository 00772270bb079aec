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


def header_html(front: Front) -> str:
    """Return the heading: what was searched, how it ended, and the main settings."""
    known = facts(front.settings)
    pairs = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(text)}</dd></div>" for k, text in known)
    note = constraint_note(front)
    infeasible = f'<p class="warning" role="alert">{escape(note)}</p>'
    goals = (f"{axis.name} ({better_word(axis)} is better)" for axis in front.axes)
    lead = f"Objectives: {', '.join(goals)}. {note if front.feasible else ''}".rstrip()
    return (
        '<header><p class="eyebrow">motemo · Pareto front</p>'
        f"<h1>{escape(headline(front).removesuffix('.'))}</h1>"
        f'<p class="lead">{escape(lead)}</p>'
        f"{'' if front.feasible else infeasible}"
        f"{f'<dl class=facts>{pairs}</dl>' if pairs else ''}</header>"
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
        '<section aria-label="Scatter plot of two objectives">'
        f'<div class="controls">{"".join(controls)}</div><div id="scatter"></div>'
        f'{_key(front)}<p id="picked" aria-live="polite"></p></section>'
    )


def parallel_html(front: Front) -> str:
    """Return the section of the parallel coordinates; empty below three objectives."""
    if len(front.axes) < 3 or not front.members:
        return ""
    return (
        "<section><h2>All objectives at once</h2>"
        '<p class="hint">One line per architecture on the front; up is better on every axis.</p>'
        '<div id="parallel"></div></section>'
    )


def table_html(front: Front, scales: Mapping[str, Scale]) -> str:
    """Return the section with the table of the members; empty without any."""
    if not front.members:
        return ""
    heads = [_head("trial", "", TRIAL)]
    heads += [
        _head(a.name, f"{scales[a.name].unit} · {better_word(a)}".lstrip(" ·"), k)
        for k, a in enumerate(front.axes)
    ]
    heads.append(_head("architecture", "", "arch"))
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    best = {axis.name: best_value(axis, front.members) for axis in front.axes}
    rows = (_row(m, index[m.trial], front.axes, scales=scales, best=best) for m in front)
    return (
        "<section><h2>On the front</h2>"
        '<p class="hint">Best of each objective in blue. Click a heading to sort.</p>'
        f'<div class="scroll"><table><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
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
    keeps = {keeps_constraints(m, front) for m in front.evaluated if m not in front.members}
    entries = [
        ("front", "on the front, with its spread", True),
        ("kept", "evaluated", True in keeps),
        ("broken", "breaks a constraint", False in keeps),
        ("bound", "constraint", bool(front.constraints)),
    ]
    items = "".join(f'<li class="{name}">{text}</li>' for name, text, shown in entries if shown)
    return f'<ul class="key">{items}<li class="outside" id="outside"></li></ul>'


def _head(name: str, unit: str, column: int | str) -> str:
    return (
        f'<th scope="col" data-column="{column}"><button type="button">{escape(name)}'
        f'<span class="arrow"></span><small>{escape(unit)}</small></button></th>'
    )


def _row(
    member: Member,
    index: int,
    axes: Sequence[Axis],
    *,
    scales: Mapping[str, Scale],
    best: Mapping[str, float | None],
) -> str:
    cells = [f"<td>{member.trial}</td>"]
    for axis in axes:
        measurement, scale = member.measurements[axis.name], scales[axis.name]
        mark = ' class="best"' if measurement.value == best[axis.name] else ""
        spread = scale.spread(measurement)
        small = f" <small>{escape(spread)}</small>" if spread else ""
        cells.append(f"<td{mark}>{escape(scale.number(measurement.value))}{small}</td>")
    genotype = _AFTER_MARKS.sub(r"\1<wbr>", escape(member.architecture.genotype))
    cells.append(f"<td><code>{genotype}</code></td>")
    return f'<tr data-index="{index}" tabindex="0">{"".join(cells)}</tr>'
