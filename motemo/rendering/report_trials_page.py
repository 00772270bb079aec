"""The parts of a report on trials: everything evaluated, and what was left out and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from motemo.front import Front
from motemo.rendering.page import TRIAL, head_html, value_heads
from motemo.rendering.quantities import Scale
from motemo.rendering.report_trials import MEANING, Fate, Outcome

_MOST_REASONS = 12


def evaluated_html(front: Front, scales: Mapping[str, Scale]) -> str:
    """Return the table of everything evaluated, which the script fills."""
    if not front.evaluated:
        return ""
    return (
        '<section id="evaluated" class="screen"><h2>Everything evaluated</h2>'
        '<div class="controls"><label><span>search</span><input type="search" id="evaluated-find" '
        'placeholder="trial or part of a genotype" autocomplete="off"></label></div>'
        '<div class="scroll"><table id="evaluated-table"><caption><span id="evaluated-table-count">'
        "</span> architectures; click a heading to sort.</caption>"
        f"<thead><tr>{''.join(value_heads(front, scales))}</tr></thead><tbody></tbody></table>"
        '</div><button type="button" class="more" id="evaluated-table-more" hidden></button>'
        "</section>"
    )


def left_out_html(fates: Sequence[Fate]) -> str:
    """Return what became of all trials: counts with what they mean, reasons, a list."""
    counts = Counter(fate.outcome for fate in fates)
    if not fates:
        return ""
    bar = "".join(
        f'<i class="{outcome.value.replace(" ", "-")}" style="flex:{counts[outcome]}"></i>'
        for outcome in Outcome
        if counts[outcome]
    )
    items = "".join(
        f"<li><b>{counts[outcome]:,}</b>{outcome.value}<span>{MEANING[outcome]}</span></li>"
        for outcome in Outcome
        if counts[outcome]
    )
    others = [fate for fate in fates if fate.outcome is not Outcome.EVALUATED]
    left_out = f"; {len(others):,} of them are not among the evaluated" if others else ""
    return (
        '<section id="left-out"><h2>What became of every trial</h2>'
        f'<p class="hint">{len(fates):,} trials were made{left_out}.</p>'
        f'<div class="split" aria-hidden="true">{bar}</div>'
        f'<ul class="fates">{items}</ul>{_reasons(others)}{_others_table(others)}</section>'
    )


def _reasons(others: Sequence[Fate]) -> str:
    """Return the most frequent reasons; numbers in them are read as equal."""
    alike: dict[str, list[Fate]] = {}
    for fate in others:
        if fate.reason and fate.outcome is not Outcome.DUPLICATE:
            kind = f"{fate.outcome.value}: {re.sub(r'[0-9][0-9.e+-]*', '#', fate.reason)}"
            alike.setdefault(kind, []).append(fate)
    if not alike:
        return ""
    most = sorted(alike.values(), key=len, reverse=True)
    items = "".join(
        f"<li>{len(found):,} × {found[0].outcome.value}: {escape(found[0].reason)}"
        f"{' (and alike)' if len({fate.reason for fate in found}) > 1 else ''}</li>"
        for found in most[:_MOST_REASONS]
    )
    left = len(most) - _MOST_REASONS
    rest = f"<li>and {left:,} rarer reasons, in the list below</li>" if left > 0 else ""
    return f'<h3>Reasons, the most frequent first</h3><ul class="reasons">{items}{rest}</ul>'


def _others_table(others: Sequence[Fate]) -> str:
    if not others:
        return ""
    options = "".join(
        f'<option value="{outcome.value}">{outcome.value}</option>'
        for outcome in Outcome
        if any(fate.outcome is outcome for fate in others)
    )
    heads = (
        head_html("trial", TRIAL),
        head_html("outcome", "outcome"),
        head_html("reason", "reason"),
        head_html("architecture", "arch"),
    )
    return (
        '<div class="screen"><h3>List</h3><div class="controls"><label><span>outcome</span>'
        f'<select id="others-kind" autocomplete="off"><option value="">all</option>{options}'
        "</select></label></div>"
        '<div class="scroll"><table id="others-table"><caption><span id="others-table-count">'
        "</span> trials without an evaluation; click a heading to sort.</caption>"
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody></tbody></table></div>"
        '<button type="button" class="more" id="others-table-more" hidden></button></div>'
    )
