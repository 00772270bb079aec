"""Compare motemo with the published TransNAS-Bench-101 macro records, row by row.

The records are not part of motemo. Give the path of a table (CSV, may be gzipped) of
NAS-Bench-Suite-Zero with the columns `arch` and, for the tasks class_scene, class_object and
room_layout, `TASK_params_m` and `TASK_flops_m`, both in millions.

Checked are the number of networks, that every row is one of them, and the parameters and FLOPs of
every row, where they are given. Published FLOPs are those of a tool that counts, beside the
multiply-adds of convolutions and the classifier without its bias, two operations for each output
of a batch normalisation, one for each output of a ReLU, and (H + 1) x (W + 1) for each channel that
is pooled. Figures are compared as published, to eight digits. Exits with status 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from motemo.counting import count_parameters
from motemo.space import Shape
from motemo.spaces.transnas_macro import TransNasMacro

INPUT_SHAPE: Shape = (3, 256, 256)
TASKS = {"class_scene": 63, "class_object": 100, "room_layout": 9}
"""Outputs of the published networks."""
NETWORKS = 3_256
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
    table = pd.read_csv(arguments.table, dtype={"arch": str})
    mismatches = _check_networks(table) + _check_counts(table[: arguments.rows])
    print("all equal" if mismatches == 0 else f"{mismatches} mismatches in all")
    return int(mismatches > 0)


def _check_networks(table: pd.DataFrame) -> int:
    """Count the networks, and the rows that are none; return the number of differences."""
    space = TransNasMacro()
    written = (f"64-{''.join(digits)}-basic" for length in (4, 5, 6) for digits in _chains(length))
    found = sum(space.invalid_reason(genotype) is None for genotype in written)
    print(f"networks: {found:,} of {NETWORKS:,}")
    none = sum(
        space.invalid_reason(genotype) is not None or space.canonical(genotype) != genotype
        for genotype in table["arch"]
    )
    print(f"rows that are no such network: {none} of {len(table):,}")
    return abs(found - NETWORKS) + none


def _chains(length: int) -> product[tuple[str, ...]]:
    return product("1234", repeat=length)


def _check_counts(table: pd.DataFrame) -> int:
    """Compare parameters and FLOPs; return the number of rows and tasks that differ."""
    counts = {genotype: _counts(genotype) for genotype in table["arch"]}
    mismatches = 0
    for task, outputs in TASKS.items():
        columns = [f"{task}_params_m", f"{task}_flops_m"]
        rows = table.dropna(subset=columns)
        wrong = []
        for genotype, *published in rows[["arch", *columns]].itertuples(index=False):
            found = counts[genotype].with_outputs(outputs)
            if [_shown(count / 1e6) for count in found] != [_shown(figure) for figure in published]:
                wrong.append(f"{genotype}: {found}, published {published}")
        equal = f"{len(rows) - len(wrong):,} of {len(rows):,} equal"
        print(f"{task}: {equal}", *wrong[:SHOWN], sep="\n")
        mismatches += len(wrong)
    return mismatches


def _shown(figure: float) -> str:
    return f"{figure:{PRECISION}}"


@dataclass(frozen=True)
class Counts:
    """Parameters and FLOPs of a network before its classifier, which reads `features`."""

    params: int
    flops: int
    features: int

    def with_outputs(self, outputs: int) -> tuple[int, int]:
        """Return parameters and FLOPs with a classifier."""
        return (
            self.params + (self.features + 1) * outputs,
            self.flops + self.features * outputs,
        )


def _counts(genotype: str) -> Counts:
    with torch.device("meta"):
        network = TransNasMacro().build(genotype, input_shape=INPUT_SHAPE, classes=1).eval()
        images = torch.zeros(1, *INPUT_SHAPE)
    classifier = next(layer for layer in network.children() if isinstance(layer, nn.Linear))
    flops = 0

    def see(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal flops
        flops += _operations(module, inputs[0], output)

    for module in network.modules():
        if module is not classifier:
            module.register_forward_hook(see)
    with torch.no_grad():
        network(images)
    return Counts(
        count_parameters(network) - count_parameters(classifier), flops, classifier.in_features
    )


def _operations(module: nn.Module, given: torch.Tensor, output: torch.Tensor) -> int:
    match module:
        case nn.Conv2d():
            return output.numel() * module.weight[0].numel()
        case nn.BatchNorm2d():
            return 2 * output.numel()
        case nn.ReLU():
            return output.numel()
        case nn.AdaptiveAvgPool2d():
            return given.shape[1] * math.prod(side + 1 for side in given.shape[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
