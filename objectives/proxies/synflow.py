"""`synflow`: the flow through a network of absolute weights.

All parameters are replaced by their absolute values, and an image of ones goes through. The score
is the logarithm of the sum, over all weights of convolutions and linear layers, of the absolute
weight times the derivative of the summed output by it.

References: Tanaka, Kunin, Yamins and Ganguli, *Pruning neural networks without any data by
iteratively conserving synaptic flow*, NeurIPS 2020, https://arxiv.org/abs/2006.05467; as a proxy:
Abdelfattah, Mehrotra, Dudziak and Lane, *Zero-Cost Proxies for Lightweight NAS*, ICLR 2021,
https://arxiv.org/abs/2101.08134.

As in the latter, normalisations are passed over and numbers have double precision. Deviations: the
logarithm; rectifiers are passed over too, as nothing is negative: it changes nothing for ReLU, and
keeps ReLU6 from cutting the flow off. Labels, images and `batch_size` do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from motemo.errors import EvaluationError
from motemo.objectives.proxies._activations import Named, Positional, is_rectifier
from motemo.objectives.proxies._weights import gradients, weights
from motemo.objectives.proxy import Batch, Proxy

_NORMALISATIONS = frozenset({"batch_norm", "instance_norm", "group_norm", "layer_norm"})


class _Linear(TorchFunctionMode):
    """Passes over normalisations and rectifiers."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Positional = (),
        kwargs: Named | None = None,
    ) -> object:
        named = kwargs or {}
        if getattr(func, "__name__", "") in _NORMALISATIONS or is_rectifier(func, args, named):
            return args[0] if args else named["input"]
        return func(*args, **named)


@final
@dataclass(frozen=True, kw_only=True)
class SynFlow(Proxy):
    """Logarithm of the synaptic flow."""

    name: str = field(default="synflow", init=False)

    def score(self, network: nn.Module, batch: Batch) -> float:
        """Return the logarithm of the flow, in nats."""
        network.double().eval()  # no dropout
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        layers = weights(network)
        ones = torch.ones_like(batch.images[:1], dtype=torch.float64)
        with _Linear():
            output = network(ones).sum()
        slopes = gradients(output, layers)
        flow = sum(float((w.detach() * g).abs().sum()) for w, g in zip(layers, slopes, strict=True))
        if flow == 0:
            raise EvaluationError("nothing flows from the input to the output")
        return math.log(flow)
