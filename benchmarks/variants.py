"""Variants of an estimate on one sample of cells, with paired differences: shown and stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from stored import store

from motemo.correlation.report import Correlations
from motemo.space import Json

Row = Mapping[str, Json]


def rows_of(found: Correlations, labels: Collection[str]) -> list[Row]:
    """Return a row per estimate and truth, with the difference to the one compared against.

    Args:
        found: Correlations, with differences to one estimate.
        labels: The estimates wanted.
    """
    differences = {(row.estimate, row.truth): asdict(row) for row in found.differences}
    names = ("against", "difference", "low", "high")
    return [
        asdict(row) | {k: differences.get((row.estimate, row.truth), {}).get(k) for k in names}
        for row in found.rows
        if row.estimate in labels
    ]


def show(rows: Sequence[Row]) -> None:
    print(f"{'variant':34} {'truth':28} {'n':>4}  tau [95 %]             difference [95 %]       s")
    for row in rows:
        tau = f"{row['tau']:.3f} [{row['tau_low']:.3f}, {row['tau_high']:.3f}]"
        change = ""
        if row["difference"] is not None:
            change = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        label, truth, seconds = row["estimate"], row["truth"], row["seconds_per_cell"]
        print(f"{label:34} {truth:28} {row['n']:>4}  {tau:22} {change:24} {seconds:.2f}")


def keep(path: Path, rows: Sequence[Row], settings: Mapping[str, Json]) -> None:
    """Write rows as JSON, where scripts/tables.py finds them."""
    store(path, {**settings, "rows": [dict(row) for row in rows]}, packages=("torch",))
