from __future__ import annotations

from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, InvalidArchitectureError, SettingsError
from motemo.space import Architecture
from motemo.spaces.cell_function import EDGES, Operations, computed_function
from motemo.spaces.layers import Normalization
from motemo.spaces.nasbench201_network import Projection
from motemo.spaces.transnas_micro import (
    OPERATIONS,
    TransNasMicro,
    read_operations,
    write_operations,
)

Array = NDArray[np.float64]

SPACE = TransNasMicro()
CELLS: tuple[Operations, ...] = tuple(product(OPERATIONS, repeat=len(EDGES)))
PATHLESS = "64-41414-0_00_000"
TASKS = {"class_scene": 63, "class_object": 100, "room_layout": 9}
"""Outputs of the networks that the published parameters belong to."""


def cell(digits: str) -> Architecture:
    return SPACE.architecture(f"64-41414-{digits}")


@cache
def keys() -> tuple[str, ...]:
    return tuple(SPACE.canonical(write_operations(operations)) for operations in CELLS)


# The written form


def test_written_form_round_trip() -> None:
    for operations in CELLS:
        genotype = write_operations(operations)
        assert read_operations(genotype) == operations
        assert SPACE.write(SPACE.read(genotype)) == genotype


def test_the_published_form() -> None:
    assert SPACE.read("64-41414-1_03_200") == {
        "edge_0_1": "skip_connect",
        "edge_0_2": "none",
        "edge_1_2": "nor_conv_3x3",
        "edge_0_3": "nor_conv_1x1",
        "edge_1_3": "none",
        "edge_2_3": "none",
    }


@pytest.mark.parametrize(
    "genotype",
    ["", "1_03_200", "64-41414-1_03_20", "64-41414-4_00_000", "64-1234-basic", f"{PATHLESS}\n"],
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError, match="Malformed TransNAS micro genotype"):
        SPACE.architecture(genotype)


# The partitions


def test_169_cells_are_invalid(shared_data: Path) -> None:
    invalid = {
        write_operations(ops) for ops in CELLS if SPACE.invalid_reason(write_operations(ops))
    }
    assert (SPACE.size, len(invalid)) == (4096, 169)
    assert {SPACE.canonical(genotype) for genotype in invalid} == {PATHLESS}
    with pytest.raises(InvalidArchitectureError, match="no path from its input to its output"):
        cell("3_00_000").require_valid()
    table = pd.read_csv(shared_data / "transnas_micro_4096.csv.gz", dtype={"arch": str})
    without_zen = set(table.loc[table["class_scene_zen"].isna(), "arch"])
    assert without_zen == invalid & set(table["arch"])


def test_a_canonical_cell_is_its_own_and_costs_no_more() -> None:
    def price(genotype: str) -> list[int]:
        operations = read_operations(genotype)
        projections = [operations[EDGES.index((0, target))] for target in (1, 2, 3)]
        return [
            operations.count("nor_conv_3x3"),
            operations.count("nor_conv_1x1"),
            projections.count("skip_connect"),
        ]

    for operations, key in zip(CELLS, keys(), strict=True):
        assert SPACE.canonical(key) == key
        written = price(write_operations(operations))
        assert all(a <= b for a, b in zip(price(key), written, strict=True))


def test_one_key_means_one_function_in_both_kinds_of_cell() -> None:
    plain = [computed_function(operations) for operations in CELLS]
    assert len(set(keys())) == len(set(zip(keys(), plain, strict=True))) == 1376
    assert len(set(plain)) == 1011


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3_00_100", "0_00_100", True),  # an edge that leads nowhere
        ("0_00_132", "0_00_100", True),  # operations on zeros
        ("1_00_010", "0_00_100", True),  # one projection, through another node
        ("1_00_030", "0_00_300", False),  # a convolution of a projection, and of the input
        ("1_00_110", "1_01_011", False),  # two projections, and one used twice
        ("3_00_310", "3_01_011", False),  # the same of convolutions
    ],
)
def test_key_of_two_cells(one: str, other: str, *, same: bool) -> None:
    assert (cell(one).key == cell(other).key) is same


# The key by brute force: what a cell that changes the shape computes of a number, with weighted
# operations in place of its layers, at the smallest over all ways to hand out a pool of weights.

WEIGHTS = np.random.default_rng(0).uniform(0.5, 1.5, (5, 12, 2))
"""Slope and shift by kind of operation and number; the second half is spare."""


def kind(edge: tuple[int, int], operation: str) -> int | None:
    """Return which operations may swap their weights; None for one without weights."""
    at_entry = edge[0] == 0
    kinds = {"nor_conv_1x1": 0, "nor_conv_3x3": 1, "skip_connect": 4 if at_entry else None}
    found = kinds.get(operation)
    return found if found in (None, 4) else found + 2 * at_entry


def outputs(operations: Operations, chosen: NDArray[np.int64]) -> Array:
    """Return `(A,)` outputs for `(A, weighted operations)` numbers of weights."""
    nodes = [np.full(len(chosen), 0.7), *(np.zeros(len(chosen)) for _ in range(3))]
    numbers = iter(chosen.T)
    for edge, operation in zip(EDGES, operations, strict=True):
        weights = kind(edge, operation)
        value = nodes[edge[0]]
        if weights is not None:
            slope, shift = WEIGHTS[weights, next(numbers)].T
            value = np.where(value == 0, 0, np.sin(slope * value + shift))
        if operation != "none":
            nodes[edge[1]] = nodes[edge[1]] + value
    return nodes[3]


