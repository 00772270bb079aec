"""Layers and constants that the networks of several spaces share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Normalization:
    """Constants of batch normalisation; `momentum` in torch's sense (share of the new batch)."""

    eps: float = 1e-5
    momentum: float = 0.1

    def layer(self, channels: int) -> nn.BatchNorm2d:
        """Return a batch normalisation over that many channels."""
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)


PUBLISHED = Normalization()
REDUCED = Normalization(eps=1e-4, momentum=1 - 0.997)
"""Constants of reduced architectures, those of MOTE's reference implementation."""


def relu_conv_bn(
    in_channels: int, out_channels: int, kernel: int, norm: Normalization, *, stride: int = 1
) -> nn.Sequential:
    """Return ReLU, convolution (padded so that stride 1 keeps the resolution), normalisation."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
        ),
        norm.layer(out_channels),
    )


def initialise_reduced(network: nn.Module) -> None:
    """Give a reduced architecture the weights of MOTE's reference: Glorot-uniform, no biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
