from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, InvalidArchitectureError
from motemo.seeds import seeded_torch
from motemo.space import Architecture
from motemo.spaces.nasbench201 import (
    EDGES,
    OPERATIONS,
    PUBLISHED_TOPOLOGIES,
    NasBench201,
    Operations,
    edges_of,
    read_operations,
    topology,
    write_operations,
)
from motemo.spaces.nasbench201_network import Cell, Normalization

Array = NDArray[np.float64]

SPACE = NasBench201()
CELLS: tuple[Operations, ...] = tuple(product(OPERATIONS, repeat=len(EDGES)))
CIFAR = (3, 32, 32)
PATHLESS = write_operations(("none",) * 6)
CONV3, CONV1, POOL, SKIP, NONE = (
    "nor_conv_3x3",
    "nor_conv_1x1",
    "avg_pool_3x3",
    "skip_connect",
    "none",
)


def cell(*operations: str) -> Architecture:
    return SPACE.architecture(write_operations(operations))


@cache
def keys() -> tuple[str, ...]:
    return tuple(cell(*operations).key for operations in CELLS)


# The written form


@given(st.tuples(*[st.sampled_from(OPERATIONS)] * 6))
def test_written_form_round_trip(operations: Operations) -> None:
    genotype = write_operations(operations)
    assert read_operations(genotype) == operations
    assert SPACE.write(SPACE.read(genotype)) == genotype


def test_the_published_form() -> None:
    assert cell(CONV3, NONE, SKIP, POOL, CONV1, NONE).genotype == (
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    )


@pytest.mark.parametrize(
    "genotype",
    [
        "",
        "cell",
        PATHLESS[:-1],
        f" {PATHLESS}",
        f"{PATHLESS}\n",
        PATHLESS + PATHLESS,
        PATHLESS.replace("~2", "~1"),
        PATHLESS.replace("|+|", "||"),
        "|none~0|+|none~0|none~1|",
        PATHLESS.upper(),
    ],
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError, match="NAS-Bench-201 genotype"):
        SPACE.architecture(genotype)


def test_unknown_operation_is_named() -> None:
    with pytest.raises(GenotypeError, match=r"Unknown operation 'conv_5x5'.*nor_conv_3x3"):
        SPACE.architecture(PATHLESS.replace("none~2", "conv_5x5~2"))


# The partitions


def test_341_cells_are_invalid() -> None:
    invalid = [ops for ops in CELLS if cell(*ops).invalid_reason]
    assert (len(CELLS), SPACE.size, len(invalid)) == (15_625, 15_625, 341)
    assert {cell(*ops).key for ops in invalid} == {PATHLESS}
    with pytest.raises(InvalidArchitectureError, match="no path from its input to its output"):
        cell(*invalid[0]).require_valid()
    valid = cell(SKIP, NONE, NONE, NONE, SKIP, NONE)
    assert valid.require_valid() is valid


def test_published_topologies() -> None:
    assert len({topology(write_operations(ops)) for ops in CELLS}) == PUBLISHED_TOPOLOGIES == 6466


def test_number_of_functions() -> None:
    assert len(set(keys())) == 5044
    assert len(set(keys()) - {PATHLESS}) == 5043


def test_a_canonical_cell_is_its_own_and_costs_no_more() -> None:
    def price(genotype: str) -> tuple[int, int, int]:
        operations = read_operations(genotype)
        return tuple(operations.count(op) for op in (CONV3, CONV1, POOL))  # type: ignore[return-value]

    for operations, key in zip(CELLS, keys(), strict=True):
        assert cell(*read_operations(key)).key == key
        assert price(key) <= price(write_operations(operations))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        # an edge that leads nowhere
        ((CONV3, NONE, NONE, SKIP, NONE, NONE), (NONE, NONE, NONE, SKIP, NONE, NONE), True),
        # an operation on zeros
        ((NONE, NONE, CONV3, SKIP, NONE, CONV1), (NONE, NONE, NONE, SKIP, NONE, NONE), True),
        # the same function through another node
        ((CONV3, NONE, NONE, NONE, SKIP, NONE), (NONE, NONE, NONE, CONV3, NONE, NONE), True),
        # pooling is linear
        ((CONV1, CONV3, SKIP, NONE, NONE, POOL), (CONV1, CONV3, NONE, NONE, POOL, POOL), True),
        # two convolutions with weights of their own, and one used twice
        ((CONV3, NONE, NONE, CONV3, SKIP, NONE), (CONV3, SKIP, SKIP, NONE, SKIP, NONE), False),
        ((CONV3, NONE, SKIP, NONE, SKIP, SKIP), (NONE, NONE, NONE, CONV3, NONE, NONE), False),
        # a convolution does not distribute over a sum
        ((POOL, SKIP, SKIP, NONE, NONE, CONV3), (POOL, NONE, NONE, CONV3, CONV3, NONE), False),
    ],
)
def test_key_of_two_cells(one: Operations, other: Operations, *, same: bool) -> None:
    assert (cell(*one).key == cell(*other).key) is same


