from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, SettingsError
from motemo.spaces.darts import Darts
from motemo.spaces.darts_cell import NODES, Cell, canonical_cell

SPACE = Darts()
NARROW = Darts(channels=4, cells=3, reduced_channels=4)
CIFAR = (3, 32, 32)
EIGHT_DIGITS = 5e-8
SEP, DIL, SKIP = "sep_conv_3x3", "dil_conv_3x3", "skip_connect"
AVERAGE, MAXIMUM, NONE = "avg_pool_3x3", "max_pool_3x3", "none"
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
P_DARTS = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), "
    "('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('avg_pool_3x3', 0), "
    "('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
    "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
)
PLAIN: Cell = ((SEP, 0), (SEP, 1), (DIL, 0), (SEP, 1), (MAXIMUM, 0), (SEP, 1), (SEP, 0), (DIL, 2))
ALL_NONE: Cell = ((NONE, 0), (NONE, 1)) * 4


def written(normal: Cell = PLAIN, reduce: Cell = PLAIN) -> str:
    return json.dumps({"normal": normal, "reduce": reduce}, separators=(",", ":"))


def key(normal: Cell = PLAIN, reduce: Cell = PLAIN, space: Darts = SPACE) -> str:
    return space.architecture(written(normal, reduce)).key


def after(*edges: tuple[str, int]) -> Cell:
    """Return a cell whose first nodes have these edges, and the others those of `PLAIN`."""
    return (*edges, *PLAIN[len(edges) :])


def random_cells(operations: tuple[str, ...], count: int) -> Iterator[Cell]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        cell: list[tuple[str, int]] = []
        for node in NODES:
            sources = sorted(rng.choice(node, 2, replace=False).tolist())
            cell += [(str(rng.choice(operations)), source) for source in sources]
        yield tuple(cell)


# The written form


def test_json_and_published_code_are_one_architecture() -> None:
    values = SPACE.read(DARTS_V2)
    assert SPACE.read(SPACE.write(values)) == values
    assert values["normal_5_sources"] == "0-2"
    assert (values["normal_5_lower"], values["normal_5_higher"]) == (SKIP, DIL)
    assert SPACE.architecture(SPACE.write(values)).key == SPACE.architecture(DARTS_V2).key


def test_size() -> None:
    assert SPACE.size == (8**8 * 3 * 6 * 10) ** 2
    assert Darts.nasbench301().size == (7**8 * 180) ** 2


@pytest.mark.parametrize(
    "genotype",
    [
        "",
        "[]",
        "{}",
        written(PLAIN[:-1]),
        written((*PLAIN, (SEP, 0))),
        written(after((SEP, 0), (SEP, 0))),  # twice the same node
        written(after((SEP, 0), (SEP, 2))),  # a node reads itself
        written(after((SEP, -1), (SEP, 0))),
        written(after((SEP, 0), (SEP, True))),
        written(after((SEP, 0), ("conv", 1))),
        '{"normal":3,"reduce":4}',
        "Genotype(normal=3)",
        "Genotype(normal=[(1, 2, 3)], reduce=open('x'))",
        DARTS_V2.replace("[2, 3, 4, 5]", "[3, 4, 5]"),
        DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 10**15)"),
        DARTS_V2 + "\n+ 1",
    ],
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError):
        SPACE.architecture(genotype)