def fingerprint(operations: Operations) -> float:
    kinds = [
        k
        for edge, operation in zip(EDGES, operations, strict=True)
        if (k := kind(edge, operation)) is not None
    ]
    base = np.array([kinds[:i].count(k) for i, k in enumerate(kinds)], dtype=np.int64)
    changed = outputs(operations, base + 6 * np.eye(len(kinds), dtype=np.int64))
    at_base = outputs(operations, base[None])[0]
    live = [i for i, out in enumerate(changed) if abs(out - at_base) > 1e-9]
    groups = [[i for i in live if kinds[i] == k] for k in range(5)]
    assignments = []
    for orders in product(*(permutations(range(len(group))) for group in groups)):
        assignment = base.copy()
        for group, order in zip(groups, orders, strict=True):
            assignment[group] = order
        assignments.append(assignment)
    return float(outputs(operations, np.array(assignments)).min())


def test_keys_are_equal_exactly_where_functions_are() -> None:
    fingerprints = np.array([fingerprint(operations) for operations in CELLS])
    order = np.argsort(fingerprints)
    gaps = np.diff(fingerprints[order])
    in_order = np.array(keys())[order]
    equal = in_order[1:] == in_order[:-1]
    assert gaps[equal].max() < 1e-12
    assert gaps[~equal].min() > 1e-9
    assert 1 + np.count_nonzero(~equal) == 1376  # each key in one run


# Published counts


def test_published_parameters(shared_data: Path) -> None:
    for row in read(shared_data).sample(12, random_state=0).to_dict("records"):
        for task, classes in TASKS.items():
            with torch.device("meta"):
                network = SPACE.build(row["arch"], input_shape=(3, 256, 256), classes=classes)
            assert count_parameters(network) == round(row[f"{task}_params_m"] * 1e6), row["arch"]


def test_published_flops(shared_data: Path) -> None:
    shape = (3, 256, 256)
    for row in read(shared_data).sample(3, random_state=0).to_dict("records"):
        network = SPACE.architecture(row["arch"]).build(input_shape=shape, classes=63)
        counts = count_operators(network, shape)
        others = sum(counts.others[name] for name in ("batch_norm", "relu", "adaptive_avg_pool2d"))
        assert (counts.flops + others) / 1e6 == pytest.approx(row["class_scene_flops_m"], abs=0.01)


def read(shared_data: Path) -> pd.DataFrame:
    return pd.read_csv(shared_data / "suite_zero_transnas_micro.csv.gz", dtype={"arch": str})


# Networks


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1)])
def test_projection(size: tuple[int, int], stride: int) -> None:
    module = Projection(3, 6, Normalization(), stride=stride).eval()
    image = torch.randn(2, 3, *size)
    shifted = torch.zeros_like(image)
    shifted[:, :, :-1, :-1] = image[:, :, 1:, 1:]
    sampled = [x.relu()[:, :, ::stride, ::stride] for x in (image, shifted)]
    weights = [module.get_parameter(f"{name}.weight")[:, :, 0, 0] for name in ("even", "odd")]
    expected = [torch.einsum("nchw,oc->nohw", x, w) for x, w in zip(sampled, weights, strict=True)]
    torch.testing.assert_close(module(image), module.norm(torch.cat(expected, 1)))


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_stem_stride(stem_stride: int) -> None:
    network = TransNasMicro(stem_stride=stem_stride).build(
        "64-41414-0_00_200", input_shape=(3, 32, 32), classes=10
    )
    assert isinstance(network, nn.Sequential)
    stem = network[0].eval()(torch.zeros(1, 3, 32, 32))
    assert stem.shape == (1, 64, 32 // stem_stride, 32 // stem_stride)


def test_unknown_stem_stride() -> None:
    with pytest.raises(SettingsError, match=r"`stem_stride` must be one of \(1, 2, 4\); got 3"):
        TransNasMicro(stem_stride=3)


@pytest.mark.parametrize("digits", ["0_00_100", "0_03_301", "3_20_123", "0_00_000"])
def test_any_input_size_dead_edges_included(digits: str) -> None:
    for shape in ((1, 1, 1), (2, 9, 5)):
        for network in (
            cell(digits).build(input_shape=shape, classes=7),
            cell(digits).build_reduced(input_shape=shape, classes=7),
        ):
            assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)


def test_reduced_architecture_tells_projections_apart() -> None:
    """These two cells are the same wherever the shape stays."""
    one, other = cell("1_00_110"), cell("1_01_011")
    images = torch.rand(2, 3, 8, 8)
    logits = [a.canonical.build_reduced(input_shape=(3, 8, 8)).eval()(images) for a in (one, other)]
    assert computed_function(read_operations(one.genotype)) == computed_function(
        read_operations(other.genotype)
    )
    assert not torch.allclose(logits[0], logits[1])
