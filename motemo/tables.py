"""Tables of architectures: published records, read from CSV files that a user names.

A table has one row per written architecture, in the column `arch`. Further tables are joined to it
on the column `arch` or `index`.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from motemo.errors import DataError, GenotypeError
from motemo.space import Architecture, Space

_ARCH, _INDEX = "arch", "index"
_JOINS = (_ARCH, _INDEX)

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers of architectures.

    Attributes:
        architectures: One per row.
        columns: By name, `(rows,)` numbers each; NaN where a row has none.
    """

    architectures: tuple[Architecture, ...]
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.architectures)

    def complete(self) -> Table:
        """Return the rows that have a finite number in every column."""
        present = np.ones(len(self), dtype=np.bool_)
        for values in self.columns.values():
            present &= np.isfinite(values)
        return self._rows(np.flatnonzero(present))

    def networks(self) -> Table:
        """Return one row per network: the canonical architecture and the mean of its rows.

        Cells written differently may be one network, with equal `Architecture.key`. A search
        evaluates the canonical form, and the table holds whichever forms were written, so all that
        is known of a network counts. Empty cells are left out of the mean; a mean of nothing, or of
        what is not finite, is NaN.
        """
        keys = [architecture.key for architecture in self.architectures]
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        order = sorted(first, key=first.__getitem__)
        position = {key: place for place, key in enumerate(order)}
        owner = np.array([position[key] for key in keys], dtype=np.intp)
        return Table(
            tuple(self.architectures[first[key]].canonical for key in order),
            {name: _means(values, owner, len(order)) for name, values in self.columns.items()},
        )

    def valid(self) -> Table:
        """Return the rows whose architecture can be searched."""
        rows = [row for row, a in enumerate(self.architectures) if a.invalid_reason is None]
        return self._rows(np.array(rows, dtype=np.intp))

    def _rows(self, rows: NDArray[np.intp]) -> Table:
        return Table(
            tuple(self.architectures[row] for row in rows),
            {name: values[rows] for name, values in self.columns.items()},
        )


def _means(values: Floats, owner: NDArray[np.intp], owners: int) -> Floats:
    finite = np.isfinite(values)
    counts = np.bincount(owner[finite], minlength=owners)
    sums = np.bincount(owner[finite], weights=values[finite], minlength=owners)
    means = np.full(owners, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


Paths: TypeAlias = str | Path | Sequence[str | Path]


def read_table(paths: Paths, *, columns: Sequence[str], space: Space) -> Table:
    """Read columns of numbers from one CSV file, or from several that are joined.

    A file may be compressed (`.gz`). One of them has the column `arch`: the genotype as the space
    writes it. The others have `arch` or `index`, on which they are joined to those before them;
    only rows that all files have are kept.

    Args:
        paths: The file or files.
        columns: Columns to read, each in exactly one of the files.
        space: The space that the architectures are of.

    Raises:
        DataError: A file cannot be read, a column is missing, ambiguous or not of numbers, a row's
            architecture cannot be read, or the files have no row in common.
    """
    files = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not files or len(set(files)) < len(files):
        raise DataError("Give each table once, and at least one, with a column 'arch'.")
    wanted = tuple(dict.fromkeys(columns))
    headers = {file: _header(file) for file in files}
    _check_columns(headers, wanted)
    frame = _joined([_frame(file, wanted) for file in files], files)
    return Table(
        tuple(_architectures(frame, files, space)),
        {name: _numbers(frame, name, headers) for name in wanted},
    )


def _header(file: Path) -> list[str]:
    """Return the names of the columns of a file."""
    return [str(name) for name in _read(file, rows=0).columns]


def _frame(file: Path, wanted: Sequence[str]) -> pd.DataFrame:
    return _read(file, columns=(*_JOINS, *wanted))


def _read(
    file: Path, *, columns: Sequence[str] | None = None, rows: int | None = None
) -> pd.DataFrame:
    def needed(name: object) -> bool:
        return columns is None or name in columns

    try:
        return pd.read_csv(file, dtype={_ARCH: str}, usecols=needed, nrows=rows)
    except (
        OSError,
        ValueError,
        EOFError,
        zlib.error,
    ) as error:  # pandas' own errors are ValueErrors
        raise DataError(
            f"Cannot read the table {file}: {error}. Give a CSV file, plain or .gz, with a header."
        ) from error


def _check_columns(headers: Mapping[Path, Sequence[str]], wanted: Sequence[str]) -> None:
    names = ", ".join(map(str, headers))
    if not any(_ARCH in header for header in headers.values()):
        raise DataError(f"No column 'arch' in {names}. One table must name the architectures.")
    known = sorted({name for header in headers.values() for name in header} - set(_JOINS))
    for name in wanted:
        holders = [str(file) for file, header in headers.items() if name in header]
        if len(holders) > 1:
            raise DataError(
                f"The column {name!r} stands in {' and in '.join(holders)}. Rename one of them, or "
                "leave out a table."
            )
        if not holders or name in _JOINS:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise DataError(
                f"No column {name!r} in {names}.{hint} Columns: {', '.join(known) or 'none'}."
            )


def _joined(frames: Sequence[pd.DataFrame], files: Sequence[Path]) -> pd.DataFrame:
    """Join the frames from the first on, those that name architectures before the others."""
    order = sorted(range(len(frames)), key=lambda place: _ARCH not in frames[place].columns)
    frame = frames[order[0]]
    for place in order[1:]:
        other, file = frames[place], files[place]
        on = next((name for name in _JOINS if name in frame and name in other), None)
        if on is None:
            raise DataError(
                f"The table {file} cannot be joined to {files[order[0]]}: they have neither 'arch' "
                "nor 'index' in common."
            )
        repeated = other[on][other[on].duplicated()]
        if len(repeated):
            raise DataError(
                f"The table {file} has {on} {repeated.iloc[0]} in more than one row, so it "
                "cannot be joined. Give it first, or average its rows."
            )
        kept = [name for name in other.columns if name == on or name not in _JOINS]
        frame = frame.merge(other[kept], on=on, how="inner")
        if frame.empty:
            raise DataError(f"The table {file} has no {on} in common with {files[order[0]]}.")
    if frame.empty:
        raise DataError(f"The table {files[0]} has no rows.")
    return frame


def _architectures(frame: pd.DataFrame, files: Sequence[Path], space: Space) -> list[Architecture]:
    found = []
    for genotype in frame[_ARCH]:
        try:
            found.append(space.architecture(genotype if isinstance(genotype, str) else ""))
        except GenotypeError as error:
            raise DataError(
                f"In {', '.join(map(str, files))}, the column 'arch' has {genotype!r}, which is no "
                f"architecture of the space {space.name!r}: {error}"
            ) from error
    return found


def _numbers(frame: pd.DataFrame, name: str, headers: Mapping[Path, Sequence[str]]) -> Floats:
    numbers = pd.to_numeric(frame[name], errors="coerce")
    odd = frame[name][numbers.isna() & frame[name].notna()]
    if len(odd):
        file = next(file for file, header in headers.items() if name in header)
        raise DataError(
            f"The column {name!r} of {file} has {odd.iloc[0]!r}, which is no number. Give a column "
            "of numbers."
        )
    return numbers.to_numpy(dtype=np.float64)
