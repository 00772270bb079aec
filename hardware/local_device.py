"""Devices of this host: what they share of measuring."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from motemo.device import Device, Timing, TimingProtocol
from motemo.errors import EvaluationError
from motemo.hardware.cores import cores, pinned
from motemo.hardware.nominal import nominal_file, nominal_reference_ms
from motemo.hardware.reference_network import INPUT_SHAPE, reference_network
from motemo.hardware.spread import calm_runs, latency_interval
from motemo.hardware.timing import Run, time_runs
from motemo.space import Json, Shape

if TYPE_CHECKING:
    from torch import nn

_logger = logging.getLogger(__name__)
_FASTER = 0.75
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A network on a device, ready to run.

    Attributes:
        run: Runs one batch to its end.
        on_calling_thread: Whether it computes on the thread that calls it and nowhere else.
        notes: What else is to be said of it, JSON-able.
    """

    run: Run
    on_calling_thread: bool = False
    notes: Mapping[str, Json] = field(default_factory=dict)


Load: TypeAlias = Callable[[], Loaded]
"""Loads a network that is in the device's format already; each call loads it anew."""


class LocalDevice(Device):
    """A device of this host. Implementations may override `deploy_reference`.

    Attributes:
        threads: Threads that compute one run, each on a core of its own.
    """

    threads: int

    @abstractmethod
    def deploy(self, network: nn.Module, input_shape: Shape) -> Load:
        """Write a network in the device's format, for batches `(batch, C, H, W)`.

        The network is left as it was.

        Raises:
            DeviceError: The device is not available on this machine.
            EvaluationError: The network cannot be deployed there.
        """

    def deploy_reference(self) -> Load:
        """Deploy the network that is run in between."""
        return self.deploy(reference_network(), INPUT_SHAPE)

    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        """Deploy the network and time its runs, the reference network in between.

        Raises:
            DeviceError: The device is not available on this machine.
            EvaluationError: The network cannot be deployed there, or the host was too busy for as
                long as the protocol has patience.
        """
        start = time.perf_counter()
        load = self.deploy(network, input_shape)
        export_ms = (time.perf_counter() - start) * 1e3
        return replace(self.time_deployed(load, protocol), export_ms=export_ms)

    def time_deployed(self, load: Load, protocol: TimingProtocol) -> Timing:
        """Time the runs of what was deployed.

        A measurement that other programs disturbed is repeated after a while, on the cores that
        are idlest then.

        Raises:
            EvaluationError: The device cannot load it, or the host was too busy for as long as
                the protocol has patience.
        """
        deadline = time.monotonic() + protocol.patience_seconds
        wait = _FIRST_WAIT_SECONDS
        for attempt in count(1):
            timing = self._time_once(load, protocol)
            busy = _disturbance(timing, protocol)
            if busy is None:
                return replace(timing, attempts=attempt)
            if time.monotonic() + wait > deadline:
                break
            level = logging.WARNING if attempt == 1 else logging.DEBUG
            _logger.log(level, "Too busy to measure on %s: %s. Waiting.", self.name, busy)
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        raise EvaluationError(
            f"this machine is too busy for a figure: {busy}, in each of {attempt} measurements "
            f"within {protocol.patience_seconds:g} s. Measure on a quiet machine, or set "
            "`protocol.patience_seconds` to wait longer; `protocol.min_calm_share`, "
            "`.max_slowdown` and `.max_relative_width` accept more"
        )

    def _time_once(self, load: Load, protocol: TimingProtocol) -> Timing:
        loads = max(1, min(protocol.loads, protocol.max_runs))
        share = replace(
            protocol,
            min_runs=-(-protocol.min_runs // loads),
            max_runs=protocol.max_runs // loads,
            max_seconds=protocol.max_seconds / loads,
        )
        with pinned(self.threads):
            reference = _reference(self, cores())
            parts = [_time_load(load, share, reference.run) for _ in range(loads)]
        timing = replace(_joined(parts), nominal_reference_ms=reference.nominal_ms)
        if median(timing.reference_ms) < _FASTER * reference.nominal_ms:
            _logger.warning(
                "%s is much faster than when it was first used: its figures are of a slow moment. "
                "Delete %s to set their scale anew.",
                self.name,
                nominal_file(self.identity()),
            )
        return timing


def _time_load(load: Load, protocol: TimingProtocol, reference: Run) -> Timing:
    start = time.perf_counter()
    loaded = load()
    load_ms = (time.perf_counter() - start) * 1e3
    alone = loaded.on_calling_thread
    timing = time_runs(loaded.run, protocol, reference=reference, on_calling_thread=alone)
    cpu_ms = timing.cpu_ms if alone else ()
    return replace(timing, cpu_ms=cpu_ms, load_ms=load_ms, notes=loaded.notes)


def _joined(parts: Sequence[Timing]) -> Timing:
    return Timing(
        wall_ms=tuple(ms for part in parts for ms in part.wall_ms),
        cpu_ms=tuple(ms for part in parts for ms in part.cpu_ms),
        reference_ms=tuple(ms for part in parts for ms in part.reference_ms),
        load=tuple(number for number, part in enumerate(parts) for _ in part.wall_ms),
        load_ms=median(part.load_ms or 0.0 for part in parts),
        notes=parts[0].notes,
    )


@dataclass(frozen=True)
class _Reference:
    """The reference network on a device, and what it took there at first."""

    run: Run
    nominal_ms: float


@lru_cache(maxsize=8)
def _reference(device: LocalDevice, _cores: frozenset[int]) -> _Reference:
    """Load the reference network; threads of its runtime stay on the cores they started on."""
    loaded = device.deploy_reference()()

    def measure() -> float:
        """Return the median of the calm runs, or the best of ten parts where nobody can tell."""
        timing = time_runs(loaded.run, _FIRST_LOOK)
        if loaded.on_calling_thread:
            rows = zip(timing.wall_ms, calm_runs(timing, _FIRST_LOOK), strict=True)
            return median([wall for wall, calm in rows if calm] or timing.cpu_ms)
        part = max(1, len(timing.wall_ms) // 10)
        starts = range(0, len(timing.wall_ms), part)
        return min(median(timing.wall_ms[start : start + part]) for start in starts)

    return _Reference(loaded.run, nominal_reference_ms(device.identity(), measure))


_FIRST_LOOK = TimingProtocol(warmup_ms=50.0, max_seconds=0.5, relative_precision=0.002)


def _disturbance(timing: Timing, protocol: TimingProtocol) -> str | None:
    """Say what makes a measurement unusable, or None."""
    calm = calm_runs(timing, protocol)
    if sum(calm) < protocol.min_calm_share * len(calm):
        return f"only {sum(calm)} of {len(calm)} runs were not interrupted by other programs"
    slowdown = median(timing.reference_ms) / (timing.nominal_reference_ms or 1.0)
    if slowdown > protocol.max_slowdown:
        return (
            f"a reference network takes {slowdown:.2f} times as long as when the device was first "
            f"used (at most {protocol.max_slowdown:g})"
        )
    low, middle, high = latency_interval(timing, protocol)
    if high - low > protocol.max_relative_width * middle:
        return (
            f"the median lies anywhere from {max(0.0, low):.4g} to {high:.4g} ms (at most "
            f"{protocol.max_relative_width:.0%} of it)"
        )
    return None
