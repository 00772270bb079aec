"""What is deployed: the shape of an image, the number of classes, and what both cost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from motemo.errors import SettingsError
from motemo.objective import Direction, Measurement, Objective, Outcome, evaluate_each
from motemo.space import Architecture, Json, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class NetworkCost(Objective):
    """What one deployed network costs. Lower is better.

    Attributes:
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes of the deployed network.

    Raises:
        SettingsError: No network can have this input or output.
    """

    input_shape: Shape = (3, 32, 32)
    classes: int = 10
    direction: Direction = field(default=Direction.MINIMIZE, init=False)

    def __post_init__(self) -> None:
        check_deployment(self.input_shape, self.classes)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Cost each network as written, with untrained weights."""
        return evaluate_each(architectures, lambda a: self.cost(self._build(a)))

    @abstractmethod
    def cost(self, network: nn.Module) -> Measurement:
        """Return what one network costs."""

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes."""
        return {"input_shape": list(self.input_shape), "classes": self.classes}

    def _build(self, architecture: Architecture) -> nn.Module:
        return architecture.build(input_shape=self.input_shape, classes=self.classes)


def check_deployment(input_shape: Shape, classes: int) -> None:
    """Raise unless a network can have this input and output.

    Raises:
        SettingsError: The shape is not three positive numbers, or there is no class.
    """
    shape = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    sizes = [size for size in shape if isinstance(size, int) and size > 0]
    if len(shape) != 3 or len(sizes) != 3:
        raise SettingsError(
            f"The deployment shape must be three positive numbers (C, H, W); got {input_shape!r}."
        )
    if not isinstance(classes, int) or classes < 1:
        raise SettingsError(f"The deployed network needs at least 1 class; got {classes!r}.")


def check_batch(batch: int) -> None:
    """Raise unless a batch holds at least one image.

    Raises:
        SettingsError: It does not.
    """
    if not isinstance(batch, int) or batch < 1:
        raise SettingsError(f"A batch needs at least 1 image; got {batch!r}.")
