"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from motemo.errors import OutputError


def require_writable(path: Path) -> None:
    """Raise unless a file can be written there; for before what takes long to compute.

    Folders on the way are created.

    Raises:
        OutputError: It cannot.
    """
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: it is a folder. Give the path of a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error}. Give a path in a folder that can be written."
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never a part.

    Folders on the way are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
