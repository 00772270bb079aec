"""The process that measures, apart from the one that serves.

A model that crashes the runtime, hangs or fills the memory takes only this process with it.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from motemo import host_lock
from motemo.allocator import keep_freed_memory
from motemo.errors import DeviceError, EvaluationError, MotemoError, UsageError
from motemo.hardware.server.messages import Problem, Settings, failed, write
from motemo.space import Json

_logger = logging.getLogger(__name__)


def work(
    connection: Connection, device: str, options: Mapping[str, Json], memory_mb: int | None
) -> None:
    """Measure what comes through the connection until it is closed.

    First the identity of the device goes out, or an error. Then, for each settings and model that
    come in: a message with `state` as soon as the host is free, and one with the outcome.

    Args:
        connection: To the process that serves.
        device: Name of a device that runs ONNX models.
        options: Its options.
        memory_mb: Most megabytes of data of this process, or None.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_the_first_to_go()
    keep_freed_memory()
    try:
        measurer = _Measurer(device, options)
    except MotemoError as error:
        _send(connection, failed(Problem.DEVICE, str(error)))
        return
    if memory_mb is not None:
        _limit_memory(memory_mb)
    _send(connection, {"identity": measurer.identity})
    while True:
        try:
            settings = Settings.from_json(connection.recv_bytes().decode())
            model = connection.recv_bytes()
        except EOFError:
            return
        with host_lock.measuring():
            _send(connection, {"state": "measuring"})
            outcome = measurer.measure(model, settings)
        _send(connection, outcome)


class _Measurer:
    """The device, and what it says of one model after the other."""

    def __init__(self, device: str, options: Mapping[str, Json]) -> None:
        from motemo.hardware.onnx_runtime import OnnxRuntimeDevice
        from motemo.hardware.profiles import profile

        created = profile(device).create(options=options)
        if not isinstance(created, OnnxRuntimeDevice):
            raise UsageError(
                f"The device {device!r} cannot be served: it does not run ONNX models. "
                "Serve 'cpu' or 'cuda'."
            )
        self._device = created
        self.identity: dict[str, Json] = created.identity()

    def measure(self, content: bytes, settings: Settings) -> dict[str, Json]:
        from motemo.hardware.server.models import read_model

        try:
            timing = self._device.time_model(
                read_model(content),
                input_shape=settings.input_shape,
                protocol=settings.protocol,
            )
        except (DeviceError, UsageError) as error:
            return failed(Problem.DEVICE, str(error))
        except EvaluationError as error:
            return failed(Problem.EVALUATION, str(error))
        except MemoryError:
            return failed(Problem.EVALUATION, "the model needs more memory than the device gives")
        except Exception as error:  # noqa: BLE001  (the runtime's have no public base class)
            return failed(
                Problem.EVALUATION, f"the model does not run: {type(error).__name__}: {error}"
            )
        return {"timing": write(timing)}


def _send(connection: Connection, content: Mapping[str, Json]) -> None:
    connection.send_bytes(json.dumps(content).encode())


def _end_with_parent() -> None:
    """Wait for the process that serves to die, also while a model hangs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _be_the_first_to_go() -> None:
    """Ask Linux to end this process, and not another one, when memory runs out."""
    if sys.platform.startswith("linux"):
        try:
            Path("/proc/self/oom_score_adj").write_text("1000")
        except OSError as error:
            _logger.debug("cannot set oom_score_adj: %s", error)


def _limit_memory(megabytes: int) -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 1_000_000,) * 2)
