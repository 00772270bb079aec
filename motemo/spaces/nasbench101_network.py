"""Networks of NAS-Bench-101: the published skeleton and the reduced architecture of MOTE.

References: Ying et al., ICML 2019 (skeleton and cell); Zhang et al., *MOTE-NAS*, NeurIPS 2024
(reduced architecture).
"""

from __future__ import annotations

import torch
from torch import nn

from motemo.spaces.layers import REDUCED, Normalization, initialise_reduced
from motemo.spaces.nasbench101 import STACKS
from motemo.spaces.nasbench101_cell import CONV3, POOL, CellGraph, vertex_channels

NORMALIZATION = Normalization(eps=1e-5, momentum=1 - 0.997)
"""Constants of the published network."""


def _conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int, norm: Normalization
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        norm.layer(out_channels),
        nn.ReLU(),
    )


def _operation(name: str, channels: int, norm: Normalization) -> nn.Module:
    if name == POOL:
        return nn.MaxPool2d(3, stride=1, padding=1)
    return _conv_bn_relu(channels, channels, 3 if name == CONV3 else 1, norm)


class Cell(nn.Module):
    """One pruned cell: it maps `(N, C, H, W)` to `(N, C', H, W)`.

    Every edge out of the input is a 1x1 convolution. A vertex takes the sum of what leads to it,
    of a wider vertex the first channels only. The output concatenates, and adds the input's edge.
    """

    def __init__(
        self, cell: CellGraph, in_channels: int, out_channels: int, norm: Normalization
    ) -> None:
        super().__init__()
        self.channels = vertex_channels(cell, in_channels, out_channels)
        self.sources = [
            [source for source in cell.sources(target) if source]
            for target in range(1, cell.output + 1)
        ]
        self.projections = nn.ModuleDict(
            {
                str(target): _conv_bn_relu(in_channels, self.channels[target], 1, norm)
                for target in range(1, cell.output + 1)
                if (0, target) in cell.edges
            }
        )
        self.operations = nn.ModuleList(
            _operation(name, width, norm)
            for name, width in zip(cell.operations, self.channels[1:], strict=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output vertex."""
        values = [x]
        for target, operation in enumerate(self.operations, start=1):
            terms = [self._first(values[source], source, target) for source in self._into(target)]
            values.append(operation(self._with_projection(x, target, terms)))
        output = len(values)
        joined = [values[source] for source in self._into(output)]
        return self._with_projection(x, output, [torch.cat(joined, 1)] if joined else [])

    def _into(self, target: int) -> list[int]:
        return self.sources[target - 1]

    def _first(self, value: torch.Tensor, source: int, target: int) -> torch.Tensor:
        """Return as many channels of a vertex as another one has."""
        width = self.channels[target]
        return value if self.channels[source] == width else value[:, :width]

    def _with_projection(
        self, x: torch.Tensor, target: int, terms: list[torch.Tensor]
    ) -> torch.Tensor:
        if str(target) in self.projections:
            terms = [*terms, self.projections[str(target)](x)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def full_network(
    cell: CellGraph, *, in_channels: int, channels: int, cells: int, classes: int
) -> nn.Sequential:
    """Return the published skeleton around a pruned cell."""
    layers: list[nn.Module] = [_conv_bn_relu(in_channels, channels, 3, NORMALIZATION)]
    width = channels
    for stack in range(STACKS):
        if stack:
            layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
        out_channels = channels * 2**stack
        for _ in range(cells):
            layers.append(Cell(cell, width, out_channels, NORMALIZATION))
            width = out_channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    return nn.Sequential(*layers)


def reduced_network(
    cell: CellGraph, *, in_channels: int, channels: int, classes: int
) -> nn.Sequential:
    """Return stem, cell, 4x4 average pooling, cell, global pooling, classifier."""
    network = nn.Sequential(
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
        REDUCED.layer(channels),
        Cell(cell, channels, channels, REDUCED),
        nn.AvgPool2d(4, ceil_mode=True),
        Cell(cell, channels, channels, REDUCED),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )
    initialise_reduced(network)
    return network
