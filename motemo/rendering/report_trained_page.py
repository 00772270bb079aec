"""The part of a report on trained finalists: estimate and accuracy side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from motemo.comparison import Agreement, Compared, Comparison
from motemo.front import Front
from motemo.rendering.quantities import Scale
from motemo.rendering.summary import better_word

_FEW = 10


def trained_html(trained: Comparison | None, front: Front, scales: Mapping[str, Scale]) -> str:
    """Return estimate and trained accuracy side by side; empty without finalists."""
    if trained is None:
        return ""
    name, said = trained.axis.name, _agreement(trained.agreement)
    heads = (
        ("trial", ""),
        (name, f"estimate · {better_word(trained.axis)}"),
        ("rank", "by the estimate"),
        ("accuracy", "% of validation · higher"),
        ("rank", "by accuracy"),
        ("epochs", ""),
    )
    head = "".join(
        f'<th scope="col">{escape(text)}<small>{escape(unit)}</small></th>' for text, unit in heads
    )
    index = {member.trial: i for i, member in enumerate(front.evaluated)}
    rows = "".join(
        _trained_row(row, scales[name], index.get(row.finalist.trial))
        for row in sorted(trained.rows, key=_best_first)
    )
    return (
        '<section id="trained"><h2>Estimate and trained accuracy</h2>'
        f'<p class="hint">{escape(said)} Accuracy is on held-out validation images, with its 95 % '
        'interval.</p><div class="beside"><div id="trained-plot" class="plot"></div>'
        '<div id="curves-plot" class="plot"></div></div><div class="scroll">'
        '<table id="trained-table"><caption>What was trained, best accuracy first</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _agreement(found: Agreement) -> str:
    if math.isnan(found.tau):
        return "No rank correlation: that takes two trained finalists at least, not all alike."
    ends = ""
    if not math.isnan(found.tau_low):
        ends = f", 95 % interval {found.tau_low:.2f} to {found.tau_high:.2f}"
    few = " So few say little." if found.n < _FEW else ""
    return f"Kendall's tau of the two is {found.tau:.2f} (n = {found.n}{ends}).{few}"


def _best_first(row: Compared) -> tuple[float, int]:
    accuracy = row.finalist.val_accuracy
    return (math.inf if accuracy is None else -accuracy, row.finalist.trial)


def _trained_row(row: Compared, scale: Scale, index: int | None) -> str:
    finalist = row.finalist
    if finalist.val_accuracy is None or finalist.val_low is None or finalist.val_high is None:
        reached = f"failed: {escape(finalist.failure or 'no reason is stored')}"
    else:
        low, high = 100 * finalist.val_low, 100 * finalist.val_high
        reached = f"{100 * finalist.val_accuracy:.1f} <small>{low:.1f} to {high:.1f}</small>"
    cells = (
        f'<button type="button" class="pick" aria-pressed="false">{finalist.trial}</button>',
        escape(scale.number(row.estimate.value)),
        str(row.estimate_rank),
        reached,
        str(row.accuracy_rank or "-"),
        f"{len(finalist.curve)} of {finalist.epochs}",
    )
    mark = "" if index is None else f' data-index="{index}"'
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
