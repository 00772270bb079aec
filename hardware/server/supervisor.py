"""The side of the server that starts the measuring process, and ends it when it must."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from motemo.errors import DeviceError
from motemo.hardware.server.messages import Problem, Settings, failed, read_object
from motemo.hardware.server.worker import work
from motemo.space import Json

_PIPE_ERRORS = (EOFError, OSError)


class Supervisor:
    """Has models measured in a process of its own, which is started anew whenever it has ended."""

    def __init__(
        self, device: str, options: Mapping[str, Json], *, memory_mb: int | None, seconds: float
    ) -> None:
        """Prepare.

        Args:
            device: Name of the device, registered or a profile.
            options: Its options.
            memory_mb: Most megabytes of data of the measuring process, or None.
            seconds: Most seconds of one measurement.
        """
        self._device = device
        self._options = options
        self._memory_mb = memory_mb
        self._seconds = seconds
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self.identity: dict[str, Json] = {}

    async def start(self) -> None:
        """Start the measuring process, and learn what the device is.

        Raises:
            DeviceError: The device is not available here.
        """
        try:
            await self._connect()
        except _PIPE_ERRORS as error:
            raise DeviceError(f"The measuring process {self._end()} as it started.") from error

    async def _connect(self) -> Connection:
        """Return the connection to the measuring process, which is started unless it runs."""
        if self._connection is not None and self._process and self._process.is_alive():
            return self._connection
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=work, args=(theirs, self._device, self._options, self._memory_mb), daemon=True
        )
        self._process.start()
        theirs.close()
        told = await _receive(self._connection)
        if "error" in told:
            self.stop()
            raise DeviceError(told["message"])
        self.identity = told["identity"]
        return self._connection

    async def measure(
        self, model: bytes, settings: Settings, *, begun: Callable[[], None]
    ) -> dict[str, Any]:
        """Return what came out, as in the last line of an answer.

        Whoever cancels this ends the measuring process: what it does is of no use to anybody.

        Args:
            model: An ONNX model, or whatever arrived.
            settings: How to measure it.
            begun: Called when the host is free and the measurement begins.
        """
        try:
            connection = await self._connect()
            for part in (settings.to_json().encode(), model):
                await asyncio.to_thread(connection.send_bytes, part)
            await _receive(connection)  # that the host is free
            begun()
            async with asyncio.timeout(self._seconds):
                return {**await _receive(connection), "identity": self.identity}
        except DeviceError as error:
            return failed(Problem.DEVICE, str(error))
        except TimeoutError:
            self.stop()
            return failed(
                Problem.EVALUATION,
                f"the measurement took longer than {self._seconds:g} s, the limit of this device "
                "('motemo serve-device --max-seconds' sets it)",
            )
        except _PIPE_ERRORS:
            return failed(Problem.DIED, f"the measuring process {self._end()}")
        except BaseException:
            self.stop()
            raise

    def _end(self) -> str:
        process = self._process
        if process is not None:
            process.join(timeout=5)
        code = process.exitcode if process else None
        self.stop()
        return f"was ended by signal {-code}" if code and code < 0 else f"ended (status {code})"

    def stop(self) -> None:
        """End the measuring process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = None
        self._connection = None  # closed as soon as no thread reads from it any more


async def _receive(connection: Connection) -> dict[str, Any]:
    return read_object(await asyncio.to_thread(connection.recv_bytes))
