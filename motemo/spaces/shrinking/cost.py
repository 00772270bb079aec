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

    Raises:
        Exception: Whatever the network raises if it does not work with such images.
    """
    try:
        with torch.device("meta"):
            return _counted(copy.deepcopy(network).to("meta"), input_shape)
    except Exception:  # noqa: BLE001  (a user's own network may raise anything)
        return _counted(copy.deepcopy(network), input_shape)


def _counted(network: nn.Module, input_shape: Shape) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *input_shape))
    return int(counter.get_total_flops()) / 2
