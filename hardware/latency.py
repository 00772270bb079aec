"""`latency_ms`: how long one inference takes on a device, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles

from motemo.device import Device, Timing, TimingProtocol
from motemo.hardware.deployment import check_deployment
from motemo.hardware.spread import latency_interval, steady_ms
from motemo.objective import Direction, Measurement, Objective, Outcome, Stage, evaluate_each
from motemo.space import Architecture, Json, Shape


@dataclass(frozen=True, kw_only=True)
class Latency(Objective):
    """Median wall-clock milliseconds of one run, an inference of the device's batch.

    Lower is better. Runs that other programs interrupted do not count, and times are scaled to
    the speed that the device had at first, as a reference network between the runs shows it. The
    spread is where the median of a repetition may fall (95 %). The record keeps all samples as
    they were taken. On a machine that is too busy, the evaluation fails.

    Attributes:
        device: Where to measure.
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes of the deployed network.
        protocol: How long to measure, and what counts as too busy.
    """

    device: Device
    name: str = "latency_ms"
    input_shape: Shape = (3, 32, 32)
    classes: int = 10
    protocol: TimingProtocol = field(default_factory=TimingProtocol)
    unit: str = field(default="ms", init=False)
    direction: Direction = field(default=Direction.MINIMIZE, init=False)
    stage: Stage = field(default=Stage.MEASURE, init=False)

    def __post_init__(self) -> None:
        check_deployment(self.input_shape, self.classes)

    @property
    def occupies_host(self) -> bool:  # type: ignore[override]  # it is the device that knows
        """Whether the device is part of this host."""
        return self.device.occupies_host

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Deploy and time each network as written, with untrained weights."""
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: Architecture) -> Measurement:
        network = architecture.build(input_shape=self.input_shape, classes=self.classes)
        timing = self.device.time(network, input_shape=self.input_shape, protocol=self.protocol)
        low, middle, high = latency_interval(timing, self.protocol)
        record = self._record(timing, middle)
        return Measurement(value=middle, unit=self.unit, low=low, high=high, record=record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes, protocol, device with host and versions."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "protocol": asdict(self.protocol),
            "device": self.device.identity(),
        }

    def _record(self, timing: Timing, middle: float) -> dict[str, Json]:
        """Return the samples and what they say beside the median."""
        steady = [ms for ms in steady_ms(timing, self.protocol) if ms is not None]
        record: dict[str, Json] = {
            "p95_ms": quantiles([middle, *steady], n=20)[-1],
            "images_per_second": self.device.batch * 1e3 / middle,
            "calm_share": len(steady) / len(timing.wall_ms),
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
