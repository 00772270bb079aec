"""The head of a report and its plots, as HTML text in which all from the study is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from motemo.front import Front
from motemo.rendering.quantities import Scale
from motemo.rendering.report_progress import Growth
from motemo.rendering.report_trials import Timing
from motemo.rendering.summary import best_value, better_word

_SECTION = re.compile(r'<section id="([a-z-]+)"')
_NAMES = {
    "front": "Front",
    "pairs": "All pairs",
    "growth": "Progress",
    "importance": "Importance",
    "trained": "Trained",
    "drawings": "Drawings",
    "members": "Members",
    "evaluated": "All evaluated",
    "left-out": "Left out",
    "reproduce": "Reproduce",
}


def time_facts(timing: Timing | None, front: Front) -> list[tuple[str, str]]:
    """Return when the search ran and how long it took, as facts for the heading."""
    if timing is None:
        return []
    facts = [
        ("started", f"{timing.start:%Y-%m-%d %H:%M}"),
        ("time at work", _duration(timing.busy_seconds)),
    ]
    if front.evaluated:
        each = _duration(timing.busy_seconds / len(front.evaluated))
        facts.append(("per evaluation", each))
    return facts


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def best_html(front: Front, scales: Mapping[str, Scale]) -> str:
    """Return the best value of each objective, each a button that marks its architecture."""
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    items = []
    for axis in front.axes:
        best = best_value(axis, front.members)
        found = [m for m in front if m.measurements[axis.name].value == best]
        if not found:
            continue
        scale, measurement = scales[axis.name], found[0].measurements[axis.name]
        small = " ".join(part for part in (scale.unit, scale.spread(measurement)) if part)
        items.append(
            f'<li><button type="button" data-pick="{index[found[0].trial]}">'
            f"<span>{'highest' if better_word(axis) == 'higher' else 'lowest'} "
            f"{escape(axis.name)}</span><strong>{escape(scale.number(measurement.value))} "
            f"<small>{escape(small)}</small></strong><span>trial {found[0].trial}</span>"
            "</button></li>"
        )
    return f'<ul class="bests" aria-label="Best of each objective">{"".join(items)}</ul>'


def contents_html(sections: str) -> str:
    """Return links to the sections that a page has."""
    links = (f'<a href="#{name}">{_NAMES[name]}</a>' for name in _SECTION.findall(sections))
    return f'<nav aria-label="Sections">{"".join(links)}</nav>'


def matrix_html(front: Front) -> str:
    """Return the section of all pairs of objectives; empty below three objectives."""
    if len(front.axes) < 3 or not front.evaluated:
        return ""
    return (
        '<section id="pairs"><h2>Every pair of objectives</h2>'
        '<p class="hint">Each small plot is one pair; the front is blue.'
        '<span id="thinned"></span></p>'
        '<div class="wide"><div id="matrix" class="plot"></div></div></section>'
    )


def growth_html(growth: Growth | str, front: Front, scales: Mapping[str, Scale]) -> str:
    """Return the section that shows how the hypervolume grew, or why it cannot be shown."""
    heading = '<section id="growth"><h2>Hypervolume over evaluations</h2>'
    if isinstance(growth, str):
        return f'{heading}<p class="hint">{escape(growth)}</p></section>'
    ends = ", ".join(
        f"{axis.name} {scale.number(growth.best[axis.name])} to "
        f"{f'{scale.number(growth.reference[axis.name])} {scale.unit}'.rstrip()}"
        for axis in front.axes
        for scale in [scales[axis.name]]
    )
    where = "on the front" if len(front.axes) > 1 else "found"
    thinned = " The curve has its most telling steps." if growth.thinned else ""
    return (
        f'{heading}<p class="hint">Share of the box between the best values found and a tenth '
        f"beyond the worst ones {where} ({escape(ends)}). Higher is better; where it is flat, "
        f'more evaluations did not pay.{thinned}</p><div id="growth-plot" class="plot"></div>'
        "</section>"
    )


def reproduce_html(command: str | None, front: Front, *, study_name: str, storage: str) -> str:
    """Return how to make the same search again: command, seed, versions, where it is stored."""
    settings = front.settings or {}
    versions = settings.get("versions")
    known = versions.items() if isinstance(versions, dict) else ()
    listed = ", ".join(f"{name} {version}" for name, version in known)
    how = (
        f"<pre>{escape(command)}</pre>"
        if command
        else '<p class="hint">This search was made from Python. Its space, objectives and options '
        "stand under “All settings” below.</p>"
    )
    stored = f" in {escape(storage)}" if storage else ""
    seed = settings.get("seed")
    seeded = "" if seed is None else f" The seed is {escape(str(seed))}."
    return (
        f'<section id="reproduce"><h2>How to reproduce</h2>{how}'
        f'<p class="versions">Versions: {escape(listed) or "not stored"}.{seeded} Values that are '
        "counted or trained come out the same on the same machine and versions; measured ones come "
        f"out within their spread. Study <code>{escape(study_name)}</code>{stored}.</p></section>"
    )
