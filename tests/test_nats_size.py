from __future__ import annotations

import math
from itertools import pairwise, product

import pytest
import torch

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, SettingsError
from motemo.spaces.nats_size import WIDTHS, NatsSize

SPACE = NatsSize()
CIFAR = (3, 32, 32)


def test_written_form_round_trip() -> None:
    genotypes = [":".join(map(str, widths)) for widths in product(WIDTHS, repeat=5)]
    assert len(genotypes) == SPACE.size == 32_768
    for genotype in genotypes[::97]:
        assert SPACE.write(SPACE.read(genotype)) == genotype
        assert SPACE.architecture(genotype).key == genotype
    assert [*SPACE.read("8:16:24:32:40").values()] == [8, 16, 24, 32, 40]


@pytest.mark.parametrize(
    "genotype",
    [
        "",
        "8:8:8:8",
        "8:8:8:8:8:8",
        "8:8:8:8:9",
        "8:8:8:8:72",
        "8:8:8:8:8\n",
        "08:8:8:8:8",
        "8:8:8:8:٨",
    ],
)
def test_malformed_genotypes(genotype: str) -> None:
    with pytest.raises(GenotypeError, match="Malformed NATS-Bench size genotype"):
        SPACE.architecture(genotype)


@pytest.mark.parametrize("width", [0.1, 0.0, -1.0, math.nan])
def test_widths_without_channels_of_their_own(width: float) -> None:
    with pytest.raises(SettingsError, match=r"`reduced_width` must be at least 0\.125"):
        NatsSize(reduced_width=width)


@pytest.mark.parametrize(
    ("genotype", "published"),
    [("8:8:8:8:8", 11_714), ("8:8:16:40:40", 107_826), ("64:64:64:64:64", 713_674)],
)
def test_published_parameters(genotype: str, published: int) -> None:
    assert count_parameters(SPACE.architecture(genotype).build()) == published


def counted_by_hand(widths: tuple[int, ...], classes: int) -> tuple[int, int]:
    """Return parameters, and multiply-adds at 32x32, of the published layers."""
    first, second, third, fourth, last = widths
    convolutions = [(3, first, 3, 32)]
    for read, width, side in ((first, first, 32), (second, third, 16), (fourth, last, 8)):
        convolutions += [(read, width, 3, side)] * 2 + [(width, width, 3, side)] * 3
    for read, width, side in ((first, second, 16), (third, fourth, 8)):
        convolutions += [(read, width, 3, side), (width, width, 3, side), (read, width, 1, side)]
    skips = [(a, b, 1, s) for a, b, s in ((second, third, 16), (fourth, last, 8)) if a != b]
    normalized = [width for _, width, kernel, _ in convolutions if kernel == 3]
    normalized += [width for _, width, _, _ in skips] + [last]
    weights = [(a * b * k**2, side**2) for a, b, k, side in convolutions + skips]
    parameters = sum(n for n, _ in weights) + 2 * sum(normalized) + (last + 1) * classes
    return parameters, sum(n * pixels for n, pixels in weights) + (last + 1) * classes


@pytest.mark.parametrize("widths", [(8, 16, 24, 32, 40), (64, 8, 8, 56, 56), (24, 24, 16, 8, 64)])
def test_counts(widths: tuple[int, ...]) -> None:
    network = SPACE.architecture(":".join(map(str, widths))).build(classes=12)
    counted = count_parameters(network), count_operators(network, CIFAR).flops
    assert counted == counted_by_hand(widths, 12)


def test_every_width_shows_in_the_reduced_architecture() -> None:
    start = SPACE.architecture("16:24:32:16:8")
    sizes = [
        sorted(tuple(w.shape) for w in a.build_reduced().parameters())
        for a in (start, *SPACE.neighbours(start))
    ]
    assert all(one != other for one, other in pairwise(sorted(sizes)))


def test_scaled() -> None:
    space = SPACE.scaled(width=0.5, depth=1)
    assert (space.width, space.reduced_width) == (0.5, 0.1875)
    half = space.architecture("16:16:16:16:16").build()
    assert count_parameters(half) == count_parameters(SPACE.architecture("8:8:8:8:8").build())
    with pytest.raises(SettingsError, match="got depth=2"):
        SPACE.scaled(width=1, depth=2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (3, 17, 16)])
def test_any_input_size(shape: tuple[int, int, int]) -> None:
    architecture = SPACE.architecture("8:16:8:24:8")
    for network in (
        architecture.build(input_shape=shape, classes=7),
        architecture.build_reduced(input_shape=shape, classes=7),
    ):
        assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)
