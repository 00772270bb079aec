"""The HTTP service of one device. The one file that imports starlette and uvicorn.

Whoever has the token may send models; they are measured one at a time, in the order in which they
came. Each connection serves one request, so that nobody holds one for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from motemo.errors import SettingsError
from motemo.hardware.server.messages import (
    DEVICE_PATH,
    HEARTBEAT_SECONDS,
    MEASURE_PATH,
    MessageError,
    Problem,
    Settings,
    failed,
    line,
)
from motemo.hardware.server.supervisor import Supervisor

_logger = logging.getLogger(__name__)
_CLOSE = {"Connection": "close"}
_MOST_CONNECTIONS = 128
_SECONDS_TO_FINISH = 5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client may cost.

    Attributes:
        mb: Most megabytes of a model.
        seconds: Most seconds of a measurement, and of sending a model.
        waiting: Most models that wait while another one is measured.
        silent_seconds: Most seconds of silence while a client sends its request.
        memory_mb: Most megabytes of data of the measuring process, or None.
    """

    mb: float = 64.0
    seconds: float = 120.0
    waiting: int = 8
    silent_seconds: float = 10.0
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        numbers = (self.mb, self.seconds, self.silent_seconds, self.memory_mb or 1)
        if not all(0 < number < math.inf for number in numbers) or self.waiting < 0:
            raise SettingsError(f"The limits of a device must be positive numbers; got {self}.")


