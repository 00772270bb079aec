"""Keeps measuring and training apart, between all processes of one user on one host.

A device that is measured while something trains beside it looks slower than it is. Any number of
processes may train at once; measuring is alone. Who waits to measure lets nobody start to train:
it holds the gate, through which everyone has to go.
"""

from __future__ import annotations

import logging
import os
import tempfile
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
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"motemo-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@cache
def _note_missing() -> None:
    _logger.info("This system has no file locks: measuring may overlap with training.")
