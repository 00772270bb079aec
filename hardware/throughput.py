"""`throughput_ips`: how many images a device infers in a second, measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from motemo.device import Device, TimingProtocol
from motemo.hardware.deployment import NetworkCost
from motemo.hardware.latency import Latency
from motemo.objective import Direction, Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Throughput(NetworkCost):
    """Images per second: the device's batch over the median time of a run. Higher is better.

    Batches are run one after the other, so this is the throughput of one stream. Measured as
    latency is, and with the same record; give the device a batch that is worth the name.

    Attributes:
        device: Where to measure.
        protocol: How long to measure, and what counts as too busy.
    """

    device: Device
    name: str = "throughput_ips"
    protocol: TimingProtocol = field(default_factory=TimingProtocol)
    unit: str = field(default="images/s", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(default=Stage.MEASURE, init=False)

    @property
    def occupies_host(self) -> bool:  # type: ignore[override]  # it is the device that knows
        """Whether the device is part of this host."""
        return self.device.occupies_host

    def cost(self, network: nn.Module) -> Measurement:
        """Deploy and time a network."""
        run = self._latency.cost(network)
        images_ms = self.device.batch * 1e3
        return Measurement(
            value=images_ms / run.value,
            unit=self.unit,
            low=images_ms / run.high,
            high=images_ms / max(run.low, run.value / 2),  # an interval that reaches 0 has no end
            record=run.record,
        )

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes, protocol, device with host and versions."""
        return self._latency.identity()

    @property
    def _latency(self) -> Latency:
        return Latency(
            device=self.device,
            input_shape=self.input_shape,
            classes=self.classes,
            protocol=self.protocol,
        )
