"""What pictures of cells show: their operations, and where each stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from motemo.drawing import Block, Chain, Edge, Graph, Kind, Node, Operation, Stage

_LABELS: dict[str, tuple[str, Kind]] = {
    "none": ("none", "none"),
    "skip_connect": ("skip", "skip"),
    "nor_conv_1x1": ("conv 1×1", "conv_1"),
    "nor_conv_3x3": ("conv 3×3", "conv_3"),
    "conv1x1-bn-relu": ("conv 1×1", "conv_1"),
    "conv3x3-bn-relu": ("conv 3×3", "conv_3"),
    "avg_pool_3x3": ("avg 3×3", "average"),
    "max_pool_3x3": ("max 3×3", "maximum"),
    "maxpool3x3": ("max 3×3", "maximum"),
    "sep_conv_3x3": ("sep 3×3", "separable_3"),
    "sep_conv_5x5": ("sep 5×5", "separable_5"),
    "dil_conv_3x3": ("dil 3×3", "dilated_3"),
    "dil_conv_5x5": ("dil 5×5", "dilated_5"),
}
"""Short forms of the published names of operations, and their colours."""


def operation(name: str) -> Operation:
    """Return the box of an operation with this published name."""
    label, kind = _LABELS.get(name, (name, "plain"))
    return Operation(label, kind, name)


def operation_node(name: str) -> Node:
    """Return a node of one operation with this published name."""
    return Node((operation(name),))


def plain_node(label: str) -> Node:
    """Return a node without an operation that is searched."""
    return Node((Operation(label, "node"),))


def edge_cell(edges: Sequence[tuple[int, int, str]]) -> Graph:
    """Return a cell whose edges, `(source, target, operation)`, carry the operations."""
    nodes = [plain_node(str(number)) for number in range(max(edge[1] for edge in edges) + 1)]
    lines = []
    for source, target, name in edges:
        lines.append(Edge(source, len(nodes), faint=name == "none"))
        lines.append(Edge(len(nodes), target, faint=name == "none"))
        nodes.append(operation_node(name))
    return Graph("cell", tuple(nodes), tuple(lines))


def network_around(*labels: str) -> Chain:
    """Return the network around a cell as one row; labels with a cell in them stand out."""
    return Chain("network", (Stage(tuple(_blocks(labels))),))


def _blocks(labels: Iterable[str]) -> Iterable[Block]:
    for label in labels:
        yield Block(Operation(label, "node" if "cell" in label else "plain"))
