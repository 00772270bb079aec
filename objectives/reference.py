"""Reference samples: scores of random architectures of a space, which positions are among."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from motemo.errors import DataError, SettingsError
from motemo.files import write_atomically
from motemo.objective import Objective
from motemo.objectives.positions import Scale
from motemo.seeds import derive_seed
from motemo.space import Architecture, Json, Space

_DRAWS_EACH = 100
_DIGEST_LENGTH = 16


@dataclass(frozen=True)
class PartScores:
    """What one estimate gave for the sample.

    Attributes:
        name: Its name.
        identity: Short name of the estimate and all its options.
        values: One per architecture, as the estimate gave them; None where it has none.
    """

    name: str
    identity: str
    values: tuple[float | None, ...]

    @cached_property
    def scale(self) -> Scale:
        """The distribution of the values."""
        return Scale.of([value for value in self.values if value is not None])


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Scores of a random sample of a space; plain data, so that they are computed once.

    Attributes:
        space: Short name of the space and its options.
        seed: Seed of the sample.
        size: Architectures asked for; a small space has fewer.
        architectures: The genotypes.
        parts: Scores of each estimate.
    """

    space: str
    seed: int
    size: int
    architectures: tuple[str, ...]
    parts: tuple[PartScores, ...]

    @property
    def digest(self) -> str:
        """Short name of the content."""
        return digest(self.to_json())

    def to_json(self) -> dict[str, Json]:
        """Return it as plain data."""
        content: dict[str, Json] = json.loads(json.dumps(asdict(self)))
        return content

    @classmethod
    def from_json(cls, content: Any) -> Reference:  # noqa: ANN401  (whatever a file holds)
        """Read what `to_json` returned.

        Raises:
            DataError: It is something else.
        """
        try:
            parts = [PartScores(**{**p, "values": tuple(p["values"])}) for p in content["parts"]]
            return cls(
                space=content["space"],
                seed=content["seed"],
                size=content["size"],
                architectures=tuple(content["architectures"]),
                parts=tuple(parts),
            )
        except (TypeError, KeyError) as error:
            raise DataError(
                f"This is no reference of a hybrid: {type(error).__name__}: {error}. Write one by "
                "`Reference.write`."
            ) from error

    def write(self, path: str | Path) -> None:
        """Write it as a JSON file."""
        write_atomically(Path(path), json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Reference:
        """Read what `write` wrote.

        Raises:
            DataError: The file cannot be read, or is something else.
        """
        try:
            content = json.loads(Path(path).read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"Cannot read the reference {path}: {error}.") from error
        return cls.from_json(content)

    def scales(self, space: Space, estimates: tuple[Objective, ...]) -> tuple[Scale, ...]:
        """Return the scale of each estimate.

        Raises:
            SettingsError: The reference is of another space, or of other estimates.
        """
        if self.space != space_digest(space):
            raise SettingsError(
                f"The reference of the hybrid is of another space than {space.name!r}. Score one "
                "for this space."
            )
        known = {(part.name, part.identity): part for part in self.parts}
        wanted = [(estimate.name, digest(described(estimate))) for estimate in estimates]
        missing = [name for name, identity in wanted if (name, identity) not in known]
        if missing:
            raise SettingsError(
                f"The reference of the hybrid has no scores of {', '.join(missing)} with these "
                f"options. It has: {', '.join(part.name for part in self.parts)}. Score another, "
                "or use the options that it was made with."
            )
        return tuple(known[place].scale for place in wanted)


def random_sample(space: Space, size: int, *, seed: int) -> list[Architecture]:
    """Return random valid architectures in their canonical form, each once.

    Fewer than `size` if a hundred draws for each find no more.
    """
    rng = np.random.default_rng(derive_seed("reference", seed, space.name))
    chosen: dict[str, Architecture] = {}
    for _ in range(_DRAWS_EACH * size):
        if len(chosen) == size:
            break
        architecture = space.sample(rng)
        if architecture.invalid_reason is None:
            chosen.setdefault(architecture.key, architecture.canonical)
    return list(chosen.values())


def described(objective: Objective) -> dict[str, Json]:
    """Return an objective's class and every option that changes a value."""
    return {"objective": type(objective).__qualname__, "options": objective.identity()}


def space_digest(space: Space) -> str:
    """Return a short name of a space and its options."""
    return digest({"name": space.name, **space.identity()})


def digest(content: Json) -> str:
    """Return a short name of plain data: equal for equal data."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
