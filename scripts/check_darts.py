"""Compare motemo with published records of DARTS and NAS-Bench-301 cells, row by row.

The records are not part of motemo. Give the path of a table (CSV, may be gzipped) with the columns
`arch` (both cells as compact JSON), `same_network` (equal for genotypes that are one network),
`params_m` and `flops_m`, both in millions.

`--darts`: the network of 20 cells and 36 channels. Operations in the convention of thop:
multiply-adds without biases, four operations per output of a batch normalisation, one per output
of an average pooling, and for the global pooling one per input and output.

`--nasbench301`: the network of 8 cells and 32 channels. In the counted network the normalisations
within the cells' operations had no weights, and poolings were followed by one; in ours, as in the
published code for training, the former have weights and the latter are not there. Parameters are
compared without these weights. Operations are in the convention of tensorwatch: multiply-adds
without biases, two per output of a normalisation (one without weights), one per ReLU, the window
of each pooling output, and a constant that we could not explain.

Figures are compared as published, to eight digits. Exits with status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from motemo.counting import count_parameters
from motemo.space import Shape
from motemo.spaces.darts import Darts
from motemo.spaces.darts_network import DartsNetwork

INPUT_SHAPE: Shape = (3, 32, 32)
CLASSES = 10
PRECISION = 5e-8
"""Relative error of published figures."""
WINDOW = 9
"""Elements of a pooling window."""
WITHIN_CELLS = ".operations."
"""Part of the names of the layers that a cell's operations are made of."""
UNEXPLAINED = 41_472
"""Operations that every published NAS-Bench-301 row has more than we can account for."""
SHOWN = 3
"""How many mismatches are printed."""


def main() -> int:
    """Run all checks and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--darts", type=Path, help="CSV of records of 20 cells")
    parser.add_argument("--nasbench301", type=Path, help="CSV of records of 8 cells")
    parser.add_argument("--rows", type=int, help="count the first so many rows of each only")
    arguments = parser.parse_args()
    mismatches = 0
    for path, space, figures in (
        (arguments.darts, Darts(), {"params_m": _parameters, "flops_m": _operations}),
        (
            arguments.nasbench301,
            Darts.nasbench301(),
            {"params_m": _parameters_without, "flops_m": _operations_without},
        ),
    ):
        if path is not None:
            print(path.name)
            table = pd.read_csv(path, dtype={"arch": str})
            mismatches += _check_keys(table, space)
            mismatches += _check_rows(table[: arguments.rows], space, figures)
    print("all equal" if mismatches == 0 else f"{mismatches} mismatches in all")
    return int(mismatches > 0)


def _check_keys(table: pd.DataFrame, space: Darts) -> int:
    """Compare the keys with the published networks; return the number of differences."""
    keys = table["arch"].map(space.canonical)
    split = keys.groupby(table["same_network"]).transform("nunique")
    wrong = int((split > 1).sum())
    merged = table.groupby(keys)["same_network"].nunique()
    print(f"  rows of one network with several keys: {wrong} of {len(table):,}")
    print(f"  keys that join several published networks: {int((merged > 1).sum())}")
    return wrong


def _check_rows(
    table: pd.DataFrame, space: Darts, figures: Mapping[str, Callable[[DartsNetwork], float]]
) -> int:
    """Compare every published figure; return the number of rows that differ."""
    wrong = 0
    for row in table.to_dict("records"):
        with torch.device("meta"):  # shapes are enough
            network = space.build(row["arch"], input_shape=INPUT_SHAPE, classes=CLASSES)
        published = {name: row[name] for name in figures}
        counted = {name: count(network) / 1e6 for name, count in figures.items()}
        if not all(math.isclose(counted[f], published[f], rel_tol=PRECISION) for f in figures):
            wrong += 1
            if wrong <= SHOWN:
                print(f"  {row['arch']}: counted {counted}, published {published}")
    print(f"  {', '.join(figures)}: {wrong} of {len(table):,} differ")
    return wrong


def _parameters(network: DartsNetwork) -> float:
    return count_parameters(network)


def _parameters_without(network: DartsNetwork) -> float:
    """Return the parameters without the normalisations within the cells' operations."""
    within = (m for name, m in network.cells.named_modules() if WITHIN_CELLS in name)
    return count_parameters(network) - sum(
        p.numel() for m in within if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    )


def _operations(network: DartsNetwork) -> float:
    """Return operations in the convention of thop."""

    def of(name: str, layer: nn.Module, inputs: int, outputs: int) -> int:
        match layer:
            case nn.BatchNorm2d():
                return 4 * outputs
            case nn.AvgPool2d():
                return outputs
            case nn.AdaptiveAvgPool2d():
                return inputs + outputs
        return 0

    return _sum(network, of)


def _operations_without(network: DartsNetwork) -> float:
    """Return operations in the convention of tensorwatch, for the network as it was counted."""

    def of(name: str, layer: nn.Module, inputs: int, outputs: int) -> int:
        match layer:
            case nn.BatchNorm2d():
                return outputs if WITHIN_CELLS in name else 2 * outputs
            case nn.ReLU():
                return outputs
            case nn.AvgPool2d() | nn.MaxPool2d():
                return (WINDOW + 1) * outputs
        return 0

    return _sum(network, of) + UNEXPLAINED


def _sum(network: nn.Module, of: Callable[[str, nn.Module, int, int], int]) -> int:
    """Return multiply-adds without biases, and what else there is of each layer."""
    total = 0

    def count(
        name: str, layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
    ) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += output.numel() * layer.weight[0].numel()
        total += of(name, layer, inputs[0].numel(), output.numel())

    for name, layer in network.named_modules():
        if not any(layer.children()):
            layer.register_forward_hook(partial(count, name))
    network.eval()(torch.zeros(1, *INPUT_SHAPE, device="meta"))
    return total


if __name__ == "__main__":
    sys.exit(main())
