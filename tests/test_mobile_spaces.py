"""The spaces of Once-for-All, MnasNet and FBNet."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, SettingsError
from motemo.onnx import graph
from motemo.onnx.session import open_session
from motemo.space import Architecture, Space
from motemo.spaces.fbnet import FBNet
from motemo.spaces.layers import Normalization
from motemo.spaces.mnasnet import MnasNet
from motemo.spaces.mobile_blocks import InvertedResidual, Squeeze, divisible
from motemo.spaces.once_for_all import OnceForAll, mobilenetv2, proxyless
from motemo.testing import check_space

CHECK = Path(__file__).parents[1] / "scripts" / "check_mobile_spaces.py"
IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)
MBV3, MNASNET, FBNET = OnceForAll(), MnasNet(), FBNet()
ALL: tuple[Space, ...] = (MBV3, proxyless(), mobilenetv2(), MNASNET, FBNET)
TABLES = {"ofa_mbv3": "ofa_mbv3_dynast", "mnasnet": "accel_nasbench", "fbnet": "fbnet_latency"}

MOBILENETV2 = {
    "ks": [3, 3, 0, 0, 3, 3, 3, 0, 3, 3, 3, 3, 3, 3, 3, 0, 3, 3, 3, 0, 3],
    "e": [6, 6, 0, 0, 6, 6, 6, 0, 6, 6, 6, 6, 6, 6, 6, 0, 6, 6, 6, 0, 6],
    "d": [2, 3, 4, 3, 3, 1],
}
EFFICIENTNET_B0 = {
    "e": [1, 6, 6, 6, 6, 6, 6],
    "k": [3, 3, 5, 3, 5, 5, 3],
    "l": [1, 2, 2, 3, 3, 4, 1],
    "se": [1] * 7,
}
SMALL_MBV3 = {"ks": [3, 5, 0, 0] * 5, "e": [4, 6, 0, 0] * 5, "d": [2] * 5}

by_space = pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)


def compact(lists: dict[str, list[int]]) -> str:
    return json.dumps(lists, separators=(",", ":"))


def changed(lists: dict[str, list[int]], name: str, place: int, value: object) -> str:
    """Return the genotype with another number in one place of one list."""
    numbers: list[object] = [*lists[name]]
    numbers[place] = value
    return json.dumps({**lists, name: numbers}, separators=(",", ":"))


def counts(architecture: Architecture) -> tuple[int, int]:
    """Return parameters, and multiply-adds without biases, for ImageNet."""
    network = architecture.build(input_shape=IMAGENET, classes=1000)
    found = count_operators(network, IMAGENET)
    return count_parameters(network), found.flops - found.multiply_adds["bias"]


# What was published


@pytest.mark.parametrize("name", TABLES)
def test_published_records(name: str, shared_data: Path) -> None:
    table = shared_data / f"{TABLES[name]}.csv.gz"
    command = [sys.executable, CHECK, "--space", name, "--table", table, "--rows", "3"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "params and flops: 0 of 3 differ\nall equal" in run.stdout


def test_the_check_sees_a_difference(shared_data: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(shared_data / "fbnet_latency.csv.gz", dtype={"arch": str})[:2]
    rows.loc[1, "flops_m"] += 0.001
    rows.to_csv(tmp_path / "table.csv")
    command = [sys.executable, CHECK, "--space", "fbnet", "--table", tmp_path / "table.csv"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "params and flops: 1 of 2 differ" in run.stdout


@pytest.mark.parametrize("space", [MBV3, MNASNET, FBNET], ids=TABLES)
def test_published_genotypes_round_trip(space: Space, shared_data: Path) -> None:
    rows = pd.read_csv(shared_data / f"{TABLES[space.name]}.csv.gz", dtype={"arch": str})
    for genotype in rows["arch"][:300]:
        assert space.write(space.read(genotype)) == genotype
        if space is not FBNET:
            assert space.canonical(genotype) == genotype


def test_mobilenetv2_is_in_its_space() -> None:
    params, multiply_adds = counts(mobilenetv2().architecture(compact(MOBILENETV2)))
    assert params == 3_504_872
    assert multiply_adds == 300_774_272


def test_efficientnet_b0_is_in_the_space_of_mnasnet() -> None:
    params, _ = counts(MNASNET.architecture(compact(EFFICIENTNET_B0)))
    assert params == 5_288_548


# The written form


def test_genes_stand_for_what_is_written() -> None:
    values = MBV3.read(changed(SMALL_MBV3, "ks", 4, 7))
    assert (values["d_2"], values["ks_2_1"], values["e_2_1"], values["e_2_2"]) == (2, 7, 4, 6)
    values = MNASNET.read(compact(EFFICIENTNET_B0))
    assert [values[f"l_{stage}"] for stage in range(1, 8)] == EFFICIENTNET_B0["l"]
    values = FBNET.read("|".join(["k3_e1", "skip", *["k5_e6"] * 20]))
    assert (values["layer_1"], values["layer_2"], values["layer_22"]) == ("k3_e1", "skip", "k5_e6")


def test_blanks_and_order_of_json_do_not_matter() -> None:
    other = json.dumps(dict(reversed(EFFICIENTNET_B0.items())), indent=1)
    assert MNASNET.architecture(other).key == compact(EFFICIENTNET_B0)


@pytest.mark.parametrize(
    ("space", "genotype", "message"),
    [
        (MBV3, "[1]", "The form is JSON with kernels 'ks'"),
        (MBV3, "[" * 100_000, "Malformed genotype"),
        (MBV3, compact(SMALL_MBV3 | {"r": [224]}), "The form is JSON"),
        (MBV3, compact(SMALL_MBV3 | {"d": [2] * 4}), "'d' has 4 numbers, not 5"),
        (MBV3, changed(SMALL_MBV3, "d", 0, 5), r"d_1 is 5, not one of \(2, 3, 4\)"),
        (MBV3, changed(SMALL_MBV3, "ks", 0, 0), "ks_1_1 is 0, not one of"),
        (MBV3, changed(SMALL_MBV3, "ks", 2, 4), "ks_1_3 is 4, not one of"),
        (MBV3, changed(SMALL_MBV3, "e", 0, 3.0), "'e' is no list of whole numbers"),
        (OnceForAll(resolutions=(96, 128)), compact(SMALL_MBV3), "and a resolution 'r', for"),
        (mobilenetv2(), changed(MOBILENETV2, "ks", 0, 5), r"ks_1_1 is 5, not one of \(3,\)"),
        (MNASNET, changed(EFFICIENTNET_B0, "se", 0, True), "'se' is no list of whole numbers"),
        (MNASNET, changed(EFFICIENTNET_B0, "l", 0, 4), r"l_1 is 4, not one of \(1, 2, 3\)"),
        (FBNET, "|".join(["skip"] * 21), "Malformed FBNet genotype"),
        (FBNET, "|".join(["k7_e1"] * 22), "each one of k3_e1, k3_e1_g2"),
    ],
)
def test_malformed_genotypes(space: Space, genotype: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        space.architecture(genotype)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: OnceForAll("ofa"), "must be one of ofa_mbv3, proxyless, mobilenetv2; got 'ofa'"),
        (lambda: OnceForAll(width=0), "`width` must be above 0; got 0"),
        (lambda: OnceForAll(stem_stride=3), r"must be one of \(1, 2\); got 3"),
        (lambda: OnceForAll(resolutions=(100,)), r"must be multiples of 32, .*; got \(100,\)"),
        (lambda: MnasNet(reduced_width=-1), "`reduced_width` must be above 0; got -1"),
        (lambda: MnasNet(depth=0.5), "`depth` must be at least 1"),
        (lambda: MnasNet(stem_stride=0), r"must be one of \(1, 2\); got 0"),
        (lambda: FBNet(layout="mnist"), "must be one of cifar, imagenet; got 'mnist'"),
        (lambda: FBNet(width=float("nan")), "`width` must be above 0; got nan"),
        (lambda: MBV3.scaled(width=1, depth=2), "depths of 'ofa_mbv3' are genes; got depth=2"),
        (lambda: FBNET.scaled(width=1, depth=2), "block of 'fbnet' is a gene; got depth=2"),
    ],
)
def test_options_that_there_are_not(create: object, message: str) -> None:
    assert callable(create)
    with pytest.raises(SettingsError, match=message):
        create()


# The key


def test_genes_of_absent_blocks_make_no_difference() -> None:
    plain = compact(SMALL_MBV3)
    for name, place, value in (("ks", 2, 7), ("e", 3, 6), ("ks", 3, 3)):
        assert MBV3.canonical(changed(SMALL_MBV3, name, place, value)) == plain
    for name, place, value in (("ks", 1, 7), ("e", 4, 6)):
        assert MBV3.canonical(changed(SMALL_MBV3, name, place, value)) != plain


def test_a_skip_may_stand_anywhere_after_the_first_layer_of_its_stage() -> None:
    def key(*stage: str) -> str:
        return FBNET.canonical("|".join(["k3_e1", *stage, *["k5_e3"] * 17]))

    assert key("k3_e1", "skip", "k3_e6", "skip") == key("k3_e1", "skip", "skip", "k3_e6")
    assert key("skip", "k3_e1", "k3_e6", "skip") != key("k3_e1", "k3_e6", "skip", "skip")
    assert key("k3_e1", "k5_e1", "k3_e6", "skip") != key("k3_e1", "k3_e6", "k5_e1", "skip")


@by_space
def test_genotypes_with_one_key_compute_the_same(space: Space) -> None:
    images = torch.rand(2, 3, 16, 16)
    written = [a for a in sample(space, 4) if a.key != a.genotype]
    assert written or space is MNASNET
    for architecture in written[:2]:
        for build in ("build", "build_reduced"):
            one, other = (
                getattr(a, build)(input_shape=(3, 16, 16)).eval()(images)
                for a in (architecture, architecture.canonical)
            )
            assert torch.equal(one, other)


@by_space
def test_every_decision_shows_in_the_reduced_architecture(space: Space) -> None:
    """One-gene neighbours that are other networks differ in what the reduced one computes."""
    images = torch.rand(2, 3, 32, 32)
    architecture = sample(space, 1, seed=1)[0].canonical
    keys = {neighbour.key for neighbour in space.neighbours(architecture)} | {architecture.key}
    chosen = np.random.default_rng(0).choice(sorted(keys), min(25, len(keys)), replace=False)
    logits = [
        space.architecture(key).build_reduced(input_shape=CIFAR).eval()(images).flatten().tolist()
        for key in chosen
    ]
    assert all(one != other for one, other in pairwise(sorted(logits)))


# Networks


@by_space
def test_cost_of_the_reduced_architecture(space: Space) -> None:
    flops = [
        count_operators(architecture.build_reduced(input_shape=CIFAR), CIFAR).flops
        for architecture in sample(space, 9)
    ]
    assert 5e6 < np.median(flops) < 20e6


@by_space
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9)])
def test_any_input_size(space: Space, shape: tuple[int, int, int]) -> None:
    architecture = sample(space, 1)[0]
    for network in (
        architecture.build(input_shape=shape, classes=7),
        architecture.build_reduced(input_shape=shape, classes=7),
    ):
        assert network.eval()(torch.rand(2, *shape)).shape == (2, 7)


@by_space
def test_onnx_is_written_directly(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("went through torch's exporter")

    monkeypatch.setattr(graph, "_write_with_torch", refuse)
    for architecture in sample(space, 2):
        graph.build_onnx(architecture.build(), CIFAR)


def test_resolution_as_a_gene() -> None:
    space = OnceForAll(resolutions=(128, 160, 192, 224))
    check_space(space, samples=6)
    small, large = (compact(SMALL_MBV3 | {"r": [height]}) for height in (128, 224))
    assert space.read(small)["r"] == 128
    assert space.canonical(small) == small
    published = MBV3.architecture(compact(SMALL_MBV3)).build(input_shape=IMAGENET)
    at_128, at_224 = (
        count_operators(space.architecture(genotype).build(input_shape=IMAGENET), IMAGENET)
        for genotype in (small, large)
    )
    assert at_128.flops == count_operators(published, (3, 128, 128)).flops
    assert at_128.others["upsample_bilinear2d"] == 3 * 128 * 128
    assert at_224 == count_operators(published, IMAGENET)


@by_space
def test_a_wider_space(space: Space) -> None:
    architecture = sample(space, 1)[0]
    wider = space.scaled(width=2, depth=1).architecture(architecture.genotype)
    for build in ("build", "build_reduced"):
        one, two = (count_parameters(getattr(a, build)()) for a in (architecture, wider))
        assert 2.5 < two / one < 4
    assert wider.space.identity() != space.identity()


def test_a_deeper_space() -> None:
    deeper = MNASNET.scaled(width=1, depth=1.5).architecture(compact(EFFICIENTNET_B0))
    for network in (deeper.build(), deeper.build_reduced()):
        blocks = sum(isinstance(module, InvertedResidual) for module in network.modules())
        assert blocks == sum(round(1.5 * layers) for layers in EFFICIENTNET_B0["l"])


def test_resolutions_that_small_images_cannot_tell_apart() -> None:
    space = OnceForAll(resolutions=(480, 512))
    architecture = space.sample(np.random.default_rng(0))
    architecture.build(input_shape=(1, 32, 32), classes=2)
    for build in (architecture.build, architecture.build_reduced):
        with pytest.raises(SettingsError, match="8x8 are too small for the resolutions 480, 512"):
            build(input_shape=(1, 8, 8), classes=2)


def test_stem_and_layout_for_other_resolutions() -> None:
    for space, other, factor in (
        (MBV3, OnceForAll(stem_stride=1), 2),
        (MNASNET, MnasNet(stem_stride=1), 2),
        (FBNet(layout="imagenet"), FBNET, 4),
    ):
        before, after = (_last_resolution(one, sample(space, 1)[0]) for one in (space, other))
        assert after == factor * before


def _last_resolution(space: Space, architecture: Architecture) -> int:
    """Return the height of what is pooled before the classifier, for 224x224."""
    network = space.architecture(architecture.genotype).build(input_shape=IMAGENET)
    heights: list[int] = []
    for module in network.children():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda _, inputs, __: heights.append(inputs[0].shape[2]))
    network.eval()(torch.zeros(1, *IMAGENET))
    return heights[0]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(1, 8), (12, 16), (18, 24), (19.2, 24), (20, 24), (33, 32), (128, 128)],
)
def test_multiples_of_eight(channels: float, expected: int) -> None:
    assert divisible(channels) == expected


def test_layers_of_a_block() -> None:
    squeeze = Squeeze(4, "relu", hard=True)
    norm = Normalization()
    plain = InvertedResidual(8, 8, norm, expansion=1, kernel=3, always_expand=False)
    rich = InvertedResidual(8, 16, norm, expansion=3, kernel=5, groups=2, squeeze=squeeze)
    assert (count_parameters(plain), plain.keeps_shape) == (8 * 9 + 8 * 8 + 4 * 8, True)
    expected = (8 * 24 + 24 * 16) // 2 + 24 * 25 + 2 * (24 + 24 + 16) + 24 * 4 + 4 + 4 * 24 + 24
    assert (count_parameters(rich), rich.keeps_shape) == (expected, False)


@pytest.mark.parametrize("batch", [2, "N"])
@pytest.mark.parametrize("layer", [nn.ChannelShuffle(3), nn.Upsample((2, 3), mode="bilinear")])
def test_layer_as_onnx(layer: nn.Module, batch: int | str) -> None:
    images = torch.rand(2, 6, 3, 5)
    network = nn.Sequential(layer, nn.Flatten())
    run = open_session(graph.build_onnx(network, (6, 3, 5), batch=batch))
    assert np.allclose(run(images.numpy()), network(images).numpy(), atol=1e-6)


def sample(space: Space, count: int, *, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]
