"""Following a network: which widths it has, and which of them must stay equal.

The network is traced by torch.fx, and a copy of it is run once on the meta device, where tensors
have shapes and no numbers. Every operator is told what it does to sizes by `operators`; one that
is unknown freezes the widths that it sees.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx, nn

from motemo.space import Shape
from motemo.spaces.shrinking.calls import BATCH, Call, Followed, paired
from motemo.spaces.shrinking.cost import multiply_adds
from motemo.spaces.shrinking.operators import axes_of
from motemo.spaces.shrinking.tracing import NotFollowedError, reason_of, traced


def follow(network: nn.Module, input_shape: Shape) -> Followed:
    """Return a network with its widths; it must map images `(N, C, H, W)` to logits.

    The network's own modules are in the result.

    Raises:
        NotFollowedError: It cannot be traced, or not run.
    """
    followed = Followed(traced(network))
    try:
        with torch.device("meta"), torch.no_grad():
            shapes_only = copy.deepcopy(followed.graph).to("meta").eval()
            _Follower(shapes_only, followed).run(torch.empty(BATCH, *input_shape))
    except Exception as error:
        raise NotFollowedError(f"following it failed: {reason_of(error)}") from error
    if followed.has_unknown:
        whole = multiply_adds(network, input_shape)
        followed.other_cost = max(0.0, whole - followed.multiply_adds({}))
    return followed


class _Follower(fx.Interpreter):
    """Runs a graph and notes the axes of every tensor."""

    def __init__(self, network: fx.GraphModule, followed: Followed) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.followed = followed
        self.known: dict[fx.Node, tuple[Any, Any]] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401  (torch's signature)
        """Run an operator, and check that the sizes of its axes are those of its result."""
        result = super().run_node(n)
        axes = axes_of(Call(n, result, self.followed, self.known))
        for tensor, its in paired(result, axes):
            sizes = [self.followed.sizes.size(axis) for axis in its]
            if sizes != list(tensor.shape):
                raise NotFollowedError(f"{n.op} {n.target}: {sizes} is not {list(tensor.shape)}")
        self.known[n] = result, axes
        return result
