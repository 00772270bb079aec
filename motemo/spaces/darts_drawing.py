"""What pictures of DARTS show: both cells, and the network that they make."""

from __future__ import annotations

from motemo.drawing import Drawing, Edge, Graph, Node
from motemo.spaces.cell_drawing import network_around, operation, plain_node
from motemo.spaces.darts_cell import NODES, Cell


def draw_cells(normal: Cell, reduce: Cell, *, cells: int, channels: int, stem: str) -> Drawing:
    """Return the cells and the network of `cells` cells; `channels` are those of a node."""
    third, two_thirds = cells // 3, 2 * cells // 3
    runs = (third, two_thirds - third - 1, cells - two_thirds - 1)
    labels = ["conv 3×3" if stem == "cifar" else "convs, /8"]
    for number, run in enumerate(runs):
        labels += ["reduction"] if number else []
        labels += [f"{run} cells, {channels * 2**number} ch"] if run else []
    network = network_around(*labels, "classifier")
    return Drawing((_graph("normal cell", normal), _graph("reduction cell", reduce), network))


def _graph(title: str, cell: Cell) -> Graph:
    """Return the cell: the outputs of the two cells before it, its nodes, what joins them."""
    nodes = [plain_node("cell k-2"), plain_node("cell k-1")]
    edges = []
    pairs = zip(cell[::2], cell[1::2], strict=True)
    for node, pair in zip(NODES, pairs, strict=True):
        nodes.append(Node(tuple(operation(name) for name, _ in pair), f"node {node}"))
        edges += [
            Edge(source, node, number, faint=name == "none")
            for number, (name, source) in enumerate(pair)
        ]
    edges += [Edge(node, len(nodes)) for node in NODES]
    return Graph(title, (*nodes, plain_node("concat")), tuple(edges))
