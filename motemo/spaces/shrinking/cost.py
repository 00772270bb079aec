"""Multiply-adds of any network, followed or not."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from motemo.space import Shape


def multiply_adds(network: nn.Module, input_shape: Shape) -> float:
    """Return the multiply-adds of one image: convolutions, linear layers, matrix products.

    Biases are left out. A network that does not run on tensors without numbers is run for real.
    """
    try:
        with torch.device("meta"):
            return _counted(copy.deepcopy(network).to("meta"), input_shape)
    except Exception:  # noqa: BLE001  (a user's own network may raise anything)
        return _counted(copy.deepcopy(network), input_shape)


def run(network: nn.Module, input_shape: Shape) -> None:
    """Run a copy of a network in evaluation, without numbers if that works, else for real.

    Raises:
        Exception: Whatever the network raises.
    """
    try:
        with torch.device("meta"):
            _run(copy.deepcopy(network).to("meta"), input_shape)
    except Exception:  # noqa: BLE001  (a user's own network may raise anything)
        _run(copy.deepcopy(network), input_shape)


def _counted(network: nn.Module, input_shape: Shape) -> float:
    with FlopCounterMode(display=False) as counter:
        _run(network, input_shape)
    return int(counter.get_total_flops()) / 2


def _run(network: nn.Module, input_shape: Shape) -> None:
    with torch.no_grad():
        network.eval()(torch.zeros(1, *input_shape))
