"""The folder of a correlation: its settings, its scores, and the files that report it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from motemo.claimed_folder import alone_in, is_marked, read_object
from motemo.correlation.scores import ScoreFile
from motemo.errors import OutputError, SettingsError
from motemo.files import require_writable, write_atomically
from motemo.space import Json

SETTINGS = "settings.json"
_FORMAT = "motemo.correlation"
_DATA, _IDENTITIES = "data", "identities"


@dataclass(frozen=True)
class CorrelationFolder:
    """A folder that holds the scores of one sample.

    Attributes:
        path: The folder.
        fixed: Settings that are the same for all runs into this folder: space, tables, seed, data.
    """

    path: Path
    fixed: Mapping[str, Json]

    @property
    def scores(self) -> ScoreFile:
        """Where the scores are kept."""
        return ScoreFile(self.path / "scores.jsonl")

    def check(self) -> None:
        """Raise unless the folder is free, or was made with these settings. Changes nothing.

        Raises:
            OutputError: It holds something else.
            SettingsError: It was made with other settings; the message names each.
        """
        if not is_marked(self.path / SETTINGS):
            return
        stored = self._stored()
        differences = [
            f"{name}: stored {json.dumps(stored.get(name))}, given {json.dumps(given)}"
            for name, given in json.loads(json.dumps(self.fixed)).items()
            if not _agree(name, stored.get(name), given)
        ]
        if differences:
            raise SettingsError(
                f"The scores in {self.path} were made with other settings:\n  "
                + "\n  ".join(differences)
                + "\nUse the same settings, or another --out folder. Cells, estimates and truths "
                "may be added."
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Mark the folder as this correlation's, and keep other processes out of it.

        Raises:
            OutputError: Another process is at work in it, or it cannot be written.
        """
        require_writable(self.path / SETTINGS)
        with alone_in(self.path, "correlate"):
            if not (self.path / SETTINGS).exists():
                self.write_settings({}, identities={})
            yield

    def write_settings(self, others: Mapping[str, Json], *, identities: Mapping[str, Json]) -> Path:
        """Write the settings; the data stay known in a run that uses none.

        Args:
            others: Settings of this run alone.
            identities: What the identities of its scores stand for, beside those of earlier runs.
        """
        stored = self._stored() if (self.path / SETTINGS).exists() else {}
        data = self.fixed.get(_DATA) or stored.get(_DATA)
        known = stored.get(_IDENTITIES)
        known = {**known, **identities} if isinstance(known, dict) else dict(identities)
        content = {
            "format": _FORMAT,
            **self.fixed,
            _DATA: data,
            **others,
            _IDENTITIES: known,
        }
        return self.write(SETTINGS, json.dumps(content, indent=2) + "\n")

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one of the reports."""
        write_atomically(self.path / name, content)
        return self.path / name

    def _stored(self) -> dict[str, Json]:
        file = self.path / SETTINGS
        content = read_object(file)
        if content.get("format") != _FORMAT:
            raise OutputError(f"{file} is not of motemo correlate; choose another folder.")
        return content


def _agree(name: str, stored: Json, given: Json) -> bool:
    """Return whether settings are the same; data that nothing used yet agree with any."""
    return stored == given or (name == _DATA and not (stored and given))
