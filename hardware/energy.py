"""`energy_mj`: how much energy one inference takes on a device of this host, measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from motemo.device import Device
from motemo.errors import SettingsError
from motemo.hardware.cores import pinned
from motemo.hardware.deployment import NetworkCost
from motemo.hardware.energy_meters import POWERCAP, EnergyMeter, open_nvml, open_rapl
from motemo.hardware.local_device import LocalDevice
from motemo.hardware.spread import repetition_interval
from motemo.objective import Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    from torch import nn

    from motemo.hardware.timing import Run

METERS = ("rapl", "nvml")
_WARM_UP_RUNS = 5


@final
@dataclass(frozen=True, kw_only=True)
class Energy(NetworkCost):
    """Millijoules of one run, an inference of the device's batch. Lower is better.

    What the whole processor, with its memory, or the whole GPU used over a block of runs, divided
    by the runs; the mean of some blocks. Export, loading and warm-up are not in it. Other
    programs are: measure on a quiet machine. So is what the hardware uses when idle, unless
    `subtract_idle`.

    Attributes:
        device: Where to run; it must be part of this host.
        meter: `rapl` for the processor, `nvml` for the NVIDIA GPU; None takes `nvml` for a device
            whose identity names a GPU.
        blocks: Blocks of runs.
        block_seconds: Least seconds of a block; counters are renewed about every millisecond
            (RAPL) or every few tens (NVML).
        subtract_idle: Whether to subtract what was used in `block_seconds` of idleness before, in
            proportion to the time.
        powercap: Linux's powercap folder.

    Raises:
        SettingsError: A number is out of range, there is no such meter, or the device is not part
            of this host.
    """

    device: Device
    name: str = "energy_mj"
    meter: str | None = None
    blocks: int = 3
    block_seconds: float = 1.0
    subtract_idle: bool = False
    powercap: Path = POWERCAP
    unit: str = field(default="mJ", init=False)
    stage: Stage = field(default=Stage.MEASURE, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.meter not in (None, *METERS):
            raise SettingsError(
                f"Unknown energy meter {self.meter!r}. Allowed: {', '.join(METERS)}."
            )
        _local(self.device)
        if self.blocks < 2 or not 0 < self.block_seconds <= 3600:
            raise SettingsError(
                "Energy needs at least 2 blocks to know its spread, and block_seconds above 0 and "
                f"at most 3600; got {self.blocks} and {self.block_seconds}."
            )

    def cost(self, network: nn.Module) -> Measurement:
        """Load the network and run it in blocks between two readings of the meter.

        Raises:
            DeviceError: There is no such meter here, or it is not readable.
            EvaluationError: The network cannot be deployed on the device.
        """
        device = _local(self.device)
        meter = open_nvml() if self._meter_name() == "nvml" else open_rapl(self.powercap)
        with pinned(device.threads):
            run = device.deploy(network, self.input_shape)().run
            for _ in range(_WARM_UP_RUNS):
                run()
            idle_mw = self._idle_mw(meter) if self.subtract_idle else 0.0
            blocks = [_block(meter, run, self.block_seconds) for _ in range(self.blocks)]
        per_run = [(mj - idle_mw * seconds) / runs for mj, seconds, runs in blocks]
        low, middle, high = repetition_interval(per_run)
        record: dict[str, Json] = {
            "runs_mj": list[Json](per_run),
            "power_mw": [mj / seconds for mj, seconds, _ in blocks],
            "runs": [runs for _, _, runs in blocks],
        }
        if self.subtract_idle:
            record["idle_mw"] = idle_mw
        return Measurement(value=middle, unit=self.unit, low=low, high=high, record=record)

    def identity(self) -> dict[str, Json]:
        """Deployment shape and classes, meter, blocks, device with host and versions."""
        return {
            **super().identity(),
            "meter": self._meter_name(),
            "blocks": self.blocks,
            "block_seconds": self.block_seconds,
            "subtract_idle": self.subtract_idle,
            "device": self.device.identity(),
        }

    def _meter_name(self) -> str:
        return self.meter or ("nvml" if "gpu" in self.device.identity() else "rapl")

    def _idle_mw(self, meter: EnergyMeter) -> float:
        before, start = meter.read(), time.perf_counter()
        time.sleep(self.block_seconds)
        return meter.millijoules(before, meter.read()) / (time.perf_counter() - start)


def _local(device: Device) -> LocalDevice:
    if isinstance(device, LocalDevice):
        return device
    raise SettingsError(
        f"Energy is measured on devices of this host only; {device.name!r} is "
        f"{type(device).__name__}. Choose another device, or leave energy_mj out."
    )


def _block(meter: EnergyMeter, run: Run, least_seconds: float) -> tuple[float, float, int]:
    """Return the millijoules, the seconds and the number of the runs of one block."""
    runs = 0
    before, start = meter.read(), time.perf_counter()
    while (seconds := time.perf_counter() - start) < least_seconds:
        run()
        runs += 1
    return meter.millijoules(before, meter.read()), seconds, runs
