"""Keeps measuring and training apart, between all processes of one user on one host.

A device that is measured while something trains beside it looks slower than it is. Any number of
processes may train at once; measuring is alone. Who waits to measure lets nobody start to train:
it holds the gate, through which everyone has to go.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    _FLOCK = False
else:
    _FLOCK = True

_logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 20.0
"""How long to wait in silence."""


@contextmanager
def measuring() -> Iterator[None]:
    """Be the only one of this host's processes that measures or trains, inside the block."""
    if not _FLOCK:
        _note_missing()
        yield
        return
    with _locked("gate", exclusive=True), _locked("host", exclusive=True):
        yield


@contextmanager
def training() -> Iterator[None]:
    """Train inside the block, beside others that train, while nothing is measured."""
    if not _FLOCK:
        _note_missing()
        yield
        return
    with _locked("gate", exclusive=True):
        beside_others = _lock("host", exclusive=False)
    try:
        yield
    finally:
        os.close(beside_others)


@contextmanager
def _locked(name: str, *, exclusive: bool) -> Iterator[None]:
    handle = _lock(name, exclusive=exclusive)
    try:
        yield
    finally:
        os.close(handle)


def _lock(name: str, *, exclusive: bool) -> int:
    """Return a handle that holds a lock until it is closed, or its process dies."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    handle = os.open(_folder() / name, flags, 0o600)
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            with _noted_if_long(_folder() / name):
                fcntl.flock(handle, mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextmanager
def _noted_if_long(file: Path) -> Iterator[None]:
    """Say so, once, if something takes long."""
    text = (
        "Waiting for other motemo processes on this machine, which train or measure; nothing is "
        f"measured beside them. 'fuser {file}' names them; one that is stopped holds up all."
    )
    timer = threading.Timer(PATIENCE_SECONDS, lambda: _logger.warning(text))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"motemo-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@cache
def _note_missing() -> None:
    _logger.info("This system has no file locks: measuring may overlap with training.")