# The key by brute force. A cell's fingerprint is what it computes of one random image, projected
# to a number, at the smallest over all ways to hand out a fixed pool of weights to its live
# convolutions. It knows nothing of how the key is found: liveness is what changes the output, and
# the convolutions and poolings are the affine maps of the real module.

WIDTH, SIZE, POOL_OF_WEIGHTS = 5, 5, 6
DIMENSIONS = WIDTH * SIZE * SIZE


class Affine:
    """The operations of a real cell as matrices over flattened images, for a pool of weights.

    Spare weights, in the second half, tell whether a convolution matters. A convolution adds the
    shift of its normalisation, without which `f(2 x) = 2 f(x)`, unless it sees only zeros; shifts
    are positive, so that no ReLU of a chain blanks a whole image.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.image = rng.normal(size=DIMENSIONS)
        self.projection = rng.normal(size=DIMENSIONS)
        self.weights: dict[str, list[torch.nn.Module]] = {}
        self.matrices: dict[str, list[Array]] = {}
        self.shifts: dict[str, list[Array]] = {}
        for operation in (CONV1, CONV3):
            edges = [self._edge(operation, seed) for seed in range(2 * POOL_OF_WEIGHTS)]
            zero = torch.zeros(1, WIDTH, SIZE, SIZE, dtype=torch.float64)
            self.weights[operation] = edges
            self.shifts[operation] = [flat(edge(zero))[0] for edge in edges]
            self.matrices[operation] = [
                flat(edge[1:](basis())) - shift  # type: ignore[index]
                for edge, shift in zip(edges, self.shifts[operation], strict=True)
            ]
        self.matrices[POOL] = [flat(real_cell((POOL, *[NONE] * 5)).edges["0_1"](basis()))]

    @staticmethod
    def _edge(operation: str, seed: int) -> torch.nn.Module:
        with seeded_torch(seed):
            edge = real_cell((operation, *[NONE] * 5)).edges["0_1"]
            torch.nn.init.uniform_(edge[2].weight, 0.5, 1.5)  # type: ignore[index]
            torch.nn.init.uniform_(edge[2].bias, 0.0, 0.5)  # type: ignore[index]
        return edge

    def outputs(self, operations: Operations, assignments: NDArray[np.int64]) -> Array:
        """Return `(A,)` projected outputs for `(A, convolutions)` weights."""
        zeros = np.zeros((len(assignments), DIMENSIONS))
        nodes = [zeros + self.image, zeros, zeros, zeros]
        chosen = iter(assignments.T)
        for (source, target), operation in zip(EDGES, operations, strict=True):
            value = nodes[source]
            if operation == SKIP:
                nodes[target] = nodes[target] + value
            elif operation == POOL:
                nodes[target] = nodes[target] + value @ self.matrices[POOL][0]
            elif operation != NONE:
                nodes[target] = nodes[target] + self._convolve(operation, value, next(chosen))
        projected: Array = nodes[3] @ self.projection
        return projected

    def _convolve(self, operation: str, value: Array, chosen: NDArray[np.int64]) -> Array:
        out = np.zeros_like(value)
        if value.any():
            for weight in np.unique(chosen):
                rows = chosen == weight
                product_ = np.maximum(value[rows], 0) @ self.matrices[operation][weight]
                out[rows] = product_ + self.shifts[operation][weight]
        return out

    def fingerprint(self, operations: Operations) -> float:
        convolutions = [op for op in operations if op in (CONV1, CONV3)]
        base = [convolutions[:i].count(op) for i, op in enumerate(convolutions)]
        changed = base + POOL_OF_WEIGHTS * np.eye(len(base), dtype=np.int64)
        at_base, *at_changed = self.outputs(operations, np.array([base, *changed], dtype=np.int64))
        live = [i for i, out in enumerate(at_changed) if abs(out - at_base) > 1e-9]
        groups = [[i for i in live if convolutions[i] == kind] for kind in (CONV1, CONV3)]
        assignments = np.array(list(handed_out(base, groups)), dtype=np.int64)
        return float(self.outputs(operations, assignments).min())


def handed_out(base: list[int], groups: list[list[int]]) -> Iterator[list[int]]:
    """Yield every way to hand out weights 0 to n - 1 to the n members of each group."""
    for orders in product(*(permutations(range(len(group))) for group in groups)):
        assignment = list(base)
        for group, order in zip(groups, orders, strict=True):
            for index, weight in zip(group, order, strict=True):
                assignment[index] = weight
        yield assignment


def real_cell(operations: Operations) -> Cell:
    edges = edges_of(write_operations(operations))
    return Cell(edges, WIDTH, Normalization()).double().eval().requires_grad_(False)


def basis() -> torch.Tensor:
    return torch.eye(DIMENSIONS, dtype=torch.float64).reshape(-1, WIDTH, SIZE, SIZE)


def flat(images: torch.Tensor) -> Array:
    return images.reshape(-1, DIMENSIONS).numpy()


@pytest.fixture(scope="module")
def affine() -> Affine:
    return Affine()


def test_affine_maps_are_the_real_cell(affine: Affine) -> None:
    rng = np.random.default_rng(1)
    for index in rng.choice(len(CELLS), 300, replace=False):
        operations = CELLS[index]
        network = real_cell(operations)
        weights = []
        reached = {0}
        for (source, target), operation in zip(EDGES, operations, strict=True):
            edge = f"{source}_{target}"
            if operation in (CONV1, CONV3):
                weights.append(int(rng.integers(POOL_OF_WEIGHTS)))
                network.edges[edge] = affine.weights[operation][weights[-1]]
                if source not in reached:  # a real shift would be added to zeros
                    network.edges[edge] = torch.nn.Sequential(network.edges[edge], Zero())
            if operation != NONE and source in reached:
                reached.add(target)
        out = network(torch.from_numpy(affine.image).reshape(1, WIDTH, SIZE, SIZE))
        ours = affine.outputs(operations, np.array([weights], dtype=np.int64))
        assert ours[0] == pytest.approx(flat(out)[0] @ affine.projection, rel=1e-9, abs=1e-9)


class Zero(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.0


def test_keys_are_equal_exactly_where_functions_are(affine: Affine) -> None:
    fingerprints = np.array([affine.fingerprint(operations) for operations in CELLS])
    order = np.argsort(fingerprints)
    gaps = np.diff(fingerprints[order])
    in_order = np.array(keys())[order]
    equal = in_order[1:] == in_order[:-1]
    assert gaps[equal].max() < 1e-12
    assert gaps[~equal].min() > 1e-8
    assert 1 + np.count_nonzero(~equal) == 5044  # each key in one run


# Published counts


def counted(architecture: Architecture) -> tuple[int, int]:
    network = architecture.build(input_shape=CIFAR, classes=10)
    return count_parameters(network), count_operators(network, CIFAR).flops


def published(row: Mapping[str, float]) -> tuple[int, int]:
    return round(row["params_m"] * 1e6), round(row["flops_m"] * 1e6)


def has_dead_edges(genotype: str) -> bool:
    key = SPACE.architecture(genotype).key
    return key.count(NONE) > genotype.count(NONE)


def test_published_parameters_and_flops(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "nasbench201_half.csv.gz", dtype={"arch": str})
    rows = table.sample(16, random_state=0)
    dead = table[table["arch"].map(has_dead_edges)].sample(8, random_state=0)
    for row in pd.concat([rows, dead]).to_dict("records"):
        assert counted(SPACE.architecture(row["arch"])) == published(row), row["arch"]


def test_the_largest_cell() -> None:
    parameters, flops = counted(cell(*[CONV3] * 6))
    assert parameters == 1_531_546
    assert flops == pytest.approx(220.12e6, abs=5e3)


def test_dead_edges_are_built_as_written_and_not_in_the_canonical_form() -> None:
    written = cell(CONV3, NONE, NONE, SKIP, NONE, NONE)
    assert counted(written)[0] - counted(written.canonical)[0] == 5 * sum(
        9 * c * c + 2 * c for c in (16, 32, 64)
    )


# Networks


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(CELLS).filter(lambda ops: cell(*ops).invalid_reason is None),
    st.tuples(st.integers(1, 3), st.integers(4, 19), st.integers(4, 19)),
)
def test_any_input_size(operations: Operations, shape: tuple[int, int, int]) -> None:
    network = cell(*operations).build_reduced(input_shape=shape, classes=7).eval()
    small = NasBench201(channels=2, cells=1).architecture(write_operations(operations))
    full = small.build(input_shape=shape, classes=7).eval()
    images = torch.rand(2, *shape)
    assert network(images).shape == full(images).shape == (2, 7)


def test_the_reduced_architecture_of_the_published_scores_has_a_relu_after_each_cell() -> None:
    operations = (CONV3, NONE, NONE, SKIP, CONV1, NONE)
    plain, published = (
        space.architecture(write_operations(operations)).build_reduced(
            input_shape=CIFAR, classes=10, seed=1
        )
        for space in (SPACE, SPACE.as_published())
    )
    assert isinstance(plain, torch.nn.Sequential)
    stem, first, pool, second, *head = plain
    images = torch.rand(4, *CIFAR)
    by_hand = torch.nn.Sequential(
        stem, first, torch.nn.ReLU(), pool, second, torch.nn.ReLU(), *head
    )
    assert torch.equal(published(images), by_hand(images))
    assert not torch.equal(published(images), plain(images))


def test_reduced_weights_are_glorot_uniform() -> None:
    network = cell(*[CONV3] * 6).build_reduced(input_shape=CIFAR, classes=10)
    weight = network.get_submodule("1.edges.0_1.1").weight
    assert isinstance(weight, torch.Tensor)
    limit = (6 / (2 * 9 * 32)) ** 0.5
    assert 0.98 * limit < weight.abs().max() <= limit
    bias = network.get_submodule("6").bias
    assert isinstance(bias, torch.Tensor)
    assert not bias.any()
