"""Optuna's journal file, made to survive processes that are killed while they write.

Two things differ from a plain `JournalFileBackend`. Its lock is one that the operating system
releases when its holder dies; Optuna's own lock files stay and delay the next process by 30 s. And
a line that a dying process has written in part is cut off: joined with the next line, it would
make the file unreadable.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from motemo.errors import StorageError

_TIMEOUT_S = 60.0
_POLL_S = 0.005
_BEGINNING = b'{"op_code":'
_BLOCK = 1 << 16

_logger = logging.getLogger(__name__)


def open_journal(path: Path, *, must_exist: bool = False) -> JournalStorage:
    """Open a journal file; it and its folder are created.

    Raises:
        StorageError: It is not a journal file, or does not exist and must.
        OSError: It cannot be read or written.
        ValueError: It is damaged other than at its end.
    """
    if must_exist and not path.exists():
        raise StorageError(f"There is no journal file {path}. Give the one that a search wrote.")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalLock(path)
    if path.exists():
        _check(path)
        if _torn(path):
            lock.acquire()
            lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


class JournalLock(BaseJournalFileLock):
    """A lock on a journal file, after whose acquisition the file ends with a whole line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.flock", timeout=_TIMEOUT_S, poll_interval=_POLL_S)

    def acquire(self) -> bool:
        """Wait for the lock, and cut off what a killed process wrote of its last line.

        Raises:
            StorageError: Another process holds the lock and does not let go.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            raise StorageError(
                f"A process has kept the journal file {self._path} locked for {_TIMEOUT_S:.0f} s. "
                "End it, and run the same command again."
            ) from error
        try:
            if _torn(self._path):
                _cut(self._path)
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


def _check(path: Path) -> None:
    """Raise unless a file begins like a journal, so that nothing else is ever cut."""
    with path.open("rb") as file:
        begins = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(begins) and begins != _BEGINNING:
        raise StorageError(
            f"{path} is not a journal file of Optuna. Name another file; it need not exist."
        )


def _torn(path: Path) -> bool:
    """Whether the last line lacks its end."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"


def _cut(path: Path) -> None:
    """Cut a file behind its last line end."""
    with path.open("rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                end = begin + found + 1
                break
            end = begin
        file.truncate(end)
        os.fsync(file.fileno())
    _logger.warning(
        "%s ended with %d bytes of a line that a killed process left; they were cut off.",
        path,
        size - end,
    )
