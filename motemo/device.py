"""Devices: where deployment cost is measured."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from motemo.errors import SettingsError
from motemo.space import Json, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """How long to measure one network.

    Attributes:
        warmup_runs: Runs before the first one that counts.
        warmup_ms: Least milliseconds of warm-up.
        min_runs: Least number of runs that count.
        max_runs: Most runs that count.
        max_seconds: Seconds of counted runs after which to stop, once `min_runs` are done.
        relative_precision: Stop once the 95 % confidence interval of the median is at most this
            share of the median wide.

    Raises:
        SettingsError: A number is out of range.
    """

    warmup_runs: int = 5
    warmup_ms: float = 20.0
    min_runs: int = 30
    max_runs: int = 1000
    max_seconds: float = 1.0
    relative_precision: float = 0.02

    def __post_init__(self) -> None:
        if self.min_runs < 1 or self.max_runs < 1 or self.warmup_runs < 0:
            raise SettingsError(
                "A timing protocol needs min_runs and max_runs of at least 1 and warmup_runs of at "
                f"least 0; got {self.min_runs}, {self.max_runs} and {self.warmup_runs}."
            )
        if not (0 < self.max_seconds < math.inf and 0 < self.relative_precision < math.inf):
            raise SettingsError(
                "A timing protocol needs finite max_seconds and relative_precision above 0; got "
                f"{self.max_seconds} and {self.relative_precision}."
            )
        if not 0 <= self.warmup_ms < math.inf:
            raise SettingsError(
                f"A timing protocol needs finite warmup_ms of at least 0; got {self.warmup_ms}."
            )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Times of single inferences on a device.

    Attributes:
        wall_ms: Wall-clock milliseconds of each counted run, in order.
        cpu_ms: CPU milliseconds of the calling thread over the same runs, or empty where the
            device does not run on that thread alone.
    """

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()


class Device(ABC):
    """A runtime on a piece of hardware. Implementations are frozen dataclasses, final.

    Attributes:
        name: Name of the device.
    """

    name: str

    @abstractmethod
    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        """Deploy the network, run it on one image `(1, C, H, W)` as `protocol` says.

        Raises:
            DeviceError: The device is not available on this machine.
            EvaluationError: The network cannot be deployed there.
        """

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return what a figure depends on: host, processor, runtime, threads, versions."""
