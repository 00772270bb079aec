"""TransNAS-Bench-101's macro space."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from motemo.counting import count_operators
from motemo.errors import GenotypeError, InvalidArchitectureError, SettingsError
from motemo.spaces.transnas_macro import TransNasMacro

CHECK = Path(__file__).parents[1] / "scripts" / "check_transnas_macro.py"
SPACE = TransNasMacro()
CIFAR = (3, 32, 32)
PUBLISHED = tuple(
    f"64-{''.join(modules)}-basic"
    for length in (4, 5, 6)
    for modules in product("1234", repeat=length)
)


def valid(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    genotypes = [g for g in PUBLISHED if SPACE.invalid_reason(g) is None]
    return [str(g) for g in rng.choice(genotypes, count, replace=False)]


# The written form


def test_every_combination_of_modules_has_one_genotype() -> None:
    kinds = [gene.choices for gene in SPACE.genes]
    written = set()
    for choices in product(*kinds):
        values = dict(zip((gene.name for gene in SPACE.genes), choices, strict=True))
        genotype = SPACE.write(values)
        assert SPACE.read(genotype) == values
        written.add(genotype)
    assert len(written) == SPACE.size == 4**4 * 5**2
    assert written.issuperset(PUBLISHED)


def test_the_published_form() -> None:
    assert list(SPACE.read("64-41212-basic").values()) == [4, 1, 2, 1, 2, 0]


@pytest.mark.parametrize(
    "genotype",
    ["", "64-412-basic", "64-4121241-basic", "64-41215-basic", "64-41210-basic", "64-40212-basic"],
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError, match="Malformed TransNAS macro genotype"):
        SPACE.architecture(genotype)


def test_unknown_stem_stride() -> None:
    with pytest.raises(SettingsError, match=r"`stem_stride` must be one of \(1, 2, 4\); got 3"):
        TransNasMacro(stem_stride=3)


# The networks of the space


def test_3256_networks() -> None:
    networks = [g for g in PUBLISHED if SPACE.invalid_reason(g) is None]
    assert len(networks) == 3256
    assert all(SPACE.canonical(genotype) == genotype for genotype in networks)


@pytest.mark.parametrize(
    ("genotype", "reason"),
    [
        ("64-3333-basic", "doubles its channels 0 times, not 1 to 3"),
        ("64-24242-basic", "doubles its channels 5 times, not 1 to 3"),
        ("64-1212-basic", "halves its resolution 0 times, not 1 to 4"),
        ("64-333342-basic", "halves its resolution 5 times, not 1 to 4"),
    ],
)
def test_other_chains_are_invalid(genotype: str, reason: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=reason):
        SPACE.architecture(genotype).require_valid()


def test_an_absent_module_before_the_last_makes_no_difference() -> None:
    written = SPACE.architecture("64-341203-basic")
    assert written.key == "64-34123-basic"
    images = torch.rand(2, *CIFAR)
    one, other = (a.build_reduced().eval()(images) for a in (written, written.canonical))
    assert torch.equal(one, other)


# Networks


def test_published_parameters_and_flops(shared_data: Path) -> None:
    table = shared_data / "suite_zero_transnas_macro.csv.gz"
    done = subprocess.run(
        [sys.executable, CHECK, "--table", table, "--rows", "12"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows that are no such network: 0 of 362" in done.stdout
    assert done.stdout.count("12 of 12 equal") == 3


def test_the_check_sees_a_difference(shared_data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(shared_data / "suite_zero_transnas_macro.csv.gz", dtype={"arch": str})[:2]
    table.loc[1, "room_layout_flops_m"] += 0.001
    table.to_csv(tmp_path / "table.csv", index=False)
    done = subprocess.run(
        [sys.executable, CHECK, "--table", tmp_path / "table.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "room_layout: 1 of 2 equal" in done.stdout


def test_every_module_shows_in_the_reduced_architecture() -> None:
    """Of small images too: neighbours, and what differs in the fourth halving alone."""
    center = SPACE.architecture("64-33324-basic")
    neighbours = [a.key for a in SPACE.neighbours(center) if a.invalid_reason is None]
    for shape in (CIFAR, (1, 8, 8)):
        images = torch.rand(2, *shape)
        logits = [
            SPACE.architecture(key)
            .build_reduced(input_shape=shape)
            .eval()(images)
            .flatten()
            .tolist()
            for key in {*neighbours, center.key, "64-3332-basic", "64-3334-basic"}
        ]
        assert len(logits) > 10
        assert all(one != other for one, other in pairwise(sorted(logits)))


def test_cost_of_the_reduced_architecture() -> None:
    flops = [count_operators(SPACE.architecture(g).build_reduced(), CIFAR).flops for g in valid(12)]
    assert 3e6 < np.median(flops) < 20e6


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9)])
def test_any_input_size(shape: tuple[int, int, int]) -> None:
    (genotype,) = valid(1)
    for network in (
        SPACE.build(genotype, input_shape=shape, classes=7),
        SPACE.build_reduced(genotype, input_shape=shape, classes=7),
    ):
        assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)
