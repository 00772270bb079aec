"""Where the nodes of a graph without cycles stand: in layers, from left to right.

Reference: Sugiyama, Tagawa and Toda, *Methods for Visual Understanding of Hierarchical System
Structures*, IEEE Transactions on Systems, Man, and Cybernetics, 1981. A node stands one layer
after the last that it reads; an edge over several layers passes a bend in each of them, which has
room of its own, so that no edge runs across a node.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

_GAP, _BEND = 16.0, 8.0
"""Pixels between two nodes of a layer, and the height of a bend."""
_STARTS, _SWEEPS, _ROUNDS = 12, 8, 40
_STRAIGHT = 20.0
"""How much more it counts that a long edge is straight than that a short one is."""

Layers: TypeAlias = list[list[int]]
"""The nodes and bends of each layer, from top to bottom."""
Piece: TypeAlias = tuple[int, int, float, float]
"""A piece of an edge between two layers: the items that it joins, how far below the middle of the
second it ends, and how much it counts that it is straight."""


@dataclass(frozen=True)
class Link:
    """An edge: its nodes, and how far below the middle of the target it ends, in pixels."""

    source: int
    target: int
    offset: float = 0.0


@dataclass(frozen=True)
class Placed:
    """A graph with a place for everything; bends are numbered after the nodes.

    Attributes:
        layers: Nodes and bends of each layer, from top to bottom.
        layer_of: Number of the layer of each node and bend.
        paths: Of each link its source, its bends and its target.
        middles: Height of the middle of each node and bend, in pixels; the highest is at 0.
        height: Of everything together.
    """

    layers: Layers
    layer_of: list[int]
    paths: list[list[int]]
    middles: list[float]
    height: float


def place(heights: Sequence[float], links: Sequence[Link]) -> Placed:
    """Place nodes of these heights, in pixels, with these edges between them."""
    layer_of = layers_of(len(heights), links)
    paths = [_path(link, layer_of) for link in links]
    sizes = [*heights, *[_BEND] * (len(layer_of) - len(heights))]
    pieces = [*_pieces(links, paths, nodes=len(heights))]
    layers: Layers = [[] for _ in range(max(layer_of) + 1)]
    for item, number in enumerate(layer_of):
        layers[number].append(item)
    layers = _ordered(layers, pieces)
    middles = _middles(layers, pieces, sizes)
    top = min(middle - size / 2 for middle, size in zip(middles, sizes, strict=True))
    bottom = max(middle + size / 2 for middle, size in zip(middles, sizes, strict=True))
    return Placed(layers, layer_of, paths, [middle - top for middle in middles], bottom - top)


def _path(link: Link, layer_of: list[int]) -> list[int]:
    """Return what an edge passes; its bends are put into their layers."""
    between = range(layer_of[link.source] + 1, layer_of[link.target])
    first = len(layer_of)
    layer_of.extend(between)
    return [link.source, *range(first, first + len(between)), link.target]


def layers_of(nodes: int, links: Sequence[Link]) -> list[int]:
    """Return the layer of each node: one more than the last that it reads.

    A node with room on both sides stands in the middle between what it reads and what reads it.
    """
    layer = [0] * nodes
    for _ in range(nodes):
        for link in links:
            layer[link.target] = max(layer[link.target], layer[link.source] + 1)
    for node in range(nodes):
        sources = [layer[link.source] for link in links if link.target == node]
        targets = [layer[link.target] for link in links if link.source == node]
        if sources and targets:
            layer[node] = (max(sources) + min(targets)) // 2
    return layer


def _pieces(
    links: Sequence[Link], paths: Sequence[Sequence[int]], *, nodes: int
) -> Iterable[Piece]:
    for link, path in zip(links, paths, strict=True):
        for one, other in pairwise(path):
            offset = link.offset if other == link.target else 0.0
            yield one, other, offset, _STRAIGHT if max(one, other) >= nodes else 1.0


def _ordered(layers: Layers, pieces: Sequence[Piece]) -> Layers:
    """Return an order of each layer with few crossings.

    Layers are sorted by where their neighbours stand, forth and back, from several beginnings.
    """
    rng = random.Random(0)  # noqa: S311  (no secret: the same picture each time)
    best, fewest = layers, _crossings(layers, pieces)
    for start in range(_STARTS):
        tried = [rng.sample(layer, len(layer)) if start else [*layer] for layer in layers]
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            for number in range(len(tried)) if forth else reversed(range(len(tried))):
                tried[number] = _sorted(tried, number, pieces, forth=forth)
            crossings = _crossings(tried, pieces)
            if crossings < fewest:
                best, fewest = [*map(list, tried)], crossings
        if not fewest:
            break
    return best


def _sorted(layers: Layers, number: int, pieces: Sequence[Piece], *, forth: bool) -> list[int]:
    """Return a layer in the order of its items' mean neighbour in the layer before, or after."""
    neighbours = layers[number - 1 : number] if forth else layers[number + 1 : number + 2]
    where = {item: place for layer in neighbours for place, item in enumerate(layer)}
    own = {item: place for place, item in enumerate(layers[number])}
    found: dict[int, list[int]] = {item: [] for item in own}
    for one, other, _, _ in pieces:
        near, far = (other, one) if forth else (one, other)
        if near in own:
            found[near].append(where[far])
    scale = max(len(where), 1) / len(own)
    mean = {
        item: sum(places) / len(places) if places else own[item] * scale
        for item, places in found.items()
    }
    return sorted(own, key=lambda item: (mean[item], own[item]))


