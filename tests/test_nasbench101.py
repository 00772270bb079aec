from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations, permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, SettingsError
from motemo.onnx.graph import build_onnx
from motemo.spaces.nasbench101 import NasBench101, cell_graph
from motemo.spaces.nasbench101_cell import (
    CONV1,
    CONV3,
    OPERATIONS,
    POOL,
    cell_parameters,
    published_hash,
    vertex_channels,
)
from motemo.spaces.nasbench101_network import NORMALIZATION, Cell

SPACE = NasBench101()
NARROW = NasBench101(channels=7, cells=1, reduced_channels=7)
CIFAR = (3, 32, 32)
TABLES = ("suite_zero_nasbench101", "nasbench101_dummy30", "ec_nas_4v")
EIGHT_DIGITS = 5e-8
EXAMPLE = ([(0, 1), (0, 2), (1, 3), (2, 3), (2, 4), (3, 5), (4, 5)], [CONV3, POOL, CONV1, CONV3])


def written(edges: Sequence[tuple[int, int]], operations: Sequence[str]) -> str:
    vertices = range(len(operations) + 2)
    matrix = [[int((a, b) in edges) for b in vertices] for a in vertices]
    return json.dumps(
        {"matrix": matrix, "ops": ["input", *operations, "output"]}, separators=(",", ":")
    )


def key(edges: Sequence[tuple[int, int]], operations: Sequence[str]) -> str:
    return SPACE.architecture(written(edges, operations)).key


# The written form


def test_round_trip_of_published_cells(shared_data: Path) -> None:
    for genotype in read(shared_data, TABLES[0])["arch"][:50]:
        assert SPACE.write(SPACE.read(genotype)) == genotype


def test_a_small_cell_is_one_of_seven_vertices() -> None:
    values = SPACE.read(written([(0, 1), (1, 2), (0, 2)], [POOL]))
    edges = [name for name, value in values.items() if value == 1]
    assert edges == ["edge_0_1", "edge_0_6", "edge_1_6"]
    assert values["operation_1"] == POOL
    assert SPACE.size == 2**21 * 3**5


@pytest.mark.parametrize(
    "genotype",
    [
        "",
        "3",
        "{}",
        '{"matrix":[[0,1],[0,0]],"ops":["input"]}',
        '{"matrix":[[0,1],[0,0]],"ops":["output","input"]}',
        '{"matrix":[[0,1],[0,0]],"ops":["input","output"],"more":1}',
        '{"matrix":[[0,1]],"ops":["input","output"]}',
        '{"matrix":[[0,1],[0]],"ops":["input","output"]}',
        '{"matrix":[[0,2],[0,0]],"ops":["input","output"]}',
        '{"matrix":[[0,true],[0,0]],"ops":["input","output"]}',
        '{"matrix":[[0,1],[1,0]],"ops":["input","output"]}',
        '{"matrix":[0,1],"ops":["input","output"]}',
        written([(0, 2)], ["conv5x5"]),
        written([(0, 2)], [[CONV3]]),  # type: ignore[list-item]
        written([(0, 7)], [CONV3] * 6),
    ],
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError, match="Malformed NAS-Bench-101 genotype"):
        SPACE.architecture(genotype)


def test_too_few_channels() -> None:
    with pytest.raises(SettingsError, match="`channels` must be at least 5; got 4"):
        NasBench101(channels=4)


# The key


def test_all_cells_of_at_most_four_vertices() -> None:
    keys = set()
    for vertices in (2, 3, 4):
        places = list(combinations(range(vertices), 2))
        for bits in product((False, True), repeat=len(places)):
            edges = [place for place, bit in zip(places, bits, strict=True) if bit]
            for operations in product(OPERATIONS, repeat=vertices - 2):
                cell = SPACE.architecture(written(edges, operations))
                if cell.invalid_reason is None:
                    keys.add(cell.key)
    assert len(keys) == 91


def test_isomorphic_cells_have_one_key_and_one_hash() -> None:
    edges, operations = EXAMPLE
    found = set()
    for order in permutations(range(1, 5)):
        place = {0: 0, 5: 5} | dict(zip(range(1, 5), order, strict=True))
        moved = [(place[a], place[b]) for a, b in edges]
        if all(a < b for a, b in moved):
            labels = dict(zip(order, operations, strict=True))
            genotype = written(moved, [labels[n] for n in range(1, 5)])
            cell = cell_graph(genotype)
            assert cell is not None
            found.add((SPACE.canonical(genotype), published_hash(cell)))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("edges", "operations"),
    [
        (EXAMPLE[0], [CONV3, POOL, CONV3, CONV3]),  # another operation
        ([*EXAMPLE[0], (0, 5)], EXAMPLE[1]),  # another edge
        ([*EXAMPLE[0][1:], (0, 3)], EXAMPLE[1]),  # an edge to another vertex
    ],
)
def test_cells_that_differ(edges: list[tuple[int, int]], operations: list[str]) -> None:
    assert key(edges, operations) != key(*EXAMPLE)


def test_vertices_on_no_path_are_pruned() -> None:
    cell = [(0, 1), (1, 6)]
    dead = [(0, 2), (1, 3), (4, 6), (4, 5)]
    operations = [CONV3, CONV1, POOL, CONV1, CONV3]
    assert key([*cell, *dead], operations) == key([(0, 1), (1, 2)], [CONV3])
    built = SPACE.architecture(written([*cell, *dead], operations)).build()
    small = SPACE.architecture(written([(0, 1), (1, 2)], [CONV3])).build()
    assert count_parameters(built) == count_parameters(small)


