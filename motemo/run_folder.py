"""The folder of a run: which study it belongs to, and the files that show its front."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from motemo.errors import OutputError, StorageError
from motemo.export import Exported, export_onnx
from motemo.files import write_atomically
from motemo.front import Front
from motemo.records import stored_deployment
from motemo.storage import journal_url, sqlite_url, without_password

_MARKER = "run.json"
_STUDY, _JOURNAL = "study.db", "study.log"
_MODELS = "models"
_OURS = ("front.csv", "front.json", "front.html", "front.png", _MODELS)


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run.

    Attributes:
        path: The folder.
        storage: Storage URL of the run's study; None for the file in the folder: a journal where
            there is one, else SQLite.
        study_name: Name of the study.
        shared: Whether several processes are to work on a new run, so that it needs a journal.
    """

    path: Path
    storage: str | None = None
    study_name: str = "motemo"
    shared: bool = False

    @classmethod
    def open(cls, path: Path, *, storage: str | None = None) -> RunFolder:
        """Open the folder of an earlier run.

        Args:
            path: The folder.
            storage: Storage URL, needed where the run's own has a password, which is not kept.

        Raises:
            OutputError: There is no run in the folder.
            StorageError: The run's storage URL is needed.
        """
        marker = _read_marker(path)
        if marker is None and any((path / name).exists() for name in (_STUDY, _JOURNAL)):
            return cls(path, storage)
        if marker is None:
            raise OutputError(
                f"There is no motemo run in {path}: it has neither {_MARKER} nor {_STUDY} nor "
                f"{_JOURNAL}. Give "
                "the --out folder of a search, or a storage URL."
            )
        kept = marker["storage"]
        if storage is None and kept is not None and "***" in kept:
            raise StorageError(
                f"The run in {path} is stored at {kept!r}; passwords are not kept. Give the whole "
                "URL by --storage."
            )
        return cls(path, storage or kept, marker["study_name"] or "motemo")

    @property
    def storage_url(self) -> str:
        """URL of the storage."""
        if self.storage:
            return self.storage
        journal, database = self.path / _JOURNAL, self.path / _STUDY
        shared = journal.exists() or (self.shared and not database.exists())
        return journal_url(journal) if shared else sqlite_url(database)

    def check(self) -> None:
        """Raise unless the folder is free or holds this very run. Changes nothing.

        Raises:
            OutputError: It holds another run, or files that would be overwritten.
        """
        try:
            exists, folder = self.path.exists(), self.path.is_dir()
            found = [name for name in _OURS if (self.path / name).exists()]
        except OSError as error:
            raise OutputError(f"Cannot use the output folder {self.path}: {error}.") from error
        if exists and not folder:
            raise OutputError(f"The output folder {self.path} is a file. Choose a folder.")
        marker = _read_marker(self.path)
        if marker is None:
            if found:
                raise OutputError(
                    f"The folder {self.path} holds {', '.join(found)} of something else, which "
                    "would be overwritten. Choose another --out folder."
                )
        elif marker != self._marker():
            raise OutputError(
                f"The folder {self.path} holds another run: {json.dumps(marker)}, not "
                f"{json.dumps(self._marker())}. Choose another --out folder."
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Mark the folder as this run's, and keep other processes out of it.

        Raises:
            OutputError: Another process is at work in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock", timeout=0):
                write_atomically(self.path / _MARKER, json.dumps(self._marker(), indent=2) + "\n")
                yield
        except Timeout as error:
            raise OutputError(
                f"Another motemo search is at work in {self.path}. Wait for it, or choose another "
                "--out folder."
            ) from error

    def _marker(self) -> dict[str, str | None]:
        files = (sqlite_url(self.path / _STUDY), journal_url(self.path / _JOURNAL))
        own = self.storage in (None, *files)
        shown = None if own or self.storage is None else without_password(self.storage)
        return {"storage": shown, "study_name": self.study_name}

    def check_free_for(self, run: RunFolder) -> None:
        """Raise if the folder holds a run that is not this one. Changes nothing.

        Raises:
            OutputError: It does.
        """
        same = self.path.exists() and run.path.exists() and self.path.samefile(run.path)
        if not same and _read_marker(self.path) is not None:
            raise OutputError(
                f"The folder {self.path} holds another run, whose files would be overwritten. "
                "Choose another --out folder."
            )

    def write_csv(self, front: Front) -> Path:
        """Write `front.csv`: one row per member."""
        from motemo.rendering.files import to_csv

        return self._write("front.csv", to_csv(front))

    def write_json(self, front: Front) -> Path:
        """Write `front.json`: settings, members with spreads, everything evaluated."""
        from motemo.rendering.files import to_json

        return self._write("front.json", to_json(front))

    def write_html(self, front: Front) -> Path:
        """Write `front.html`: one interactive page that needs no network."""
        from motemo.rendering.html import to_html

        return self._write("front.html", to_html(front))

    def write_png(self, front: Front) -> Path:
        """Write `front.png`."""
        from motemo.rendering.png import to_png

        return self._write("front.png", to_png(front))

    def write_onnx(self, front: Front) -> list[Exported]:
        """Write `models/*.onnx`, for the deployment shape that costs were taken for."""
        shape, classes = stored_deployment(front.settings)
        return export_onnx(front, self.path / _MODELS, input_shape=shape, classes=classes)

    def _write(self, name: str, content: str | bytes) -> Path:
        write_atomically(self.path / name, content)
        return self.path / name


def _read_marker(path: Path) -> dict[str, str | None] | None:
    file = path / _MARKER
    try:
        marker = json.loads(file.read_text()) if file.exists() else None
    except (OSError, ValueError) as error:
        raise OutputError(_damaged(file, str(error))) from error
    if marker is None:
        return None
    names = ("storage", "study_name")
    if not isinstance(marker, dict) or not all(
        name in marker and isinstance(marker[name], str | None) for name in names
    ):
        raise OutputError(_damaged(file, "it does not name a storage and a study"))
    return {name: marker[name] for name in names}


def _damaged(file: Path, reason: str) -> str:
    return f"Cannot read {file}: {reason}. It is not of motemo, or damaged; choose another folder."