async def serve(
    supervisor: Supervisor,
    listener: socket.socket,
    *,
    token: str,
    limits: Limits,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until a signal ends it.

    Args:
        supervisor: Has models measured; started.
        listener: Where to listen.
        token: What a client must know.
        limits: What one client may cost.
        certificate: PEM file of the certificate, for TLS.
        key: PEM file of its key, unless the certificate's file holds it.
    """

    class Protocol(_ImpatientProtocol):
        seconds = limits.silent_seconds

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            service.end()
            await super().shutdown(sockets)

    service = Service(supervisor, token=token, limits=limits)
    config = uvicorn.Config(
        service.app(),
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    await Server(config).serve(sockets=[listener])


class _ImpatientProtocol(H11Protocol):
    """HTTP/1.1 for clients that say soon what they want."""

    seconds: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client some seconds."""
        super().connection_made(transport)
        self.loop.call_later(self.seconds, self._end_silence)

    def _end_silence(self) -> None:
        request: object = self.cycle  # None until a request is whole
        if request is None and not self.transport.is_closing():
            self.send_400_response(f"No whole request came within {self.seconds:g} s.")


class Service:
    """What a device answers to requests."""

    def __init__(self, supervisor: Supervisor, *, token: str, limits: Limits) -> None:
        """Prepare.

        Args:
            supervisor: Has models measured; started.
            token: What a client must know.
            limits: What one client may cost.
        """
        self._supervisor = supervisor
        self._token = token
        self._limits = limits
        self._turn = asyncio.Lock()  # fair: first come, first served
        self._ending = asyncio.Event()
        self._present = 0
        self._last_seconds = 1.0

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route(DEVICE_PATH, self._describe, methods=["GET"]),
                Route(MEASURE_PATH, _Endpoint(self._measure), methods=["POST"]),
            ],
            exception_handlers={HTTPException: _refuse},
        )

    def end(self) -> None:
        """Tell those who wait that nothing will be measured any more."""
        self._ending.set()

    async def _describe(self, request: Request) -> Response:
        self._require_token(request)
        content = {"identity": self._supervisor.identity, "max_mb": self._limits.mb}
        return JSONResponse(content, headers=_CLOSE)

    async def _measure(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_token(request)
        settings = self._settings(request)
        with self._place():
            model = await self._body(request)
            answer = StreamingResponse(
                self._lines(model, settings, _client(request)),
                media_type="application/x-ndjson",
                headers=_CLOSE,
            )
            await answer(scope, receive, send)

    def _require_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not same:
            raise HTTPException(401, "Wrong token.", {"WWW-Authenticate": "Bearer"})

    def _settings(self, request: Request) -> Settings:
        try:
            settings = Settings.from_json(request.query_params.get("settings", ""))
        except (MessageError, SettingsError) as error:
            raise HTTPException(400, f"Malformed request: {error}") from error
        patience = min(settings.protocol.patience_seconds, self._limits.seconds / 2)
        return replace(settings, protocol=replace(settings.protocol, patience_seconds=patience))

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places for models that are measured or wait."""
        if self._present > self._limits.waiting:
            seconds = min(max(math.ceil(self._last_seconds), 1), 30)
            raise HTTPException(
                503,
                f"{self._present - 1} models are waiting already.",
                {"Retry-After": str(seconds)},
            )
        self._present += 1
        try:
            yield
        finally:
            self._present -= 1

    async def _body(self, request: Request) -> bytes:
        most = int(self._limits.mb * 1e6)
        too_large = HTTPException(413, f"This device accepts models of {self._limits.mb:g} MB.")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            raise too_large
        body = bytearray()
        now = asyncio.get_running_loop().time
        last = now() + self._limits.seconds
        try:
            async with asyncio.timeout(None) as patience:
                patience.reschedule(now() + self._limits.silent_seconds)
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise too_large
                    patience.reschedule(min(now() + self._limits.silent_seconds, last))
        except TimeoutError as error:
            raise HTTPException(408, "The model took too long to arrive.") from error
        return bytes(body)

    async def _lines(self, model: bytes, settings: Settings, client: str) -> AsyncIterator[bytes]:
        """Yield how it stands, every few seconds, and at last what came out."""
        states = ["waiting"]
        measuring = asyncio.create_task(self._in_turn(model, settings, states.append))
        ending = asyncio.create_task(self._ending.wait())
        start = time.monotonic()
        try:
            while not (measuring.done() or ending.done()):
                yield line(state=states[-1])
                await asyncio.wait(
                    [measuring, ending],
                    timeout=HEARTBEAT_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            if measuring.done():
                outcome = measuring.result()
            else:
                outcome = failed(Problem.ENDING, "the service is being ended")
            _log_outcome(client, len(model), outcome, time.monotonic() - start)
            yield line(**outcome)
        finally:
            ending.cancel()
            if measuring.cancel() and not self._ending.is_set():
                _logger.info("%s left before its model was measured", client)

    async def _in_turn(
        self, model: bytes, settings: Settings, tell: Callable[[str], None]
    ) -> dict[str, Any]:
        async with self._turn:
            start = time.monotonic()
            outcome = await self._supervisor.measure(
                model, settings, begun=lambda: tell("measuring")
            )
            self._last_seconds = time.monotonic() - start
            return outcome


class _Endpoint:
    """An endpoint that sends its answer itself, so that it knows when that is over."""

    def __init__(self, answer: Callable[[Request, Scope, Receive, Send], Any]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await self._answer(Request(scope, receive), scope, receive, send)


def _client(request: Request) -> str:
    return request.client.host if request.client else "a client"


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer with the reason, and keep nothing open."""
    if not isinstance(error, HTTPException):
        raise error
    _logger.info("%s refused: %d %s", _client(request), error.status_code, _plain(error.detail))
    headers = {**(error.headers or {}), **_CLOSE}
    return PlainTextResponse(error.detail, status_code=error.status_code, headers=headers)


def _log_outcome(client: str, size: int, outcome: dict[str, Any], seconds: float) -> None:
    if "timing" in outcome:
        wall_ms = outcome["timing"]["wall_ms"]
        said = f"{median(wall_ms):.4g} ms, {len(wall_ms)} runs"
    else:
        said = f"not measured: {_plain(outcome['message'])}"
    _logger.info("%s sent %.2f MB: %s (%.1f s)", client, size / 1e6, said, seconds)


def _plain(text: str) -> str:
    """Return a text that may hold what a client sent as one line for the log."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