def test_keys_are_the_published_networks(shared_data: Path) -> None:
    for file in TABLES:
        table = read(shared_data, file)
        keys = table["arch"].map(SPACE.canonical)
        assert keys.nunique() == table["same_network"].nunique()
        assert keys.groupby(table["same_network"]).nunique().max() == 1


def test_published_hashes(shared_data: Path) -> None:
    for file in TABLES[1:]:
        for row in read(shared_data, file).to_dict("records"):
            for genotype in (row["arch"], SPACE.canonical(row["arch"])):
                cell = cell_graph(genotype)
                assert cell is not None
                assert published_hash(cell) == row["hash"]


def test_invalid_cells() -> None:
    no_path = SPACE.architecture(written([(0, 1), (2, 3)], [CONV3, CONV3]))
    assert no_path.invalid_reason == "the cell has no path from its input to its output"
    assert SPACE.read(no_path.key)["edge_0_6"] == 0
    with pytest.raises(GenotypeError, match="no path"):
        no_path.build()
    complete = SPACE.architecture(written([*combinations(range(6), 2)], [CONV3] * 4))
    assert complete.invalid_reason == "the cell has 15 edges after pruning; at most 9"
    assert complete.canonical.invalid_reason == complete.invalid_reason


def test_random_cells_are_mostly_valid() -> None:
    rng = np.random.default_rng(0)
    assert sum(SPACE.sample(rng).invalid_reason is None for _ in range(300)) > 150


# Channels and counts


def test_channels_are_shared_as_published() -> None:
    joined = cell_graph(written([(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], [CONV3] * 3))
    chain = cell_graph(written([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 4)], [CONV3] * 3))
    assert joined is not None
    assert chain is not None
    assert vertex_channels(joined, 64, 128) == [64, 43, 43, 42, 128]
    assert vertex_channels(chain, 64, 127) == [64, 64, 64, 63, 127]


def test_the_key_costs_no_more_than_other_orders() -> None:
    costs = set()
    for operations in permutations([CONV3, CONV1, POOL]):
        edges = [(0, n) for n in (1, 2, 3)] + [(n, 4) for n in (1, 2, 3)]
        architecture = SPACE.architecture(written(edges, operations))
        costs.add(count_parameters(architecture.build()))
        canonical = count_parameters(architecture.canonical.build())
    assert len(costs) > 1
    assert canonical == min(costs)


def test_parameters_of_a_cell() -> None:
    cell = cell_graph(written(*EXAMPLE))
    assert cell is not None
    assert count_parameters(Cell(cell, 6, 11, NORMALIZATION)) == cell_parameters(cell, 6, 11)


@pytest.mark.parametrize("file", TABLES)
def test_published_parameters_and_operations(shared_data: Path, file: str) -> None:
    for row in read(shared_data, file).sample(6, random_state=0).to_dict("records"):
        network = SPACE.architecture(row["arch"]).build()
        assert count_parameters(network) == round(row["params_m"] * 1e6), row["arch"]
        if "flops_m" in row:
            counts = count_operators(network, CIFAR)
            kinds = ("batch_norm", "relu", "max_pool2d")
            operations = counts.flops + sum(counts.others.get(kind, 0) for kind in kinds)
            operations -= counts.multiply_adds["bias"]
            assert operations / 1e6 == pytest.approx(row["flops_m"], rel=EIGHT_DIGITS), row["arch"]


# Networks


def test_a_vertex_takes_the_first_channels_of_a_wider_one() -> None:
    edges = [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)]
    cell = cell_graph(written(edges, [POOL, POOL, POOL]))
    assert cell is not None
    module = Cell(cell, 3, 5, NORMALIZATION).eval()
    x = torch.rand(2, 3, 6, 6)
    pool = nn.MaxPool2d(3, stride=1, padding=1)
    twice = pool(pool(module.projections["1"](x)))
    assert torch.equal(module(x), torch.cat([twice, twice[:, :2]], 1))


def test_first_channels_need_no_slow_exporter() -> None:
    edges = [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)]
    network = NARROW.architecture(written(edges, [CONV1, POOL, POOL])).build(input_shape=(3, 8, 8))
    model = build_onnx(network, (3, 8, 8))
    assert model.producer_name == "motemo"
    assert any(node.op_type == "Slice" for node in model.graph.node)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (3, 17, 16)])
def test_any_input_size(shape: tuple[int, int, int]) -> None:
    architecture = NARROW.architecture(written(*EXAMPLE))
    for network in (
        architecture.build(input_shape=shape, classes=7),
        architecture.build_reduced(input_shape=shape, classes=7),
    ):
        assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)


def test_cost_of_the_reduced_architecture() -> None:
    rng = np.random.default_rng(0)
    cells = [a for a in (SPACE.sample(rng) for _ in range(40)) if a.invalid_reason is None]
    flops = [count_operators(a.build_reduced(), CIFAR).flops for a in cells]
    assert np.median(flops) < 15e6


def test_scaled() -> None:
    space = SPACE.scaled(width=0.25, depth=0.5)
    assert (space.channels, space.cells, space.reduced_channels) == (32, 2, 8)
    assert SPACE.scaled(width=0.01, depth=1).channels == 5


def read(shared_data: Path, file: str) -> pd.DataFrame:
    return pd.read_csv(shared_data / f"{file}.csv.gz", dtype={"arch": str})
