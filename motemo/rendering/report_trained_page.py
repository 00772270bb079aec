"""The part of a report on trained finalists: estimate and accuracy side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from motemo.front import Front
from motemo.rendering.quantities import Scale
from motemo.rendering.report_trained import FEWEST, Comparison, Pair
from motemo.rendering.summary import better_word


def trained_html(trained: Comparison | None, front: Front, scales: Mapping[str, Scale]) -> str:
    """Return estimate and trained accuracy side by side; empty without finalists."""
    if trained is None:
        return ""
    name = trained.axis.name
    if math.isfinite(trained.tau):
        said = f"Kendall's tau of the two is {trained.tau:.2f} (n = {trained.count})."
        said += " So few say little." if trained.count < 10 else ""
    else:
        said = f"No rank correlation: it needs {FEWEST} trained architectures that differ."
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
        _trained_row(pair, scales[name], index.get(pair.finalist.trial)) for pair in trained.pairs
    )
    return (
        '<section id="trained"><h2>Estimate and trained accuracy</h2>'
        f'<p class="hint">{escape(said)} Accuracy is on held-out validation images, with its 95 % '
        'interval.</p><div class="beside"><div id="trained-plot" class="plot"></div>'
        '<div id="curves-plot" class="plot"></div></div><div class="scroll">'
        '<table id="trained-table"><caption>What was trained, best accuracy first</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _trained_row(pair: Pair, scale: Scale, index: int | None) -> str:
    finalist = pair.finalist
    if finalist.val_accuracy is None or finalist.val_low is None or finalist.val_high is None:
        reached = f"failed: {escape(finalist.failure or 'no reason is stored')}"
    else:
        low, high = 100 * finalist.val_low, 100 * finalist.val_high
        reached = f"{100 * finalist.val_accuracy:.1f} <small>{low:.1f} to {high:.1f}</small>"
    estimate = "-" if pair.estimate is None else escape(scale.number(pair.estimate))
    cells = (
        f'<button type="button" class="pick" aria-pressed="false">{finalist.trial}</button>',
        estimate,
        str(pair.estimate_rank or "-"),
        reached,
        str(pair.rank or "-"),
        f"{len(finalist.curve)} of {finalist.epochs}",
    )
    mark = "" if index is None else f' data-index="{index}"'
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