def test_an_operation_of_another_set() -> None:
    with pytest.raises(GenotypeError, match=r"Unknown operation 'none' .* Operations: max_pool"):
        Darts.nasbench301().architecture(written(ALL_NONE))
    with pytest.raises(GenotypeError, match="Unknown operation 'dil_conv_3x3'"):
        Darts(operations="enas").architecture(written())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operations": "nasnet"}, "`operations` must be one of darts, nasbench301, enas"),
        ({"stem": "mnist"}, "`stem` must be one of cifar, imagenet; got 'mnist'"),
        ({"cells": 2}, "`cells` must be at least 3; got 2"),
        ({"channels": 1}, "`channels` must be at least 2; got 1"),
    ],
)
def test_options_that_are_not_there(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Darts(**options)  # type: ignore[arg-type]


# The key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (after((SEP, 1), (DIL, 0)), after((DIL, 0), (SEP, 1)), True),  # the order of two edges
        (after((SEP, 0), (DIL, 1)), after((DIL, 0), (SEP, 1)), False),  # who reads what
        (  # the order of two nodes
            ((SEP, 0), (SEP, 1), (DIL, 0), (DIL, 1), (SEP, 2), (SKIP, 3), *PLAIN[6:]),
            ((DIL, 0), (DIL, 1), (SEP, 0), (SEP, 1), (SKIP, 2), (SEP, 3), (SEP, 0), (DIL, 3)),
            True,
        ),
        (  # a node that is a copy of an input
            after((SKIP, 0), (NONE, 1), (SEP, 0), (DIL, 1)),
            after((SKIP, 0), (NONE, 1), (SEP, 2), (DIL, 1)),
            True,
        ),
        (  # what reads zeros is dead
            (*ALL_NONE[:2], (SEP, 0), (SEP, 2), *PLAIN[4:7], (DIL, 1)),
            (*ALL_NONE[:2], (SEP, 0), (MAXIMUM, 2), *PLAIN[4:7], (DIL, 1)),
            True,
        ),
        (  # pooling is linear ...
            after((SKIP, 0), (SKIP, 1), (AVERAGE, 0), (AVERAGE, 1)),
            after((SKIP, 0), (SKIP, 1), (AVERAGE, 2), (NONE, 0)),
            True,
        ),
        (  # ... but taking the maximum is not
            after((SKIP, 0), (SKIP, 1), (MAXIMUM, 0), (MAXIMUM, 1)),
            after((SKIP, 0), (SKIP, 1), (MAXIMUM, 2), (NONE, 0)),
            False,
        ),
        (  # two convolutions are not one that is used twice
            after((SEP, 0), (NONE, 1), (SEP, 0), (NONE, 1)),
            after((SEP, 0), (NONE, 1), (SKIP, 2), (NONE, 0)),
            False,
        ),
    ],
)
def test_key_of_two_normal_cells(one: Cell, other: Cell, *, same: bool) -> None:
    assert (key(one) == key(other)) is same


def test_a_skip_connection_of_a_reduction_has_weights() -> None:
    one = after((SKIP, 0), (NONE, 1), (SEP, 0), (DIL, 1))
    other = after((SKIP, 0), (NONE, 1), (SEP, 2), (DIL, 1))
    assert key(normal=one) == key(normal=other)
    assert key(reduce=one) != key(reduce=other)


def nodes_of(cell: Cell) -> list[float]:
    """Return a number for each node of a cell of operations without weights, in order of size."""
    generator = torch.Generator().manual_seed(0)
    a, b, probe = torch.rand(3, 1, 1, 6, 6, generator=generator, dtype=torch.float64)
    computed: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        NONE: torch.zeros_like,
        SKIP: lambda x: x,
        AVERAGE: lambda x: F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
        MAXIMUM: lambda x: F.max_pool2d(x, 3, stride=1, padding=1),
    }
    values = [a, b]
    for (one, source), (other, other_source) in zip(cell[::2], cell[1::2], strict=True):
        values.append(computed[one](values[source]) + computed[other](values[other_source]))
    return sorted(round(float((value * probe).sum()), 9) for value in values[2:])


def test_cells_with_one_key_compute_the_same() -> None:
    operations = (NONE, SKIP, AVERAGE, MAXIMUM)
    changed = 0
    for cell in random_cells(operations, 150):
        canonical = canonical_cell(cell, operations, reduction=False)
        changed += canonical != cell
        assert nodes_of(canonical) == nodes_of(cell), cell
    assert changed > 100


def test_linear_cells_have_one_key_exactly_if_they_compute_the_same() -> None:
    operations = (NONE, SKIP, AVERAGE)
    by_key: dict[Cell, list[float]] = {}
    for cell in random_cells(operations, 300):
        by_key[canonical_cell(cell, operations, reduction=False)] = nodes_of(cell)
    assert len({tuple(nodes) for nodes in by_key.values()}) == len(by_key) < 300


def test_any_order_of_independent_nodes_has_one_key() -> None:
    pairs = ((SEP, DIL), (DIL, SEP), (MAXIMUM, SEP), (SKIP, AVERAGE))
    keys = {
        key(tuple(edge for one, other in order for edge in ((one, 0), (other, 1))))
        for order in permutations(pairs)
    }
    assert len(keys) == 1


def test_canonical_cells_stay_in_the_set_of_operations() -> None:
    space = Darts.nasbench301()
    rng = np.random.default_rng(0)
    for architecture in (space.sample(rng) for _ in range(50)):
        assert NONE not in architecture.key
        assert space.architecture(architecture.key).key == architecture.key


def test_canonical_cells_cost_no_more() -> None:
    rng = np.random.default_rng(1)
    for architecture in (NARROW.sample(rng) for _ in range(30)):
        one, other = (
            count_parameters(a.build(input_shape=(3, 8, 8)))
            for a in (architecture, architecture.canonical)
        )
        assert other <= one