def _crossings(layers: Layers, pieces: Sequence[Piece]) -> int:
    where = {item: (n, place) for n, layer in enumerate(layers) for place, item in enumerate(layer)}
    between: list[list[tuple[int, tuple[int, float]]]] = [[] for _ in layers]
    for one, other, offset, _ in pieces:
        number, place = where[one]
        between[number].append((place, (where[other][1], offset)))
    return sum(
        one[0] < other[0] and one[1] > other[1]
        for ends in between
        for one in ends
        for other in ends
    )


def _middles(layers: Layers, pieces: Sequence[Piece], heights: Sequence[float]) -> list[float]:
    """Return the middle of each item: as close to its neighbours as order and gaps allow."""
    before: list[list[tuple[int, float, float]]] = [[] for _ in heights]
    after: list[list[tuple[int, float, float]]] = [[] for _ in heights]
    for one, other, offset, weight in pieces:
        before[other].append((one, -offset, weight))
        after[one].append((other, offset, weight))
    middles = [0.0] * len(heights)
    for number in range(_ROUNDS):
        forth = number % 2 == 0
        both = number >= _ROUNDS // 2
        for layer in layers if forth else reversed(layers):
            wanted = []
            for item in layer:
                near = [*before[item], *after[item]] if both else (before if forth else after)[item]
                weight = sum(w for *_, w in near)
                total = sum(w * (middles[other] + shift) for other, shift, w in near)
                wanted.append((total / weight, weight) if near else (middles[item], 0.1))
            for item, middle in zip(layer, _settled(layer, wanted, heights), strict=True):
                middles[item] = middle
    return middles


def _settled(
    layer: Sequence[int], wanted: Sequence[tuple[float, float]], heights: Sequence[float]
) -> list[float]:
    """Return places in a layer by weighted least squares: in order, and with gaps between.

    Without the gaps that is isotonic regression (pool adjacent violators): neighbours in the wrong
    order share a place.
    """
    offsets = [0.0]
    for one, other in pairwise(layer):
        offsets.append(offsets[-1] + (heights[one] + heights[other]) / 2 + _GAP)
    pools: list[tuple[float, float, int]] = []
    for (place_, weight), offset in zip(wanted, offsets, strict=True):
        pools.append((place_ - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, v, m), (b, w, n) = pools[-2:]
            pools[-2:] = [((a * v + b * w) / (v + w), v + w, m + n)]
    free = [place_ for place_, _, count in pools for _ in range(count)]
    return [place_ + offset for place_, offset in zip(free, offsets, strict=True)]
