"""What the picture of an architecture shows: graphs of operations, chains of blocks, genes.

A space describes (`Space.drawing`); where things stand and what they look like is decided by
`motemo/rendering/drawing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "none", "skip", "plain", "node", "average", "maximum", "attention",
    "conv_1", "conv_3", "conv_5", "conv_7",
    "separable_3", "separable_5", "dilated_3", "dilated_5",
]  # fmt: skip
"""What colours stand for. `plain` is what is not searched, `node` a sum, `none` a zero."""


@dataclass(frozen=True)
class Operation:
    """A box with a text.

    Attributes:
        label: What is written in the box; short.
        kind: Its colour.
        name: The full name, for a pointer that rests on it and for screen readers; the label if
            empty.
    """

    label: str
    kind: Kind = "plain"
    name: str = ""


@dataclass(frozen=True)
class Node:
    """A node of a graph: one operation, or several below each other whose results are added."""

    operations: tuple[Operation, ...]
    caption: str = ""


@dataclass(frozen=True)
class Edge:
    """An edge of a graph, into one of the operations of its target; faint if it passes nothing."""

    source: int
    target: int
    operation: int = 0
    faint: bool = False


@dataclass(frozen=True)
class Graph:
    """Nodes and edges without cycles; the first nodes are the inputs."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Block:
    """An operation in a chain.

    Attributes:
        operation: What is written in it.
        width: How wide it is, from 0 to 1 of the widest that there can be.
        height: How high it is, in the same way.
    """

    operation: Operation
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class Stage:
    """Blocks in a row, with a name and a remark such as the channels."""

    blocks: tuple[Block, ...]
    name: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Chain:
    """Stages one after the other; the remark says what width and height stand for."""

    title: str
    stages: tuple[Stage, ...]
    remark: str = ""


@dataclass(frozen=True)
class Setting:
    """A gene, its value, and the values that it may have."""

    name: str
    value: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """Genes in a column."""

    title: str
    settings: tuple[Setting, ...]


Panel: TypeAlias = Graph | Chain | Settings


@dataclass(frozen=True)
class Drawing:
    """Panels, from top to bottom."""

    panels: tuple[Panel, ...]