def test_published_networks_keep_apart(shared_data: Path) -> None:
    for file, space in (
        ("darts_bench_545", SPACE),
        ("suite_zero_nasbench301", Darts.nasbench301()),
    ):
        table = read(shared_data, file)[:200]
        keys = table["arch"].map(lambda arch, space=space: space.architecture(arch).key)
        assert keys.nunique() == table["same_network"].nunique()
        assert keys.groupby(table["same_network"]).nunique().max() == 1


def test_a_dead_cell_is_invalid() -> None:
    dead = SPACE.architecture(written(reduce=(*ALL_NONE[:4], (SEP, 2), (SKIP, 3), *ALL_NONE[:2])))
    assert dead.invalid_reason == "the cell 'reduce' passes nothing of its inputs on"
    assert dead.canonical.invalid_reason == dead.invalid_reason
    assert SPACE.architecture(written()).invalid_reason is None


# Counts


@pytest.mark.parametrize(
    ("genotype", "cifar", "imagenet"),
    [(DARTS_V2, 3_349_342, 4_718_752), (P_DARTS, 3_433_798, 4_944_352)],
)
def test_parameters_of_published_cells(genotype: str, cifar: int, imagenet: int) -> None:
    assert count_parameters(SPACE.architecture(genotype).build(classes=10)) == cifar
    large = Darts(channels=48, cells=14, stem="imagenet").architecture(genotype)
    assert count_parameters(large.build(classes=1000)) == imagenet


def test_published_parameters_and_operations(shared_data: Path) -> None:
    for row in read(shared_data, "darts_bench_545").sample(3, random_state=0).to_dict("records"):
        network = SPACE.architecture(row["arch"]).build()
        assert count_parameters(network) == round(row["params_m"] * 1e6), row["arch"]
        counts = count_operators(network, CIFAR)
        operations = (
            counts.flops
            - counts.multiply_adds["bias"]
            + 2 * counts.others["batch_norm"]
            + counts.others.get("avg_pool2d", 0) / 9
            + counts.others["adaptive_avg_pool2d"]
            + 4 * 4 * 36  # outputs of the global pooling
        )
        assert operations / 1e6 == pytest.approx(row["flops_m"], rel=EIGHT_DIGITS), row["arch"]


def test_published_parameters_of_nasbench301(shared_data: Path) -> None:
    space = Darts.nasbench301()
    for row in read(shared_data, "suite_zero_nasbench301")[:20].to_dict("records"):
        network = space.build(row["arch"], input_shape=CIFAR, classes=10)
        weights = sum(
            m.weight.numel() + m.bias.numel()
            for name, m in network.cells.named_modules()
            if ".operations." in name and isinstance(m, torch.nn.BatchNorm2d)
        )
        assert count_parameters(network) - weights == round(row["params_m"] * 1e6), row["arch"]


def test_cost_of_the_reduced_architecture() -> None:
    rng = np.random.default_rng(0)
    flops = [
        count_operators(SPACE.sample(rng).build_reduced(input_shape=CIFAR), CIFAR).flops
        for _ in range(8)
    ]
    assert np.median(flops) < 20e6


# Networks


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (3, 17, 16)])
def test_any_input_size(shape: tuple[int, int, int], stem: str) -> None:
    space = Darts(channels=3, cells=4, stem=stem, reduced_channels=3)
    architecture = space.architecture(P_DARTS)
    for network in (
        architecture.build(input_shape=shape, classes=7),
        architecture.build_reduced(input_shape=shape, classes=7),
    ):
        assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)


def reduced_logits(genotype: str) -> list[float]:
    network = NARROW.architecture(genotype).build_reduced(input_shape=(3, 8, 8)).eval()
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    logits: list[float] = network(images).flatten().tolist()
    return logits


def test_the_reduced_architecture_shows_a_normal_cell_that_the_other_hardly_reads() -> None:
    reads_first_only = ((SEP, 0), (NONE, 1)) * 3 + ((DIL, 0), (NONE, 1))
    one = written(after((SEP, 0), (SEP, 1)), reads_first_only)
    other = written(after((SKIP, 0), (SEP, 1)), reads_first_only)
    network = NARROW.architecture(one).build_reduced(input_shape=(3, 8, 8))
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in network.normal.parameters())  # type: ignore[union-attr]
    assert reduced_logits(one) != reduced_logits(other)


def test_scaled() -> None:
    space = SPACE.scaled(width=0.5, depth=0.1)
    assert (space.channels, space.cells, space.reduced_channels) == (18, 3, 16)
    assert space.read(DARTS_V2) == SPACE.read(DARTS_V2)


def read(shared_data: Path, file: str) -> pd.DataFrame:
    return pd.read_csv(shared_data / f"{file}.csv.gz", dtype={"arch": str})
