"""A graph of operations, drawn from left to right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from motemo.drawing import Graph, Node
from motemo.rendering.layers import Link, Placed, place
from motemo.rendering.svg import SMALL, Piece, Point, box, curve, lines, text, text_width

_ROW, _ROW_GAP, _PADDING, _CAPTION = 26.0, 4.0, 6.0, 15.0
"""Height of an operation, gap between two, and what a frame and a caption add, in pixels."""
_SIDE, _COLUMN_GAP, _LEAST = 18.0, 28.0, 26.0
"""What a box is wider than its text, gap between columns, and least width of a node."""


def draw_graph(graph: Graph) -> Piece:
    """Return the graph; its title is not drawn."""
    links = [
        Link(edge.source, edge.target, _offset(graph.nodes[edge.target], edge.operation))
        for edge in graph.edges
    ]
    placed = place([_height(node) for node in graph.nodes], links)
    table = _Table(graph.nodes, placed, _columns(graph.nodes, placed))
    faint, plain = "", ""
    for edge, link, path in zip(graph.edges, links, placed.paths, strict=True):
        line = curve([*table.run(path, link.offset)])
        faint, plain = (faint + line, plain) if edge.faint else (faint, plain + line)
    nodes = (_draw_node(node, *table.middle(n)) for n, node in enumerate(graph.nodes))
    drawn = (lines(faint, faint=True), lines(plain), *nodes)
    return Piece("".join(drawn), table.columns[-1][1], placed.height)


def _columns(nodes: Sequence[Node], placed: Placed) -> list[tuple[float, float]]:
    """Return from where to where the column of each layer is, in pixels."""
    widths = [
        max(_width(nodes[item]) if item < len(nodes) else 0.0 for item in layer)
        for layer in placed.layers
    ]
    lefts = accumulate((width + _COLUMN_GAP for width in widths), initial=0.0)
    return [(left, left + width) for left, width in zip(lefts, widths, strict=False)]


@dataclass(frozen=True)
class _Table:
    """A placed graph and its columns."""

    nodes: Sequence[Node]
    placed: Placed
    columns: Sequence[tuple[float, float]]

    def middle(self, item: int) -> Point:
        """Return the middle of a node or bend."""
        return sum(self._column(item)) / 2, self.placed.middles[item]

    def run(self, path: Sequence[int], offset: float) -> Iterator[Point]:
        """Yield where an edge runs: level in columns, so that it curves between them only.

        Args:
            path: Its source, its bends and its target.
            offset: How far below the middle of the target it ends.
        """
        source, *bends, target = path
        (x, y), node = self.middle(source), self.nodes[source]
        yield x + _width(node) / 2, y
        yield self._column(source)[1], y
        for bend in bends:
            left, right = self._column(bend)
            yield left, self.placed.middles[bend]
            yield right, self.placed.middles[bend]
        (x, y), node = self.middle(target), self.nodes[target]
        yield self._column(target)[0], y + offset
        yield x - _width(node) / 2 + _inset(node), y + offset

    def _column(self, item: int) -> tuple[float, float]:
        return self.columns[self.placed.layer_of[item]]


def _framed(node: Node) -> bool:
    return len(node.operations) > 1 or bool(node.caption)


def _inset(node: Node) -> float:
    return _PADDING if _framed(node) else 0.0


def _width(node: Node) -> float:
    labels = max(text_width(operation.label) + _SIDE for operation in node.operations)
    return max(_LEAST, labels, text_width(node.caption, SMALL)) + 2 * _inset(node)


def _height(node: Node) -> float:
    rows = len(node.operations) * (_ROW + _ROW_GAP) - _ROW_GAP
    return rows + 2 * _inset(node) + (_CAPTION if node.caption else 0.0)


def _offset(node: Node, operation: int) -> float:
    """Return how far below the middle of the node the middle of one of its operations is."""
    top = _inset(node) + (_CAPTION if node.caption else 0.0) - _height(node) / 2
    return top + operation * (_ROW + _ROW_GAP) + _ROW / 2


def _draw_node(node: Node, x: float, y: float) -> str:
    width, height, inset = _width(node), _height(node), _inset(node)
    left, top = x - width / 2, y - height / 2
    frame = (
        f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="11" fill="currentColor" fill-opacity=".05" '
        f'stroke="currentColor" stroke-opacity=".3"/>'
    )
    caption = text(x, top + _PADDING + SMALL / 2, node.caption, style="small")
    operations = (
        box(
            operation,
            left + inset,
            y + _offset(node, number) - _ROW / 2,
            width=width - 2 * inset,
            height=_ROW,
        )
        for number, operation in enumerate(node.operations)
    )
    drawn = (frame if _framed(node) else "", caption if node.caption else "", *operations)
    return "".join(drawn)
