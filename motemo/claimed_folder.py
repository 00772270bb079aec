"""Folders of results that one process at a time works in, and that know what they are of.

A file in the folder, the marker, says so; whoever comes with something else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from motemo.errors import OutputError
from motemo.space import Json


def is_marked(marker: Path) -> bool:
    """Return whether the marker is there; else its folder must be free. Changes nothing.

    Raises:
        OutputError: The folder is a file, or holds something else.
    """
    folder = marker.parent
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"The output folder {folder} is a file. Choose a folder.")
    if marker.exists():
        return True
    found = [p.name for p in folder.iterdir()] if folder.exists() else []
    if [name for name in found if not name.startswith(".")]:
        raise OutputError(
            f"The folder {folder} holds {', '.join(sorted(found)[:3])} of something else. Choose "
            "another --out folder."
        )
    return False


def read_object(file: Path) -> dict[str, Json]:
    """Return the JSON object that a file holds.

    Raises:
        OutputError: It cannot be read, or holds something else.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise OutputError(
            f"Cannot read {file}: {error}. It is not of motemo, or damaged; choose another folder."
        ) from error
    if not isinstance(content, dict):
        raise OutputError(f"{file} is not of motemo, or damaged; choose another folder.")
    return content


@contextmanager
def alone_in(folder: Path, command: str) -> Iterator[None]:
    """Keep other processes of a command out of an existing folder.

    Raises:
        OutputError: Another is at work in it.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise OutputError(
            f"Another motemo {command} is at work in {folder}. Wait for it, or choose another "
            "--out folder."
        ) from error
