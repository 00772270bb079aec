"""Devices that run ONNX Runtime."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from motemo.errors import SettingsError
from motemo.hardware.local_device import Load, Loaded, LocalDevice
from motemo.hardware.reference_network import INPUT_SHAPE
from motemo.host import host_identity
from motemo.onnx.reference_model import reference_model
from motemo.onnx.session import VERSION, example_images, open_session, require_provider
from motemo.space import Json, Shape

if TYPE_CHECKING:
    import onnx
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class OnnxRuntimeDevice(LocalDevice):
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

    def deploy(self, network: nn.Module, input_shape: Shape) -> Load:
        """Write the network as an ONNX graph."""
        from motemo.onnx.graph import build_onnx

        return self.deploy_model(build_onnx(network, input_shape), input_shape)

    def deploy_reference(self) -> Load:
        """Take the reference network as an ONNX graph, without torch."""
        return self.deploy_model(reference_model(), INPUT_SHAPE)

    def deploy_model(self, model: onnx.ModelProto, input_shape: Shape) -> Load:
        """Take a network that is an ONNX graph already."""
        images = example_images(input_shape)

        def load() -> Loaded:
            session = open_session(model, provider=self.provider, threads=self.threads)

            def run() -> None:
                session(images)

            alone = self.threads == 1 and self.provider == "CPUExecutionProvider"
            return Loaded(run=run, on_calling_thread=alone)

        return load

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
