"""`TableLookup`: the value that a table holds; makes a search on published records take seconds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from motemo.objective import Direction, Measurement, Objective, Outcome, Skipped, Stage
from motemo.space import Architecture, Json, Space
from motemo.tables import Paths, Table, read_table


@dataclass(frozen=True, kw_only=True)
class TableLookup(Objective):
    """A value looked up by the architecture's key; exact.

    Rows of one network are averaged: a search evaluates the canonical form, and the table holds
    whichever forms were written. What the table lacks is `Skipped`: in a study, a pruned trial
    that does not count as an evaluation.

    Attributes:
        column: Column of the table.
        direction: Which values are better.
        values: The value of each network, by `Architecture.key`.
        name: Name of the objective; by default the column's, as a word.
        unit: Unit of the values.
        stage: How dear the evaluation that the table stands for is.
        sha256: Digest of the values.
    """

    column: str
    direction: Direction
    values: Mapping[str, float] = field(repr=False, compare=False)
    name: str = ""
    unit: str = ""
    stage: Stage = Stage.TRAIN
    batched: bool = field(default=True, init=False)
    occupies_host: bool = field(default=False, init=False)
    sha256: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or as_word(self.column))
        text = json.dumps(sorted(self.values.items()))
        object.__setattr__(self, "sha256", hashlib.sha256(text.encode()).hexdigest())

    @classmethod
    def read(
        cls,
        paths: Paths,
        *,
        column: str,
        space: Space,
        direction: Direction,
        name: str = "",
        unit: str = "",
        stage: Stage = Stage.TRAIN,
    ) -> TableLookup:
        """Read one column of a table, or of several that are joined (`motemo.tables`).

        Args:
            paths: CSV file or files, plain or `.gz`.
            column: The column.
            space: The space that the architectures in the column `arch` are of.
            direction: Which values are better.
            name: Name of the objective; by default the column's, as a word.
            unit: Unit of the values.
            stage: How dear the evaluation that the table stands for is.

        Raises:
            DataError: The table cannot be read, or lacks the column.
        """
        table = read_table(paths, columns=[column], space=space)
        return cls.of(table, column=column, direction=direction, name=name, unit=unit, stage=stage)

    @classmethod
    def of(
        cls,
        table: Table,
        *,
        column: str,
        direction: Direction,
        name: str = "",
        unit: str = "",
        stage: Stage = Stage.TRAIN,
    ) -> TableLookup:
        """Look values up in one column of a table that has been read."""
        networks = table.networks()
        values = {
            architecture.genotype: float(value)
            for architecture, value in zip(
                networks.architectures, networks.columns[column], strict=True
            )
            if np.isfinite(value)
        }
        return cls(
            column=column, direction=direction, values=values, name=name, unit=unit, stage=stage
        )

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Look each architecture up."""
        return [self._look_up(architecture) for architecture in architectures]

    def identity(self) -> dict[str, Json]:
        """Column, and a digest of all values."""
        return {"column": self.column, "sha256": self.sha256}

    def _look_up(self, architecture: Architecture) -> Outcome:
        value = self.values.get(architecture.key)
        return Skipped("not in the table") if value is None else Measurement.exact(value, self.unit)


def as_word(column: str) -> str:
    """Return a column's name as a word that can name an objective."""
    word = re.sub(r"\W", "_", column)
    return word if word.isidentifier() else f"_{word}"
