"""The graph of a network, if it is one and the same whenever it is run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

import numpy as np
import torch
from torch import fx, nn

from motemo.errors import EvaluationError


class NotFollowedError(EvaluationError):
    """A network cannot be followed; says why."""


def traced(network: nn.Module) -> fx.GraphModule:
    """Return what torch.fx sees of a network; the network's own modules are in the result.

    Raises:
        NotFollowedError: It cannot be traced; or what it does depends on chance, or on whether it
            is trained or evaluated, by more than modules of torch.
    """
    with _drawing_nothing():
        graph = _trace(network, training=True)
        evaluated = _trace(network, training=False)
    if graph.code != evaluated.code or not _same_constants(graph, evaluated):
        raise NotFollowedError("it does something else in training than in evaluation")
    return graph


def reason_of(error: Exception) -> str:
    """Return the first line of what an exception says."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]


def _trace(network: nn.Module, *, training: bool) -> fx.GraphModule:
    modes = {module: module.training for module in network.modules()}
    attributes = [*vars(network)]
    try:
        network.train(training)
        return fx.symbolic_trace(network)
    except Exception as error:  # a user's own network may raise anything
        raise NotFollowedError(f"torch.fx cannot trace it: {reason_of(error)}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode
        for name in vars(network).keys() - attributes:
            delattr(network, name)  # constants; the graph has them by now


@contextmanager
def _drawing_nothing() -> Iterator[None]:
    """Refuse random numbers that are drawn while tracing: they would become constants."""
    before = _random_states()
    with torch.random.fork_rng(devices=[]):
        yield
        if _random_states() != before:
            raise NotFollowedError("it draws random numbers that torch.fx would take for constants")


def _random_states() -> tuple[bytes, object, str]:
    state = np.random.get_state()  # noqa: NPY002  (a user's own network may draw from it)
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), str(state)


def _same_constants(one: fx.GraphModule, other: fx.GraphModule) -> bool:
    """Return whether the tensors that stand in two graphs of the same code are equal."""
    paths = [str(node.target) for node in one.graph.nodes if node.op == "get_attr"]
    pairs = ((attrgetter(path)(one), attrgetter(path)(other)) for path in paths)
    return all(a is b or torch.equal(a, b) for a, b in pairs)
