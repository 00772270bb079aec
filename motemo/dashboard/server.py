"""Serving Optuna Dashboard over a mirror of a storage."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore
from optuna.storages import BaseStorage

from motemo.dashboard.answers import Answers
from motemo.dashboard.follower import Follower
from motemo.dashboard.mirror import StudyCopy
from motemo.errors import SettingsError
from motemo.hardware.remote_device import is_this_machine
from motemo.space import Space

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from _typeshed import OptExcInfo

_READING = ("GET", "HEAD")
_STUDY = re.compile(r"/api/studies/(\d+)")
_ARTIFACT = re.compile(r"/artifacts/(\d+)/(\d+)/([0-9a-f]{1,4})")
_OF_STUDY = re.compile(r"/(?:api/studies|artifacts|csv)/(\d+)")
_JSON = ("Content-Type", "application/json")
_NOTHING_RUNS = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ("X-Content-Type-Options", "nosniff"),
)
_REFUSED = b'{"reason": "motemo dashboard shows a search and changes nothing"}'
_OTHER_NAME = (
    b'{"reason": "motemo dashboard listens for this machine alone: open it as localhost or '
    b'127.0.0.1, or let it listen on another --host"}'
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DashboardApp:
    """A WSGI application: Optuna Dashboard on a mirror, its answers filled by motemo.

    Attributes:
        follower: What keeps the mirror up to date.
        answers: What motemo adds.
        inner: Optuna Dashboard's own application.
    """

    follower: Follower
    answers: Answers
    inner: WSGIApplication

    @classmethod
    def of(
        cls,
        storage: BaseStorage,
        study_name: str,
        *,
        space: Space | None = None,
        folder: Path | None = None,
    ) -> DashboardApp:
        """Return the application for a storage.

        Args:
            storage: Holds the study. It is only read.
            study_name: Name of the study.
            space: Its space, where it is not a registered one.
            folder: Folder of the run, whose models are shown with its trials. Artifacts that
                somebody has uploaded to `artifacts` in it are shown, too.
        """
        follower = Follower(storage)
        uploaded = FileSystemArtifactStore((folder or Path()) / "artifacts")
        inner = optuna_dashboard.wsgi(follower.mirror, artifact_store=uploaded)
        return cls(follower, Answers(study_name, space, folder), inner)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; what would change anything is refused."""
        if environ["REQUEST_METHOD"] not in _READING:
            start_response("403 Forbidden", [_JSON])
            return [_REFUSED]
        path = environ["PATH_INFO"].rstrip("/")
        study, artifact = _STUDY.fullmatch(path), _ARTIFACT.fullmatch(path)
        if study is not None:
            return self._study(int(study[1]), environ, start_response)
        if artifact is not None:
            return self._artifact(artifact, start_response)
        self._follow(path)
        return self.inner(environ, start_response)

    def _follow(self, path: str) -> None:
        of_study = _OF_STUDY.match(path)
        if of_study is not None:
            self.follower.look_at(int(of_study[1]))
        elif path.startswith("/api/"):
            self.follower.look()

    def _study(
        self, study: int, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer what a study holds.

        A page keeps the note that came with a finished trial, so the copy must not be older than
        what is answered; hence the lock.
        """
        with self.follower.lock:
            copy = self.follower.look_at(study)
            answered = _Answered.by(self.inner, environ)
            if copy is not None and answered.status.startswith("200"):
                answered = answered.filled(self.answers, copy)
        return answered.sent(start_response)

    def _artifact(self, asked: re.Match[str], start_response: StartResponse) -> Iterable[bytes]:
        copy = self.follower.look_at(int(asked[1]))
        found = copy and self.answers.artifact(copy, int(asked[2]), int(asked[3], 16))
        if not found:
            return _Answered("404 Not Found", [_JSON], b"{}").sent(start_response)
        kind = ("Content-Type", found.mimetype)
        return _Answered("200 OK", [kind, *_NOTHING_RUNS], found.content()).sent(start_response)


@dataclass(frozen=True)
class _Answered:
    """An answer, not sent yet."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def by(cls, app: WSGIApplication, environ: WSGIEnvironment) -> _Answered:
        """Return what an application answers to a request."""
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start(
            status: str,
            headers: list[tuple[str, str]],
            exc_info: OptExcInfo | None = None,
            /,
        ) -> Callable[[bytes], object]:
            begun.append((status, headers))
            return _write_nothing

        body = b"".join(app(environ, start))
        return cls(*begun[-1], body)

    def filled(self, answers: Answers, copy: StudyCopy) -> _Answered:
        """Return the answer about a study with what motemo adds."""
        answer = json.loads(self.body)
        answers.fill(answer, copy)
        return _Answered(self.status, self.headers, json.dumps(answer).encode())

    def sent(self, start_response: StartResponse) -> Iterable[bytes]:
        """Send it."""
        kept = [(name, value) for name, value in self.headers if name != "Content-Length"]
        start_response(self.status, [*kept, ("Content-Length", str(len(self.body)))])
        return [self.body]


def _write_nothing(data: bytes) -> None:
    """Stand in for the old way to write a body, which nobody uses."""


@dataclass(frozen=True)
class _OnlyByOwnName:
    """Answers only what is asked of this machine by a name of its own.

    Somebody's page in the browser of this machine could make the page's own name lead here (DNS
    rebinding), and would then be allowed to read the answers.
    """

    app: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_this_machine(_host_name(environ.get("HTTP_HOST", ""))):
            start_response("421 Misdirected Request", [_JSON])
            return [_OTHER_NAME]
        return self.app(environ, start_response)


def _host_name(header: str) -> str:
    """Return the host of a Host header, without its port; empty if it is malformed."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


class DashboardServer(ThreadingMixIn, WSGIServer):
    """A server for a few people; it writes nothing and ends with its process."""

    daemon_threads = True
    request_queue_size = 64

    @classmethod
    def listening(cls, app: DashboardApp, host: str, port: int) -> DashboardServer:
        """Return a server that listens; `serve_forever` answers.

        On an address of this machine alone, requests by any other name are refused.

        Args:
            app: What answers.
            host: Address to listen on.
            port: Port; 0 takes a free one.

        Raises:
            SettingsError: It cannot listen there.
        """
        kind = _OnVersion6 if ":" in host else cls
        try:
            server = kind((host, port), _QuietHandler)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"Cannot listen at {host} port {port}: {error}. Give another --host or --port; "
                "--port 0 takes a free one."
            ) from error
        server.set_app(_OnlyByOwnName(app) if is_this_machine(host) else app)
        return server

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what broke a connection, such as a client that left."""
        _logger.debug("A request of %s was broken off.", client_address, exc_info=True)


class _OnVersion6(DashboardServer):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        _logger.debug(format, *args)
