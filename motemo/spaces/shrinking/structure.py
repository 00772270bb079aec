"""What a network is, apart from the values of its random weights."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Set
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import fx, nn

from motemo.spaces.shrinking.tracing import NotFollowedError, traced

_STATE = ("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
_LOOKED_AT = 64
"""Of a parameter, so many values are looked at to see whether they are random."""


def structure(network: nn.Module) -> Hashable:
    """Return a value that is equal for two networks that compute the same, weights aside.

    Names do not matter where the network can be traced, nor does the order of branches.
    """
    try:
        return _of_graph(network if isinstance(network, fx.GraphModule) else traced(network))
    except NotFollowedError:
        return signature(network)


def signature(module: nn.Module, shared: Set[torch.Tensor] = frozenset()) -> tuple[Any, ...]:
    """Return a value that is equal for two modules of the same structure, weights aside.

    An attribute that cannot be compared is equal to itself alone. A module with a weight that is
    `shared` is equal to none.
    """
    own = {name: value for name, value in vars(module).items() if name not in _STATE}
    tensors = {**module._parameters, **module._buffers}
    return (
        type(module),
        tuple((name, _described(value)) for name, value in sorted(own.items())),
        tuple(
            (name, _Only(object()) if tensor in shared else _described(tensor))
            for name, tensor in tensors.items()
        ),
        tuple(
            (name, None if child is None else signature(child, shared))
            for name, child in module._modules.items()
        ),
    )


def shared_weights(network: nn.Module) -> Set[torch.Tensor]:
    """Return the parameters that stand in several places of a network."""
    places = Counter(p for m in network.modules() for p in m._parameters.values() if p is not None)
    return {parameter for parameter, count in places.items() if count > 1}


@dataclass(frozen=True, eq=False)
class _Only:
    """Something that is equal to itself alone."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Only) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _described(value: object) -> Hashable:
    """Return a value that is equal for two objects if these are known to mean the same."""
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes() | torch.device():
            return type(value), repr(value)
        case torch.Tensor():
            random = isinstance(value, nn.Parameter) and _is_random(value)
            return (
                (tuple(value.shape), str(value.dtype), value.requires_grad),
                None if random else _digest(value),
            )
        case tuple() | list():
            return type(value), tuple(map(_described, value))
        case set() | frozenset():
            return type(value), frozenset(map(_described, value))
        case dict():
            return type(value), tuple((_described(k), _described(v)) for k, v in value.items())
        case slice():
            return slice, _described((value.start, value.stop, value.step))
        case partial():
            return partial, _described((value.func, value.args, value.keywords))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return type(value), _described([getattr(value, f.name) for f in fields(value)])
    return _Only(value)


def _is_random(parameter: nn.Parameter) -> bool:
    """Return whether most values differ from one another, as those of an initialiser by chance."""
    some = parameter.detach().flatten()[:_LOOKED_AT]
    return parameter.is_meta or 2 * len(set(some.tolist())) > len(some) > 1


def _digest(tensor: torch.Tensor) -> str:
    if tensor.is_meta:
        return ""
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return hashlib.sha256(raw.tobytes()).hexdigest()


def _of_graph(network: fx.GraphModule) -> Hashable:
    """Return a digest of what is computed: of each operator, and of the digests of what it takes.

    Weights are numbered in the order in which they are used, to tell shared ones.
    """
    known: dict[fx.Node, str] = {}
    numbers: dict[torch.Tensor, int] = {}
    for node in network.graph.nodes:
        taken = _described(fx.node.map_arg((node.args, node.kwargs), known.__getitem__))
        what: Hashable = _described(node.target)
        if node.op == "call_module":
            module = network.get_submodule(str(node.target))
            if isinstance(module, nn.Identity):
                known[node] = known[node.all_input_nodes[0]]
                continue
            weights = [numbers.setdefault(p, len(numbers)) for p in module.parameters()]
            what = signature(module), tuple(weights)
        elif node.op == "get_attr":
            found: Any = network
            for name in str(node.target).split("."):
                found = getattr(found, name)
            shared = isinstance(found, nn.Parameter) and numbers.setdefault(found, len(numbers))
            what = _described(found), shared
        elif node.op in ("placeholder", "output"):
            what = None
        known[node] = f"{node.op} {hash((what, taken))}"
    return known[node]
