"""Counting: parameters, and fused multiply-adds by operator.

The one file that imports fvcore. FLOPs are fused multiply-adds, counted once each, of
convolutions, linear layers and matrix products, attention included; a bias counts as one
multiply-add per output, as in the published NAS-Bench-201 figures, and is a row of its own, so
that figures without it can be had too. Every other operator is listed apart: with its number of
element operations where fvcore or the handlers below know it, else by name among the uncounted.
"""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from motemo.space import Shape
from motemo.threads import single_threaded

MULTIPLY_ADDS = frozenset(
    {"conv", "linear", "addmm", "mm", "bmm", "matmul", "einsum", "attention", "bias"}
)
"""Names of the operators whose count is a number of multiply-adds."""


@dataclass(frozen=True)
class OperatorCounts:
    """Operations of one forward pass of one image.

    Attributes:
        multiply_adds: Multiply-adds by operator: convolutions, linear layers, matrix products,
            and the biases of these.
        others: Element operations of other operators by name, such as `batch_norm` or `add`.
        uncounted: Calls of operators that nobody could count, by name.
    """

    multiply_adds: dict[str, int]
    others: dict[str, int]
    uncounted: dict[str, int]

    @property
    def flops(self) -> int:
        """Fused multiply-adds in all."""
        return sum(self.multiply_adds.values())


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters, a shared one counted once."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_parameters_by_module(network: nn.Module) -> dict[str, int]:
    """Return the trainable parameters by kind of module, a shared one at the first that has it."""
    counts: Counter[str] = Counter()
    seen: set[nn.Parameter] = set()
    for module in network.modules():
        own = {p for p in module.parameters(recurse=False) if p.requires_grad} - seen
        seen |= own
        if own:
            counts[type(module).__name__] += sum(p.numel() for p in own)
    return dict(sorted(counts.items()))


def count_operators(network: nn.Module, input_shape: Shape) -> OperatorCounts:
    """Count what one forward pass in evaluation mode computes for one image `(1, C, H, W)`.

    Modules whose output nobody uses count too: they are executed. The network is left as it was.
    """
    with warnings.catch_warnings(), single_threaded():
        warnings.simplefilter("ignore")  # fvcore and torch's tracer warn of their own ageing
        from fvcore.nn import FlopCountAnalysis, jit_handles

        witness = _Witness(copy.deepcopy(network).eval())
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        analysis = FlopCountAnalysis(witness, torch.zeros(1, *input_shape, device=device))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle(**_HANDLERS)
        analysis.set_op_handle(
            **{
                "aten::_convolution": _with_bias("conv", jit_handles.conv_flop_jit, bias=2),
                "aten::linear": _with_bias("linear", jit_handles.linear_flop_jit, bias=2),
                "aten::addmm": _with_bias("addmm", jit_handles.addmm_flop_jit, bias=0),
            }
        )
        tracer = logging.getLogger("fvcore")
        level = tracer.level
        tracer.setLevel(logging.ERROR)
        try:
            counted: Counter[str] = analysis.by_operator()
            uncounted: Counter[str] = analysis.unsupported_ops()
        finally:
            tracer.setLevel(level)
    return OperatorCounts(
        multiply_adds={k: int(v) for k, v in sorted(counted.items()) if k in MULTIPLY_ADDS},
        others={k: int(v) for k, v in sorted(counted.items()) if k not in MULTIPLY_ADDS},
        uncounted={k: int(v) for k, v in sorted(uncounted.items())},
    )


class _Witness(nn.Module):
    """Returns what every leaf module returned, so that the tracer drops none as dead code."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._seen: list[torch.Tensor] = []
        for module in network.modules():
            if not any(module.children()):
                module.register_forward_hook(self._see)

    def _see(self, module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            self._seen.append(output)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self._seen.clear()
        return (self.network(x), *self._seen)


# What fvcore lacks. A handler takes the traced inputs and outputs of one operator call and
# returns a count under the name that it shall be listed by.
_Handler = Callable[[Sequence[Any], Sequence[Any]], "Counter[str]"]


def _shape(value: Any) -> list[int]:  # noqa: ANN401  (a value of a TorchScript graph)
    sizes = value.type().sizes()
    return list(sizes) if sizes is not None else []


def _elements(name: str) -> _Handler:
    """Count one operation per output element."""

    def handler(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        return Counter({name: math.prod(_shape(outputs[0]))})

    return handler


def _window(name: str) -> _Handler:
    """Count one operation per element of the pooling window of each output element."""

    def handler(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        window = math.prod(size.toIValue() for size in inputs[1].node().inputs())
        return Counter({name: math.prod(_shape(outputs[0])) * window})

    return handler


def _with_bias(name: str, count: Callable[..., Any], *, bias: int) -> _Handler:
    """Add to fvcore's count the bias, which it leaves out; `bias` is its place among the inputs."""

    def handler(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
        counted = count(inputs, outputs)
        total = Counter(counted) if isinstance(counted, Counter) else Counter({name: counted})
        if not inputs[bias].node().mustBeNone():
            total["bias"] = math.prod(_shape(outputs[0]))
        return total

    return handler


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> Counter[str]:
    """Count both matrix products of scaled-dot-product attention."""
    *batch, queries, depth = _shape(inputs[0])
    keys, values = _shape(inputs[1])[-2], _shape(inputs[2])[-1]
    return Counter({"attention": math.prod(batch) * queries * keys * (depth + values)})


_MOVES = ("pad", "constant_pad_nd", "channel_shuffle", "unflatten")
"""Operators that move numbers and compute none."""
_HANDLERS: dict[str, _Handler | None] = {
    "aten::scaled_dot_product_attention": _attention,
    **{
        f"aten::{name}": _elements(name.rstrip("_"))
        for name in (
            *("add", "add_", "sub", "mul", "mul_", "div", "rsub", "mean", "sum", "exp", "pow"),
            *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "hardswish", "hardswish_"),
            *("hardsigmoid", "hardsigmoid_", "silu", "silu_", "sigmoid", "tanh", "gelu", "elu"),
            *("leaky_relu", "leaky_relu_", "softmax", "log_softmax", "clamp"),
            "upsample_bilinear2d",
        )
    },
    **{f"aten::{name}": _window(name) for name in ("avg_pool2d", "max_pool2d")},
    **{f"aten::{name}": None for name in _MOVES},
}
