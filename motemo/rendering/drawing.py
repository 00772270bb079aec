"""Drawn architectures: one standalone SVG element as text.

It stands in a page or in a file of its own. In a page it takes the colour of the text around it,
so it is readable on whatever the page is; in a file it brings its own paper, light or dark as the
reader's system is. Colours tell kinds of operation apart, and each box has a text as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from motemo.drawing import Chain, Drawing, Graph, Operation, Panel
from motemo.rendering.chain_drawing import draw_chain
from motemo.rendering.graph_drawing import draw_graph
from motemo.rendering.settings_drawing import draw_settings
from motemo.rendering.svg import FONT, Piece, escaped, text, text_width

if TYPE_CHECKING:
    from motemo.space import Architecture

_STYLE = (
    ".motemo-drawing{max-width:100%;height:auto}"
    ".motemo-drawing:root{color:#1f2933}"
    ".motemo-drawing:root>.paper{fill:#fff}"
    "@media (prefers-color-scheme:dark){.motemo-drawing:root{color:#e6ebf0}"
    ".motemo-drawing:root>.paper{fill:#14191f}}"
)
"""`:root` is the picture itself in a file of its own, and never in a page. What is more than size
and paper stands in attributes, which every program for pictures understands."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
_MARGIN, _GAP, _TITLE = 12.0, 26.0, 24.0


def architecture_svg(architecture: Architecture) -> str:
    """Return a picture of an architecture as written: one `<svg>` element.

    It scales with the place that it has and is never wider than that. In a page, set `color` on
    what is around it.
    """
    drawing = architecture.space.drawing(architecture.genotype)
    return drawing_svg(drawing, title=f"{architecture.space.name}: {architecture.genotype}")


def drawing_svg(drawing: Drawing, *, title: str) -> str:
    """Return a drawing as one `<svg>` element; the title is for screen readers and tooltips."""
    y, right = _MARGIN, 0.0
    placed = []
    for panel in drawing.panels:
        piece = _draw(panel)
        placed.append(
            f'<g transform="translate({_MARGIN} {y:.1f})">'
            f"{text(0, 6, panel.title, style='title', anchor='start')}"
            f'<g transform="translate(0 {_TITLE})">{piece.elements}</g></g>'
        )
        y += _TITLE + piece.height + _GAP
        right = max(right, piece.width, 1.1 * text_width(panel.title, 11))
    width, height = right + 2 * _MARGIN, y - _GAP + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="motemo-drawing" role="img" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'fill="currentColor" font-family="{_FONT}" font-size="{FONT:g}">'
        f"<title>{escaped(title)}</title><desc>{escaped(_described(drawing))}</desc>"
        f"<style>{_STYLE}</style>"
        '<rect class="paper" fill="none" width="100%" height="100%" rx="10"/>'
        f"{''.join(placed)}</svg>"
    )


def _draw(panel: Panel) -> Piece:
    match panel:
        case Graph():
            return draw_graph(panel)
        case Chain():
            return draw_chain(panel)
    return draw_settings(panel)


def _described(drawing: Drawing) -> str:
    """Return what the picture shows, in words."""
    return " ".join(f"{panel.title}: {'; '.join(_parts(panel))}." for panel in drawing.panels)


def _parts(panel: Panel) -> list[str]:
    match panel:
        case Graph():
            return [
                f"{_said(panel, edge.source)} to "
                f"{_name(panel.nodes[edge.target].operations[edge.operation])}"
                for edge in panel.edges
            ]
        case Chain():
            return [
                f"{stage.name} {stage.remark} ".lstrip()
                + ", ".join(_name(block.operation) for block in stage.blocks)
                for stage in panel.stages
            ]
    return [f"{row.name} {row.value}" for row in panel.settings]


def _name(operation: Operation) -> str:
    return operation.name or operation.label


def _said(graph: Graph, node: int) -> str:
    return graph.nodes[node].caption or _name(graph.nodes[node].operations[0])
