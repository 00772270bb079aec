"""A network that is followed, and one operator of it as it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import fx

from motemo.spaces.shrinking.sizes import ONE, Atom, Axis, Sizes, constant

BATCH = 7
"""Images that a network is followed with; nothing of it may depend on their number."""

Axes: TypeAlias = "list[Axis]"
"""The axes of one tensor."""
Arguments: TypeAlias = tuple[Any, ...]
"""Arguments of an operator, as they stand in the program."""
NewSize: TypeAlias = Callable[[Axis], int]
"""Gives axes their new sizes."""


@dataclass
class Layer:
    """The axes of a module with weights.

    Attributes:
        inputs: The axis that its weights are summed over.
        outputs: The axis that it gives.
        groups: The number of its groups.
    """

    inputs: Axis
    outputs: Axis
    groups: Axis = ONE


@dataclass(frozen=True)
class Cost:
    """Multiply-adds of one operator for one image: a number times sizes, over sizes."""

    factor: float
    times: tuple[Axis, ...]
    over: Axis = ONE


@dataclass
class Followed:
    """A network and its widths.

    Attributes:
        graph: The traced network.
        sizes: Its widths.
        layers: Axes of its modules with weights, by path.
        parameters: Axes of parameters and buffers that its operators take by themselves, by path.
        unflattened: Axes that an `nn.Unflatten` makes of one, by path.
        literals: Where sizes stand in the program itself: how to write arguments anew, by node.
        costs: Multiply-adds of its operators.
        has_unknown: Whether there are operators that are not understood.
        other_cost: Multiply-adds of one image in these.
        widths: Axes that layers chose, rather than took over.
    """

    graph: fx.GraphModule
    sizes: Sizes = field(default_factory=Sizes)
    layers: dict[str, Layer] = field(default_factory=dict)
    parameters: dict[str, Axes] = field(default_factory=dict)
    unflattened: dict[str, Axes] = field(default_factory=dict)
    literals: dict[str, Callable[[Arguments, NewSize], Arguments]] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    has_unknown: bool = False
    other_cost: float = 0.0
    widths: list[Axis] = field(default_factory=list)

    def choose(self, size: int) -> Axis:
        """Return the axis of a width that a layer chooses."""
        axis = self.sizes.new(size)
        self.widths.append(axis)
        return axis

    def free(self) -> dict[Atom, int]:
        """Return the widths that may be changed, with their sizes."""
        atoms = {atom for axis in self.widths for atom in self.sizes.free(axis)}
        return {atom: self.sizes.original[atom] for atom in sorted(atoms)}

    def multiply_adds(self, widths: Mapping[Atom, int]) -> float:
        """Return the multiply-adds of one image: convolutions, linear layers, matrix products."""
        total = self.other_cost
        for cost in self.costs:
            product = cost.factor
            for axis in cost.times:
                product *= self.sizes.size(axis, widths)
            total += product / self.sizes.size(cost.over, widths)
        return total


@dataclass
class Call:
    """One operator as it is run.

    Attributes:
        node: Where it stands in the graph.
        result: What it gave: a tensor without numbers, several, or something else.
        followed: The network, and what is known of it so far.
        known: What the nodes before it gave, and the axes of that.
    """

    node: fx.Node
    result: Any
    followed: Followed
    known: Mapping[fx.Node, tuple[Any, Any]]

    @property
    def sizes(self) -> Sizes:
        """Its widths."""
        return self.followed.sizes

    def value(self, argument: Any) -> Any:  # noqa: ANN401
        """Return what an argument of the node was when it ran."""
        return fx.node.map_arg(argument, lambda node: self.known[node][0])

    @property
    def first(self) -> Any:  # noqa: ANN401
        """Return the axes of the first argument."""
        return self.axes(self.node.args[0]) if self.node.args else None

    def argument(self, place: int, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return an argument as it stands in the graph."""
        if place < len(self.node.args):
            return self.node.args[place]
        return self.node.kwargs.get(name, default)

    def axes(self, argument: Any) -> Any:  # noqa: ANN401
        """Return the axes of a node that is a tensor or several, else None."""
        return self.known[argument][1] if isinstance(argument, fx.Node) else None

    def tensors(self) -> list[Axes]:
        """Return the axes of all tensors that the operator takes."""
        return [its for node in self.node.all_input_nodes for _, its in paired(*self.known[node])]

    def unknown(self) -> Any:  # noqa: ANN401
        """Freeze all that the operator sees, and return axes that never change."""
        self.followed.has_unknown |= self.node.op != "output"
        for axes in self.tensors():
            self.sizes.freeze(*axes)
        return constants(self.result)


def constants(result: Any) -> Any:  # noqa: ANN401
    """Return axes that never change for a tensor or several."""
    if isinstance(result, torch.Tensor):
        return [constant(size) for size in result.shape]
    if isinstance(result, list | tuple):
        return [constants(one) for one in result]
    return None


def kept(call: Call, axes: Sequence[Axis], result: torch.Tensor) -> Axes:
    """Return axes of an operator that changes no width: those of other sizes are constant."""
    found: Axes = []
    for axis, size in zip(axes, result.shape, strict=True):
        if call.sizes.size(axis) != size:
            call.sizes.freeze(axis)
        found.append(axis if call.sizes.size(axis) == size else constant(size))
    return found


def paired(result: object, axes: Any) -> list[tuple[torch.Tensor, Axes]]:  # noqa: ANN401
    """Return the tensors of a result, each with its axes."""
    if isinstance(result, torch.Tensor):
        return [(result, axes)]
    if isinstance(result, list | tuple) and axes is not None:
        return [pair for one, its in zip(result, axes, strict=True) for pair in paired(one, its)]
    return []
