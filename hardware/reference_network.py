"""The network that is run between measurements, always the same, to see the device drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motemo.seeds import seeded_torch
from motemo.space import Shape

if TYPE_CHECKING:
    from torch import nn

INPUT_SHAPE: Shape = (3, 32, 32)


def reference_network() -> nn.Module:
    """Return two 3x3 convolutions and a classifier, 10 million multiply-adds at `INPUT_SHAPE`."""
    from torch import nn

    with seeded_torch(0):
        return nn.Sequential(
            *(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
        )
