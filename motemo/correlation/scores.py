"""The scores of a correlation, kept line by line as they come."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from motemo.errors import OutputError
from motemo.space import Json


@dataclass(frozen=True, kw_only=True)
class Score:
    """What an estimate gave for a network.

    Attributes:
        key: The network.
        identity: Of the estimate and all its options (`Scored.identity`).
        value: The objective's value, finite; None if it has none.
        failure: Why it has no value, or None.
        seconds: Wall-clock seconds that it would take alone, a shared training included.
        cpu_seconds: Seconds of processor time, likewise.
        training: Name of the training that it was read from, or None (`Scored.training`).
        training_seconds: What of `seconds` that training took.
        training_cpu_seconds: What of `cpu_seconds`.
        record: Whatever explains the value, if it was asked for.
    """

    key: str
    identity: str
    value: float | None = None
    failure: str | None = None
    seconds: float
    cpu_seconds: float
    training: str | None = None
    training_seconds: float = 0.0
    training_cpu_seconds: float = 0.0
    record: Mapping[str, Json] = field(default_factory=dict)

    def to_line(self) -> str:
        """Return the score as one line of JSON; what is empty is left out."""
        content = {name: v for name, v in asdict(self).items() if v is not None and v != {}}
        return json.dumps(content) + "\n"


@dataclass(frozen=True)
class ScoreFile:
    """A file of scores that only grows.

    Attributes:
        path: The file; it may not exist yet.
    """

    path: Path

    def read(self, *, failures: bool = True) -> dict[tuple[str, str], Score]:
        """Return the scores by key and identity; a later line replaces an earlier one.

        A line that a crash cut off is left out.

        Args:
            failures: Whether what failed is returned, too.

        Raises:
            OutputError: The file is damaged or of something else.
        """
        found: dict[tuple[str, str], Score] = {}
        content = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                score = Score(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise OutputError(
                    f"Line {number} of {self.path} is damaged, or not of this version of motemo: "
                    f"{error}. Delete the line, or choose another --out folder."
                ) from error
            found[score.key, score.identity] = score
        return {k: s for k, s in found.items() if failures or s.failure is None}

    def append(self, scores: Iterable[Score]) -> None:
        """Write scores so that they survive a crash of the machine."""
        with self.path.open("ab") as file:
            file.write("".join(score.to_line() for score in scores).encode())
            file.flush()
            os.fsync(file.fileno())

    def cut_torn_line(self) -> None:
        """Cut off a last line that a crash left without its end."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            whole = file.read().rfind(b"\n") + 1
            file.truncate(whole)
