"""Compare motemo with the published NAS-Bench-Macro records, row by row.

The records are not part of motemo. Give the path of a table (CSV, may be gzipped) with the columns
`arch` (eight digits), `same_network` (equal for genotypes that are one network), `params_m` and
`flops_m`, both in millions.

Checked are the number of keys, the partition into networks, and the parameters and multiply-adds
of every row. The published multiply-adds leave out the bias of the classifier; so does this
comparison. Figures are compared as published, to eight digits. Exits with status 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from motemo.counting import count_operators, count_parameters
from motemo.space import Shape
from motemo.spaces.nasbench_macro import NasBenchMacro

INPUT_SHAPE: Shape = (3, 32, 32)
CLASSES = 10
KEYS = 3_969
PRECISION = ".8g"
"""Digits of published figures."""
SHOWN = 3
"""How many mismatches are printed."""


def main() -> int:
    """Run all checks and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV of published records")
    parser.add_argument("--rows", type=int, help="count the first so many rows only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    types = {"arch": str, "same_network": str}
    table = pd.read_csv(arguments.table, dtype=types)
    mismatches = _check_keys(table) + _check_counts(table[: arguments.rows])
    print("all equal" if mismatches == 0 else f"{mismatches} mismatches in all")
    return int(mismatches > 0)


def _check_keys(table: pd.DataFrame) -> int:
    """Compare the keys with the published networks; return the number of differences."""
    space = NasBenchMacro()
    found = len({space.canonical("".join(digits)) for digits in product("012", repeat=8)})
    print(f"keys: {found:,} of {KEYS:,}")
    keys = table["arch"].map(space.canonical)
    split = table.groupby("same_network")["arch"].transform(
        lambda a: a.map(space.canonical).nunique()
    )
    merged = table.groupby(keys)["same_network"].transform("nunique")
    wrong = int(((split > 1) | (merged > 1)).sum())
    print(f"rows whose key is not their network: {wrong} of {len(table):,}")
    return int(found != KEYS) + wrong


def _check_counts(table: pd.DataFrame) -> int:
    """Count the parameters and multiply-adds of every row; return the number of differences."""
    wrong = 0
    for number, row in enumerate(table.to_dict("records"), start=1):
        published = tuple(f"{row[name]:{PRECISION}}" for name in ("params_m", "flops_m"))
        counted = tuple(f"{count / 1e6:{PRECISION}}" for count in _count(row["arch"]))
        if counted != published:
            wrong += 1
            if wrong <= SHOWN:
                print(f"  {row['arch']}: counted {counted}, published {published}")
        if number * 10 // len(table) > (number - 1) * 10 // len(table):
            print(f"counted {number:,} of {len(table):,}", file=sys.stderr, flush=True)
    print(f"params and flops: {wrong} of {len(table):,} differ")
    return wrong


def _count(genotype: str) -> tuple[int, int]:
    """Return parameters, and multiply-adds without biases."""
    network = NasBenchMacro().architecture(genotype).build(input_shape=INPUT_SHAPE, classes=CLASSES)
    counts = count_operators(network, INPUT_SHAPE)
    return count_parameters(network), counts.flops - counts.multiply_adds.get("bias", 0)


if __name__ == "__main__":
    sys.exit(main())
