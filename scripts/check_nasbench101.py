"""Compare motemo with published NAS-Bench-101 records, row by row.

The records are not part of motemo. Give the paths of tables (CSV, may be gzipped) with the columns
`arch` (matrix and operations as compact JSON), `same_network` (equal for isomorphic cells) and
`params_m` in millions; where a table has them, also `flops_m` in millions and `hash`.

Checked are the partition into networks and, for every row, the parameters, the hash, and the
operations in the convention of tensorwatch: multiply-adds without biases, two operations per
output of a batch normalisation, one per ReLU, and the window of each pooling output. Figures are
compared as published, to eight digits. Exits with status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from motemo.counting import count_parameters
from motemo.space import Shape
from motemo.spaces.nasbench101 import NasBench101, cell_graph
from motemo.spaces.nasbench101_cell import published_hash

INPUT_SHAPE: Shape = (3, 32, 32)
CLASSES = 10
PRECISION = 5e-8
"""Relative error of published figures."""
SHOWN = 3
"""How many mismatches are printed."""


def main() -> int:
    """Run all checks and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tables", type=Path, nargs="+", help="CSV files of published records")
    parser.add_argument("--rows", type=int, help="count the first so many rows of each only")
    arguments = parser.parse_args()
    mismatches = 0
    for path in arguments.tables:
        print(path.name)
        table = pd.read_csv(path, dtype={"arch": str})
        mismatches += _check_keys(table) + _check_rows(table[: arguments.rows])
    print("all equal" if mismatches == 0 else f"{mismatches} mismatches in all")
    return int(mismatches > 0)


def _check_keys(table: pd.DataFrame) -> int:
    """Compare the keys with the published networks; return the number of differences."""
    keys = table["arch"].map(NasBench101().canonical)
    merged = table.groupby(keys)["same_network"].transform("nunique")
    split = keys.groupby(table["same_network"]).transform("nunique")
    wrong = int(((merged > 1) | (split > 1)).sum())
    print(f"  rows whose key is not their network: {wrong} of {len(table):,}")
    return wrong


def _check_rows(table: pd.DataFrame) -> int:
    """Compare every published figure; return the number of rows that differ."""
    wrong = 0
    figures = [name for name in ("params_m", "flops_m", "hash") if name in table.columns]
    for row in table.to_dict("records"):
        published = {name: row[name] for name in figures}
        computed = {name: _figure(name, row["arch"]) for name in figures}
        if not all(_agree(computed[name], published[name]) for name in figures):
            wrong += 1
            if wrong <= SHOWN:
                print(f"  {row['arch']}: computed {computed}, published {published}")
    print(f"  {', '.join(figures)}: {wrong} of {len(table):,} differ")
    return wrong


def _figure(name: str, genotype: str) -> float | str:
    if name == "hash":
        cell = cell_graph(genotype)
        return "" if cell is None else published_hash(cell)
    with torch.device("meta"):  # shapes are enough
        network = NasBench101().build(genotype, input_shape=INPUT_SHAPE, classes=CLASSES)
    return (count_parameters(network) if name == "params_m" else _operations(network)) / 1e6


def _operations(network: nn.Module) -> int:
    """Return operations in the published convention."""
    total = 0

    def count(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        match module:
            case nn.Conv2d() | nn.Linear():
                total += output.numel() * module.weight[0].numel()
            case nn.BatchNorm2d():
                total += 2 * output.numel()
            case nn.ReLU():
                total += output.numel()
            case nn.MaxPool2d(kernel_size=int(side)):
                total += output.numel() * side**2

    for module in network.modules():
        if not any(module.children()):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, *INPUT_SHAPE, device="meta"))
    return total


def _agree(one: float | str, other: float | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return math.isclose(one, other, rel_tol=PRECISION)


if __name__ == "__main__":
    sys.exit(main())
