from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, SettingsError
from motemo.spaces.nasbench_macro import BLOCKS, NasBenchMacro

SPACE = NasBenchMacro()
NARROW = NasBenchMacro(channels=2)
GENOTYPES = tuple("".join(digits) for digits in product("012", repeat=8))
CIFAR = (3, 32, 32)


def key(genotype: str) -> str:
    return SPACE.architecture(genotype).key


# The written form


def test_written_form_round_trip() -> None:
    assert all(SPACE.write(SPACE.read(genotype)) == genotype for genotype in GENOTYPES)
    assert len(GENOTYPES) == SPACE.size == 6561


def test_digits_are_blocks_from_the_input_on() -> None:
    values = SPACE.read("01200000")
    assert list(values.values())[:3] == list(BLOCKS)


@pytest.mark.parametrize(
    "genotype", ["", "0000000", "000000000", "00000003", "0000000\n", " 0000000"]
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError, match="Malformed NAS-Bench-Macro genotype"):
        SPACE.architecture(genotype)


def test_a_space_without_channels() -> None:
    with pytest.raises(SettingsError, match="`channels` must be at least 1; got 0"):
        NasBenchMacro(channels=0)


# The key


def test_number_of_networks() -> None:
    keys = {key(genotype) for genotype in GENOTYPES}
    assert len(keys) == 3969
    assert all(key(k) == k for k in keys)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("00101000", "00110000", True),  # an identity within the second stage
        ("00000102", "00000120", True),  # within the third
        ("00012000", "00021000", False),  # the order of the others stays
        ("10000000", "01000000", False),  # the first block of a stage is no identity
        ("01000000", "00010000", False),  # another stage
    ],
)
def test_key_of_two_genotypes(one: str, other: str, *, same: bool) -> None:
    assert (key(one) == key(other)) is same


def test_keys_are_the_published_networks(shared_data: Path) -> None:
    table = read(shared_data)
    keys = table["arch"].map(key)
    assert table.groupby(keys)["same_network"].nunique().max() == 1
    assert keys.nunique() == table["same_network"].nunique()


def test_genotypes_with_one_key_compute_the_same() -> None:
    images = torch.rand(2, 3, 8, 8)
    for genotype in ("00000002", "01001022", "20202010"):
        written = NARROW.architecture(genotype)
        assert written.key != genotype
        for build in ("build", "build_reduced"):
            one, other = (
                getattr(a, build)(input_shape=(3, 8, 8)).eval()(images)
                for a in (written, written.canonical)
            )
            assert torch.equal(one, other)


def test_every_block_shows_in_the_reduced_architecture() -> None:
    rng = np.random.default_rng(0)
    images = torch.rand(2, 3, 8, 8)
    sample = rng.choice(sorted({key(genotype) for genotype in GENOTYPES}), 100, replace=False)
    neighbours = {a.key for a in SPACE.neighbours(SPACE.architecture("12010210"))}
    logits = [
        SPACE.architecture(k).build_reduced(input_shape=(3, 8, 8)).eval()(images).flatten().tolist()
        for k in {*sample.tolist(), *neighbours}
    ]
    assert all(one != other for one, other in pairwise(sorted(logits)))


# Counts


def test_published_parameters_and_flops(shared_data: Path) -> None:
    rows = read(shared_data).sample(20, random_state=0)
    for row in rows.to_dict("records"):
        network = SPACE.architecture(row["arch"]).build(input_shape=CIFAR, classes=10)
        counts = count_operators(network, CIFAR)
        assert count_parameters(network) == round(row["params_m"] * 1e6), row["arch"]
        assert counts.multiply_adds.pop("bias") == 10
        assert f"{counts.flops / 1e6:.8g}" == f"{row['flops_m']:.8g}", row["arch"]


def test_cost_of_the_reduced_architecture() -> None:
    rng = np.random.default_rng(0)
    flops = [
        count_operators(SPACE.sample(rng).build_reduced(input_shape=CIFAR), CIFAR).flops
        for _ in range(15)
    ]
    assert np.median(flops) < 12e6


# Networks


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (3, 17, 16)])
def test_any_input_size(shape: tuple[int, int, int]) -> None:
    architecture = NARROW.architecture("01212010")
    for network in (
        architecture.build(input_shape=shape, classes=7),
        architecture.build_reduced(input_shape=shape, classes=7),
    ):
        assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)


def read(shared_data: Path) -> pd.DataFrame:
    types = {"arch": str, "same_network": str}
    return pd.read_csv(shared_data / "nas_bench_macro.csv.gz", dtype=types)
