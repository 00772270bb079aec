"""The part of a report on genes: a table with a bar in every cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape

from motemo.front import Front
from motemo.rendering.report_importance import Importance, good_share

_MOST_GENES = 24


def importance_html(importance: Mapping[str, Importance], front: Front) -> str:
    """Return the table of genes by objective, with a bar in every cell."""
    known = {name: found for name, found in importance.items() if found.shares}
    heading = '<section id="importance"><h2>Which genes matter</h2>'
    missing = "".join(
        f'<p class="hint">{escape(name)}: {escape(found.reason)}.</p>'
        for name, found in importance.items()
        if not found.shares
    )
    if not known:
        return f"{heading}{missing}</section>" if importance else ""
    total = Counter[str]()
    for found in known.values():
        total.update(found.shares)
    genes = [gene for gene, _ in total.most_common()]
    most = max(max(found.shares.values()) for found in known.values())
    rows = "".join(
        f'<tr><td class="text"><code>{escape(gene)}</code></td>'
        + "".join(_share(found.shares.get(gene), most) for found in known.values())
        + "</tr>"
        for gene in genes[:_MOST_GENES]
    )
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in known)
    left = len(genes) - _MOST_GENES
    more = f" The {left} least important genes are left out." if left > 0 else ""
    good = round(100 * good_share(max(len(front.evaluated), 1)))
    return (
        f'{heading}<p class="hint">How differently the values of a gene are distributed among the '
        f"best {good} % for an objective and among all evaluated (PED-ANOVA); each column adds up "
        f"to 100 %. It tells of what this search tried, not of the whole space, and with few "
        f"evaluations for many genes it is mostly chance.{more}</p>{missing}"
        '<div class="scroll"><table><caption>Importance of genes, in percent, the most important '
        'first</caption><thead><tr><th scope="col" class="text">gene</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _share(share: float | None, most: float) -> str:
    if share is None:
        return '<td class="share">-</td>'
    width = 100 * share / most if most else 0
    return (
        f'<td class="share"><i style="width:calc({width:.1f}% - {width / 100 * 16:.1f}px)"></i>'
        f"<b>{100 * share:.0f}</b></td>"
    )
