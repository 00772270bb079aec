"""Devices that run ONNX Runtime."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from motemo.device import Device, Timing, TimingProtocol
from motemo.errors import SettingsError
from motemo.hardware.timing import pinned, time_runs
from motemo.host import host_identity
from motemo.onnx.graph import build_onnx
from motemo.onnx.session import VERSION, example_images, open_session, require_provider
from motemo.space import Json, Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeDevice(Device):
    """ONNX Runtime with one execution provider of this host; batch 1, float32.

    Attributes:
        name: Name of the device.
        provider: Execution provider, as ONNX Runtime names it.
        threads: Threads that compute one inference, each on a core of its own.

    Raises:
        SettingsError: There are fewer cores than threads.
        DeviceError: The provider is not installed here.
    """

    name: str
    provider: str
    threads: int = 1

    def __post_init__(self) -> None:
        cores = os.cpu_count() or 1
        if not 1 <= self.threads <= cores:
            raise SettingsError(
                f"A device needs at least one thread and at most one per core, here {cores}; "
                f"got {self.threads}."
            )
        require_provider(self.provider)

    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        """Export the network once, load it, and time single inferences."""
        images = example_images(input_shape)
        with pinned(self.threads):
            run = open_session(
                build_onnx(network, input_shape), provider=self.provider, threads=self.threads
            )
            timing = time_runs(lambda: run(images), protocol)
        on_calling_thread = self.threads == 1 and self.provider == "CPUExecutionProvider"
        return timing if on_calling_thread else Timing(wall_ms=timing.wall_ms)

    def identity(self) -> dict[str, Json]:
        """Runtime, provider, threads, host."""
        return {
            "name": self.name,
            "runtime": f"onnxruntime {VERSION}",
            "provider": self.provider,
            "threads": self.threads,
            "precision": "float32",
            "batch": 1,
            **host_identity(),
        }


def cpu(*, threads: int = 1) -> OnnxRuntimeDevice:
    """Return this host's processor."""
    return OnnxRuntimeDevice(name="cpu", provider="CPUExecutionProvider", threads=threads)


def cuda(*, threads: int = 1) -> OnnxRuntimeDevice:
    """Return this host's first NVIDIA GPU."""
    return OnnxRuntimeDevice(name="cuda", provider="CUDAExecutionProvider", threads=threads)
