"""Compare motemo with the published records of MobileNet-like spaces, row by row.

The records are not part of motemo. Give a space and the path of a table (CSV, may be gzipped) with
the columns `arch`, `params_m` and `flops_m`, both in millions:

    ofa_mbv3   records of DyNAS-T, ImageNet
    mnasnet    records of Accel-NASBench, ImageNet
    fbnet      proxies published with NASFLAT, CIFAR-100

Checked are the round trip of the genotype, and parameters and FLOPs of every row, to the digits
published. All three count the multiply-adds of convolutions and linear layers without biases, at
the published input size. To these, the records of Accel-NASBench add four operations per output of
a batch normalisation, and one per input and output of a global pooling; those of NASFLAT add two
per output of a batch normalisation, one per input of the global pooling, and one per output of a
ReLU, of a residual block only the second one.

Networks are built without memory for their weights, and counted by the sizes of what each module
returns, each layer once; every hundredth row is counted by `motemo.counting` too. Exits with status
1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pandas as pd
import torch
from torch import nn

from motemo.counting import count_operators, count_parameters
from motemo.registry import SPACES
from motemo.space import Shape, Space
from motemo.spaces.mobile_blocks import InvertedResidual

PRECISION = ".8g"
"""Digits of published figures."""
SHOWN = 3
"""How many mismatches are printed."""
COUNTED_TWICE = 100

Sizes: TypeAlias = Mapping[nn.Module, tuple[int, int]]
"""Numbers of elements that each module gets and returns."""


@dataclass(frozen=True)
class Records:
    """What the records of a space are about, and what they add to the multiply-adds."""

    input_shape: Shape
    classes: int
    added: Callable[[nn.Module, Sizes], int]


class Count(NamedTuple):
    """Multiply-adds of a layer, what the records add to them, and the shape that it returns."""

    multiply_adds: int
    added: int
    output_shape: torch.Size


def main() -> int:
    """Run all checks and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--space", choices=[*RECORDS], required=True)
    parser.add_argument("--table", type=Path, required=True, help="CSV of published records")
    parser.add_argument("--rows", type=int, help="check the first so many rows only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space: Space = SPACES.create(arguments.space)
    table = pd.read_csv(arguments.table, dtype={"arch": str})[: arguments.rows]
    mismatches = _check_round_trip(space, table) + _check_counts(space, table)
    print("all equal" if mismatches == 0 else f"{mismatches} mismatches in all")
    return int(mismatches > 0)


def _check_round_trip(space: Space, table: pd.DataFrame) -> int:
    wrong = [g for g in table["arch"] if space.write(space.read(g)) != g]
    print(f"genotypes: {len(wrong)} of {len(table):,} change when read and written")
    print(f"keys: {table['arch'].map(space.canonical).nunique():,}")
    return len(wrong)


def _check_counts(space: Space, table: pd.DataFrame) -> int:
    """Count parameters and FLOPs of every row; return the number of differences."""
    count = Counter(RECORDS[space.name])
    wrong = 0
    for number, row in enumerate(table.to_dict("records")):
        published = tuple(f"{row[name]:{PRECISION}}" for name in ("params_m", "flops_m"))
        params, multiply_adds, added = count.of(space, row["arch"])
        counted = tuple(f"{c / 1e6:{PRECISION}}" for c in (params, multiply_adds + added))
        by_operator = multiply_adds
        if number % COUNTED_TWICE == 0:
            by_operator = _count_by_operator(space, row["arch"], count.records)
        if counted != published or by_operator != multiply_adds:
            wrong += 1
            if wrong <= SHOWN:
                print(f"  {row['arch']}: counted {counted}, published {published}; ")
                print(f"  multiply-adds {multiply_adds:,}, by operator {by_operator:,}")
        if number * 10 // len(table) > (number - 1) * 10 // len(table):
            print(f"counted {number:,} of {len(table):,}", file=sys.stderr, flush=True)
    print(f"params and flops: {wrong} of {len(table):,} differ")
    return wrong


@dataclass(frozen=True)
class Counter:
    """Counts networks, each layer of one kind and input shape once."""

    records: Records
    known: dict[tuple[str, torch.Size], Count] = field(default_factory=dict)

    def of(self, space: Space, genotype: str) -> tuple[int, int, int]:
        """Return parameters, multiply-adds without biases, and what the records add to these."""
        shape, classes = self.records.input_shape, self.records.classes
        with torch.device("meta"):
            network = space.build(genotype, input_shape=shape, classes=classes).eval()
        multiply_adds = added = 0
        reached = torch.Size((1, *shape))
        for layer in network.children():
            key = (repr(layer), reached)
            if key not in self.known:
                self.known[key] = _count_layer(layer, reached, self.records.added)
            multiply_adds += self.known[key].multiply_adds
            added += self.known[key].added
            reached = self.known[key].output_shape
        return count_parameters(network), multiply_adds, added


def _count_layer(
    layer: nn.Module, shape: torch.Size, add: Callable[[nn.Module, Sizes], int]
) -> Count:
    sizes: dict[nn.Module, tuple[int, int]] = {}

    def see(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        sizes[module] = (inputs[0].numel(), output.numel())

    for module in layer.modules():
        module.register_forward_hook(see)
    with torch.no_grad():
        output = layer(torch.zeros(shape, device="meta"))
    multiply_adds = sum(
        out * module.weight[0].numel()
        for module, (_, out) in sizes.items()
        if isinstance(module, nn.Conv2d | nn.Linear)
    )
    return Count(multiply_adds, add(layer, sizes), output.shape)


def _count_by_operator(space: Space, genotype: str, records: Records) -> int:
    shape = records.input_shape
    counts = count_operators(
        space.build(genotype, input_shape=shape, classes=records.classes), shape
    )
    return counts.flops - counts.multiply_adds.get("bias", 0)


def _nothing(layer: nn.Module, sizes: Sizes) -> int:
    return 0


def _accel_nasbench(layer: nn.Module, sizes: Sizes) -> int:
    normalised = sum(sizes[module][1] for module in _all(layer, nn.BatchNorm2d))
    pooled = sum(sum(sizes[module]) for module in _all(layer, nn.AdaptiveAvgPool2d))
    return 4 * normalised + pooled


def _nasflat(layer: nn.Module, sizes: Sizes) -> int:
    first = {next(_all(block, nn.ReLU)) for block in _all(layer, InvertedResidual)}
    normalised = sum(sizes[module][1] for module in _all(layer, nn.BatchNorm2d))
    activated = sum(sizes[module][1] for module in _all(layer, nn.ReLU) if module not in first)
    pooled = sum(sizes[module][0] for module in _all(layer, nn.AdaptiveAvgPool2d))
    return 2 * normalised + activated + pooled


def _all(layer: nn.Module, kind: type[nn.Module]) -> Iterator[nn.Module]:
    return (module for module in layer.modules() if isinstance(module, kind))


RECORDS = {
    "ofa_mbv3": Records((3, 224, 224), 1000, _nothing),
    "mnasnet": Records((3, 224, 224), 1000, _accel_nasbench),
    "fbnet": Records((3, 32, 32), 100, _nasflat),
}

if __name__ == "__main__":
    sys.exit(main())
