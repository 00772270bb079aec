"""The folder of a benchmark: its settings, its finished runs, and the files that report them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from motemo.benchmark.run import Run
from motemo.claimed_folder import alone_in, is_marked, read_object
from motemo.errors import SettingsError
from motemo.files import write_atomically
from motemo.space import Json

_MARKER = "benchmark.json"
_RUNS = "runs"
_FORMAT = 1


@dataclass(frozen=True)
class BenchmarkFolder:
    """A folder that holds one benchmark.

    Attributes:
        path: The folder.
        settings: What is the same for all its runs.
    """

    path: Path
    settings: Mapping[str, Json]

    def check(self) -> None:
        """Raise unless the folder is free, or holds runs with these settings. Changes nothing.

        Raises:
            OutputError: It holds something else.
            SettingsError: Its runs were made with other settings; the message names each.
        """
        marker = self.path / _MARKER
        if not is_marked(marker):
            return
        stored = read_object(marker).get("settings")
        stored = stored if isinstance(stored, dict) else {}
        differences = [
            f"{name}: stored {json.dumps(stored.get(name))}, given "
            f"{json.dumps(self.settings.get(name))}"
            for name in sorted(stored.keys() | self.settings.keys())
            if stored.get(name) != self.settings.get(name)
        ]
        if differences:
            raise SettingsError(
                f"The benchmark in {self.path} was made with other settings:\n  "
                + "\n  ".join(differences)
                + "\nUse the same settings, or another --out folder. Samplers and seeds may be "
                "added."
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Mark the folder as this benchmark's, and keep other processes out of it.

        Raises:
            OutputError: Another process is at work in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with alone_in(self.path, "benchmark"):
            content = {"format": _FORMAT, "settings": dict(self.settings)}
            write_atomically(self.path / _MARKER, json.dumps(content, indent=2) + "\n")
            yield

    def finished(self, sampler: str, seed: int, *, options: Json) -> Run | None:
        """Return a run that is kept, or None if there is none by a sampler with these options."""
        file = self._file(sampler, seed)
        if not file.exists():
            return None
        kept = read_object(file)
        return Run.from_json(kept["run"]) if kept.get("options") == options else None

    def keep(self, run: Run, *, options: Json) -> None:
        """Write a finished run."""
        content = json.dumps({"options": options, "run": run.to_json()})
        write_atomically(self._file(run.sampler, run.seed), content + "\n")

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one of the reports."""
        write_atomically(self.path / name, content)
        return self.path / name

    def _file(self, sampler: str, seed: int) -> Path:
        return self.path / _RUNS / f"{sampler}-{seed}.json"
