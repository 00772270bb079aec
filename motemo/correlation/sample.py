"""Which cells of a table an estimate is tried on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from motemo.errors import DataError, SettingsError
from motemo.seeds import derive_seed
from motemo.space import Architecture, Space
from motemo.tables import Floats, read_table

Cells: TypeAlias = int | Literal["all"]
DEFAULT_CELLS = 200
_LEAST = 2


@dataclass(frozen=True, eq=False)
class Sample:
    """Cells drawn from a table.

    Attributes:
        cells: As written in the table.
        columns: Truths and columns that serve as estimates, `(n,)` each; truths are finite.
    """

    cells: tuple[Architecture, ...]
    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The key of each cell; cells that compute the same share one, and its scores."""
        return tuple(cell.key for cell in self.cells)

    @property
    def networks(self) -> tuple[str, ...]:
        """Each key once, in the order of the cells."""
        return tuple(dict.fromkeys(self.keys))


def draw(
    paths: Sequence[Path],
    *,
    space: Space,
    truths: Sequence[str],
    columns: Sequence[str],
    cells: Cells,
    seed: int,
) -> Sample:
    """Return the first cells of a seeded permutation that are valid and have all truths.

    The permutation is of all valid rows, so samples with growing `cells` are nested, and another
    truth only takes away the rows that lack it.

    Args:
        paths: The tables, joined.
        space: Space of the cells.
        truths: Columns that a cell must have.
        columns: Further columns; a cell may lack them.
        cells: How many; all there are if fewer, or `all`.
        seed: Seed of the permutation.

    Raises:
        DataError: The tables cannot be read, or fewer than two rows are left.
        SettingsError: Too few cells are asked for.
    """
    if cells != "all" and cells < _LEAST:
        raise SettingsError(f"A correlation needs at least {_LEAST} cells; got {cells}.")
    read = read_table(paths, columns=(*truths, *columns), space=space)
    table = read.valid()
    known = np.all([np.isfinite(table.columns[truth]) for truth in truths], axis=0)
    order = np.random.default_rng(derive_seed("cells", seed)).permutation(len(table))
    chosen = order[known[order]][: None if cells == "all" else cells].tolist()
    if len(chosen) < _LEAST:
        raise DataError(
            f"{len(chosen)} of {len(read)} rows have a valid architecture and a number in "
            f"{', '.join(truths)}; a correlation needs at least {_LEAST}."
        )
    return Sample(
        tuple(table.architectures[row] for row in chosen),
        {name: values[chosen] for name, values in table.columns.items()},
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read the table {path}: {error}.") from error
