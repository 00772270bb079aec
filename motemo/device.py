"""Devices: where deployment cost is measured."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from motemo.errors import SettingsError
from motemo.space import Json, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class TimingProtocol:
    """How to measure one network.

    Attributes:
        loads: How many times the network is loaded anew; where it comes to lie in memory matters.
        warmup_runs: Runs of each load before the first one that counts.
        warmup_ms: Least milliseconds of warm-up of each load.
        min_runs: Least number of runs that count, of all loads together.
        max_runs: Most runs that count, of all loads together.
        max_seconds: Seconds of counted runs after which to stop, once `min_runs` are done.
        relative_precision: Stop a load once the 95 % confidence interval of its median is at most
            this share of the median wide.
        max_wall_per_cpu: A run that took so many times longer than its thread computed was
            interrupted and does not count, where the device knows the thread's time.
        min_calm_share: Least share of runs that were not interrupted; below it, the measurement
            is repeated.
        max_slowdown: The measurement is repeated where the reference network takes so many times
            longer than it did at first on this device, where the device has one.
        max_relative_width: The measurement is repeated where the interval of its median is wider
            than this share of the median.
        patience_seconds: How long to repeat before the measurement fails, the host being too busy.
        unseen_drift: By what share of itself a figure may have moved without the loads or the
            reference network showing it, as a standard deviation. Part of the spread.
        correct_drift: Whether times are scaled to the speed that the reference network had at
            first, where the device has one.

    Raises:
        SettingsError: A number is out of range.
    """

    loads: int = 5
    warmup_runs: int = 3
    warmup_ms: float = 5.0
    min_runs: int = 50
    max_runs: int = 1000
    max_seconds: float = 0.5
    relative_precision: float = 0.01
    max_wall_per_cpu: float = 1.1
    min_calm_share: float = 0.33
    max_slowdown: float = 2.0
    max_relative_width: float = 0.3
    patience_seconds: float = 60.0
    unseen_drift: float = 0.005
    correct_drift: bool = True

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if not least <= value <= most:
                raise SettingsError(
                    f"A timing protocol needs {name} from {least:g} to {most:g}; got {value!r}."
                )


_TINY, _HUGE = 1e-9, 1e9
_RANGES = (
    ("loads", 1, 1000),
    ("warmup_runs", 0, _HUGE),
    ("warmup_ms", 0, _HUGE),
    ("min_runs", 1, _HUGE),
    ("max_runs", 1, _HUGE),
    ("max_seconds", _TINY, _HUGE),
    ("relative_precision", _TINY, _HUGE),
    ("max_wall_per_cpu", 1, math.inf),
    ("min_calm_share", 0, 1),
    ("max_slowdown", 1, math.inf),
    ("max_relative_width", _TINY, math.inf),
    ("patience_seconds", 0, _HUGE),
    ("unseen_drift", 0, 1),
)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Runs on a device; a run is one inference of the device's batch.

    The columns have a number per counted run, in order, or are empty.

    Attributes:
        wall_ms: Wall-clock milliseconds.
        cpu_ms: CPU milliseconds of the calling thread; empty where the device does not run on that
            thread alone.
        reference_ms: Milliseconds of a network that is always the same, shortly before; empty
            where the device has none.
        load: Which load of the network it was, from 0; empty if it was loaded once.
        nominal_reference_ms: What the reference network took when the device was first used.
        export_ms: Milliseconds that it took to write the network in the device's format.
        load_ms: Milliseconds that it took to load it, optimisation or compilation included.
        attempts: How many measurements it took until one was not disturbed.
        notes: What else the device has to say of the network, JSON-able.
    """

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()
    reference_ms: tuple[float, ...] = ()
    load: tuple[int, ...] = ()
    nominal_reference_ms: float | None = None
    export_ms: float | None = None
    load_ms: float | None = None
    attempts: int = 1
    notes: Mapping[str, Json] = field(default_factory=dict)


class Device(ABC):
    """A runtime on a piece of hardware. Implementations are frozen dataclasses, final.

    Attributes:
        name: Name of the device.
        batch: Images of one run.
        occupies_host: Whether it is part of this host: then nothing trains here while it measures.
    """

    name: str
    batch: int = 1
    occupies_host: bool = True

    @abstractmethod
    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        """Deploy the network, run it on one batch `(batch, C, H, W)` as `protocol` says.

        Raises:
            DeviceError: The device is not available on this machine.
            EvaluationError: The network cannot be deployed there, or the host is too busy.
        """

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return what a figure depends on: host, processor, runtime, threads, versions."""
