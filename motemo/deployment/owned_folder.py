"""Folders that are replaced as a whole, and only if nobody else has put anything into them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from motemo.claimed_folder import read_object
from motemo.errors import OutputError
from motemo.files import write_atomically
from motemo.space import Json

FACTS = "architecture.json"
"""The file that says what a folder is of, and the digest of each other file."""
FORMAT = "motemo.deployment"
_FILES = "files"


def check_ours(folder: Path) -> None:
    """Raise unless a folder is free, or holds what motemo wrote and nothing else.

    Raises:
        OutputError: It is a file, or holds other files or changed ones.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} is a file. Give another --out folder.")
    digests = _digests(folder)
    for path in sorted(folder.iterdir()):
        if path.name != FACTS and (
            not path.is_file() or digests.get(path.name) != _digest(path.read_bytes())
        ):
            raise OutputError(
                f"The folder {folder} holds {path.name}, which motemo did not write or which was "
                "changed since; it would be lost. Move it away, or give another --out folder."
            )


def _digests(folder: Path) -> Mapping[str, Json]:
    facts = read_object(folder / FACTS) if (folder / FACTS).exists() else {}
    digests = facts.get(_FILES)
    return digests if facts.get("format") == FORMAT and isinstance(digests, dict) else {}


def replace_folder(folder: Path, facts: Mapping[str, Json], files: Mapping[str, bytes]) -> None:
    """Write a folder so that a kill leaves the old one, the new one or none, never a part.

    Args:
        folder: The folder; what is on the way to it is created.
        facts: What `architecture.json` is to say; the digests are added.
        files: Contents by name.

    Raises:
        OutputError: It holds other files or changed ones.
    """
    check_ours(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    digests = {name: _digest(content) for name, content in files.items()}
    text = json.dumps(
        {"format": FORMAT, **facts, _FILES: digests}, indent=1, ensure_ascii=False, allow_nan=False
    )
    staged = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_unfinished(folder)))
    try:
        staged.chmod(0o755)
        for name, content in files.items():
            write_atomically(staged / name, content)
        write_atomically(staged / FACTS, text + "\n")
        old = Path(f"{staged}.old")
        if folder.exists():
            folder.replace(old)
        staged.replace(folder)
        _settle(folder.parent)
    finally:
        remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what an export that was killed left beside its folder."""
    for path in folder.parent.glob(f"{_unfinished(folder)}*"):
        shutil.rmtree(path)


def _unfinished(folder: Path) -> str:
    """Return how the names of folders begin that are on their way to be this one."""
    return f".{folder.name}.unfinished-"


def _settle(folder: Path) -> None:
    """Let the names in a folder reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
