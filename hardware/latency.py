"""`latency_ms`: how long one inference takes on a device, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from motemo.device import Device, Timing, TimingProtocol
from motemo.hardware.deployment import check_deployment
from motemo.hardware.timing import median_interval, repetition_interval
from motemo.objective import Direction, Measurement, Objective, Outcome, Stage, evaluate_each
from motemo.space import Architecture, Json, Shape

TRUSTED_WALL_PER_CPU = 1.1


@dataclass(frozen=True, kw_only=True)
class Latency(Objective):
    """Median wall-clock milliseconds of one inference of one image. Lower is better.

    The spread is where the median of a repetition may fall (95 %), judged by the runs of this
    measurement; drift of the machine comes on top. The record keeps the samples, the median CPU
    time, and `trusted`: false when the wall clock ran more than 1.1 times as fast as the thread's
    own, so that the figure tells more of a busy machine than of the network. Such a measurement
    is repeated, `attempts` times in all, and the one least disturbed is kept.

    Attributes:
        device: Where to measure.
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes of the deployed network.
        protocol: How long to measure.
        attempts: Most measurements of one network, if the machine is busy.
    """

    device: Device
    name: str = "latency_ms"
    input_shape: Shape = (3, 32, 32)
    classes: int = 10
    protocol: TimingProtocol = field(default_factory=TimingProtocol)
    attempts: int = 3
    unit: str = field(default="ms", init=False)
    direction: Direction = field(default=Direction.MINIMIZE, init=False)
    stage: Stage = field(default=Stage.MEASURE, init=False)

    def __post_init__(self) -> None:
        check_deployment(self.input_shape, self.classes)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Deploy and time each network as written, with untrained weights."""
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: Architecture) -> Measurement:
        network = architecture.build(input_shape=self.input_shape, classes=self.classes)
        timings: list[Timing] = []
        while len(timings) < max(1, self.attempts) and not any(map(_trusted, timings)):
            timings.append(
                self.device.time(network, input_shape=self.input_shape, protocol=self.protocol)
            )
        kept = min(timings, key=_disturbance)
        low, median, high = repetition_interval(kept.wall_ms)
        record = {**_record(kept), "attempts": len(timings)}
        return Measurement(value=median, unit=self.unit, low=low, high=high, record=record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes, protocol, device with host and versions."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "protocol": asdict(self.protocol),
            "attempts": self.attempts,
            "device": self.device.identity(),
        }


def _disturbance(timing: Timing) -> float:
    """Return how many times longer the runs took than their thread computed; 1 if unknown."""
    cpu = median_interval(timing.cpu_ms)[1] if timing.cpu_ms else 0.0
    return median_interval(timing.wall_ms)[1] / cpu if cpu else 1.0


def _trusted(timing: Timing) -> bool:
    return _disturbance(timing) <= TRUSTED_WALL_PER_CPU


def _record(timing: Timing) -> dict[str, Json]:
    record: dict[str, Json] = {"wall_ms": [round(sample, 5) for sample in timing.wall_ms]}
    if timing.cpu_ms:
        record["cpu_ms_median"] = median_interval(timing.cpu_ms)[1]
        record["trusted"] = _trusted(timing)
    return record
