"""`latency_ms`: how long one inference takes on a device, measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING

from motemo.device import Device, Timing, TimingProtocol
from motemo.hardware.deployment import NetworkCost
from motemo.hardware.spread import calm_runs, latency_interval, steady_ms
from motemo.objective import Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Latency(NetworkCost):
    """Median wall-clock milliseconds of one run, an inference of the device's batch.

    Lower is better. Runs that other programs interrupted do not count, and times are scaled to
    the speed that the device had at first, as a reference network between the runs shows it. The
    spread is where the median of a repetition may fall (95 %). The record keeps all samples as
    they were taken. On a machine that is too busy, the evaluation fails.

    Attributes:
        device: Where to measure.
        protocol: How long to measure, and what counts as too busy.
    """

    device: Device
    name: str = "latency_ms"
    protocol: TimingProtocol = field(default_factory=TimingProtocol)
    unit: str = field(default="ms", init=False)
    stage: Stage = field(default=Stage.MEASURE, init=False)

    @property
    def occupies_host(self) -> bool:  # type: ignore[override]  # it is the device that knows
        """Whether the device is part of this host."""
        return self.device.occupies_host

    def cost(self, network: nn.Module) -> Measurement:
        """Deploy and time a network."""
        timing = self.device.time(network, input_shape=self.input_shape, protocol=self.protocol)
        low, middle, high = latency_interval(timing, self.protocol)
        record = self._record(timing, middle)
        return Measurement(value=middle, unit=self.unit, low=low, high=high, record=record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes, protocol, device with host and versions."""
        return {
            **super().identity(),
            "protocol": asdict(self.protocol),
            "device": self.device.identity(),
        }

    def _record(self, timing: Timing, middle: float) -> dict[str, Json]:
        """Return the samples and what they say beside the median."""
        steady = [ms for ms in steady_ms(timing, self.protocol) if ms is not None]
        record: dict[str, Json] = {
            "p95_ms": quantiles([middle, *steady], n=20)[-1],
            "images_per_second": self.device.batch * 1e3 / middle,
            "calm_share": sum(calm_runs(timing, self.protocol)) / len(timing.wall_ms),
            "attempts": timing.attempts,
        }
        if timing.reference_ms:
            record["relative"] = median(timing.wall_ms) / median(timing.reference_ms)
        for name in ("nominal_reference_ms", "export_ms", "load_ms"):
            if getattr(timing, name) is not None:
                record[name] = round(getattr(timing, name), 5)
        for name in ("wall_ms", "cpu_ms", "reference_ms"):
            record[name] = [round(sample, 4) for sample in getattr(timing, name)]
        return {**record, "load": list(timing.load), **timing.notes}
