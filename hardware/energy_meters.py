"""Counters of the energy that this host's processor or GPU has used."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from motemo.errors import DeviceError

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter(ABC):
    """A counter of energy that only ever grows, but for starting again from 0 at its end."""

    @abstractmethod
    def read(self) -> tuple[int, ...]:
        """Return the counters now."""

    @abstractmethod
    def millijoules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Return the energy from one reading to another."""


@dataclass(frozen=True, kw_only=True)
class _Domain:
    """What one RAPL counter is for: a processor package, or its memory."""

    counter: Path
    range_uj: int


@final
@dataclass(frozen=True, kw_only=True)
class Rapl(EnergyMeter):
    """Processor packages and their memory, by Linux's powercap files; microjoules.

    The counter of a package includes its cores and its graphics, not its memory.
    """

    domains: tuple[_Domain, ...]

    def read(self) -> tuple[int, ...]:
        """Return every counter in microjoules.

        Raises:
            DeviceError: This user may not read them.
        """
        try:
            return tuple(int(domain.counter.read_text()) for domain in self.domains)
        except OSError as error:
            raise DeviceError(
                f"No energy figure: cannot read {error.filename} ({error.strerror}). Since Linux "
                "5.10 only root may; let an administrator make the energy_uj files readable "
                "(chmod a+r, until the next start)."
            ) from error

    def millijoules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Add up the differences; a counter may have started again once."""
        differences = (
            end - start + (domain.range_uj if end < start else 0)
            for domain, start, end in zip(self.domains, before, after, strict=True)
        )
        return sum(differences) / 1e3


@final
@dataclass(frozen=True, kw_only=True)
class Nvml(EnergyMeter):
    """One NVIDIA GPU as a whole, by NVML; millijoules.

    Attributes:
        library: The module `pynvml`, initialised.
        gpu: NVML's handle of the GPU.
    """

    library: Any
    gpu: Any

    def read(self) -> tuple[int, ...]:
        """Return the millijoules since the driver was loaded."""
        return (int(self.library.nvmlDeviceGetTotalEnergyConsumption(self.gpu)),)

    def millijoules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Return the difference."""
        return float(after[0] - before[0])


def open_rapl(powercap: Path = POWERCAP) -> Rapl:
    """Open the counters of all processor packages.

    Args:
        powercap: Linux's powercap folder.

    Raises:
        DeviceError: There are none, or this user may not read them.
    """
    domains = []
    for folder in sorted(powercap.glob("intel-rapl:*")):  # AMD's too; intel-rapl-mmio repeats it
        name = (folder / "name").read_text().strip()
        if name.startswith("package") or name == "dram":
            range_uj = int((folder / "max_energy_range_uj").read_text())
            domains.append(_Domain(counter=folder / "energy_uj", range_uj=range_uj))
    if not domains:
        raise DeviceError(
            f"No energy figure: {powercap} has no counter of a processor package. A virtual "
            "machine or container hides it, and few processors other than Intel's and AMD's have "
            "one. Measure on the bare machine, or leave energy_mj out."
        )
    meter = Rapl(domains=tuple(domains))
    meter.read()
    return meter


def open_nvml() -> Nvml:
    """Open the counter of the first NVIDIA GPU that CUDA programs of this process see.

    Raises:
        DeviceError: There is no NVML, no driver, no GPU, or it does not count its energy.
    """
    try:
        import pynvml
    except ImportError as error:
        raise DeviceError(
            "No energy figure: NVML needs the package nvidia-ml-py. Install it: "
            "pip install nvidia-ml-py"
        ) from error
    try:
        pynvml.nvmlInit()
        meter = Nvml(library=pynvml, gpu=_first_gpu(pynvml))
        meter.read()
    except pynvml.NVMLError as error:
        raise DeviceError(
            f"No energy figure: NVML says {error}. It needs an NVIDIA driver, and a GPU from Volta "
            "on that counts its energy."
        ) from error
    return meter


def _first_gpu(library: Any) -> Any:  # noqa: ANN401  (the module, and its handle of a GPU)
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    if first.isdigit():
        return library.nvmlDeviceGetHandleByIndex(int(first))
    return library.nvmlDeviceGetHandleByUUID(first)
