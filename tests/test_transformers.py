"""The spaces of vision transformers: AutoFormer, PiT, and one like NASViT's."""

from __future__ import annotations

import json
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from motemo.counting import count_operators, count_parameters
from motemo.errors import GenotypeError, InvalidArchitectureError, SettingsError
from motemo.onnx import graph
from motemo.onnx.session import open_session
from motemo.space import Architecture, Shape, Space
from motemo.spaces.attention import Attention, ClassToken, PatchTokens, Positions, patch_of
from motemo.spaces.autoformer import AutoFormer
from motemo.spaces.nasvit import NasVit
from motemo.spaces.pit import Pit
from motemo.spaces.pit_network import TokenPooling

IMAGENET, CIFAR = (3, 224, 224), (3, 32, 32)
AUTOFORMER, PIT, NASVIT = AutoFormer(), Pit(), NasVit()
ALL: tuple[Space, ...] = (AUTOFORMER, PIT, NASVIT)
by_space = pytest.mark.parametrize("space", ALL, ids=lambda space: space.name)

DEIT_TI = {"hidden_dim": 192, "mlp_ratio": [4.0] * 12, "depth": 12, "num_heads": [3] * 12}
PIT_TI = {"base_dim": 32, "mlp_ratio": 4, "depth": [2, 6, 4], "num_heads": [2, 4, 8]}
SMALL_NASVIT = {
    "width": [16, 16, 24, 32, 64, 112, 160, 208, 1792],
    "depth": [1, 3, 3, 3, 3, 3, 3],
    "kernel_size": [3, 3, 3, 3, 3, 3, 3],
    "expand_ratio": [1, 4, 4, 4, 4, 6, 6],
}


def compact(genotype: object) -> str:
    return json.dumps(genotype, separators=(",", ":"))


def sample(space: Space, count: int, *, seed: int = 0) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    drawn = (space.sample(rng) for _ in range(20 * count))
    return [architecture for architecture in drawn if not architecture.invalid_reason][:count]


# The written form


@pytest.mark.parametrize("space", [AUTOFORMER, PIT], ids=lambda space: space.name)
def test_published_genotypes_round_trip(space: Space, shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "vitbench101.csv.gz", dtype={"arch": str})
    genotypes = table.loc[table["space"] == space.name, "arch"]
    assert len(genotypes) > 50
    for genotype in genotypes:
        architecture = space.architecture(genotype).require_valid()
        assert space.write(space.read(genotype)) == architecture.key == genotype


def test_genes_stand_for_what_is_written() -> None:
    values = AUTOFORMER.read(compact(DEIT_TI | {"num_heads": [4] + [3] * 11}))
    names = ("hidden_dim", "depth", "num_heads_1", "num_heads_2", "mlp_ratio_12", "mlp_ratio_13")
    assert [values[name] for name in names] == [192, 12, 4, 3, 4.0, 3.5]
    values = PIT.read(compact(PIT_TI))
    assert [values[name] for name in ("base_dim", "depth_2", "num_heads_3")] == [32, 6, 8]
    assert compact(SMALL_NASVIT) == NASVIT.write({})
    values = NASVIT.read(compact(SMALL_NASVIT | {"depth": [1, 4, 3, 3, 3, 3, 3]}))
    names = ("width_0", "width_8", "depth_2", "expand_ratio_2")
    assert [values[name] for name in names] == [16, 1792, 4, 4]


@pytest.mark.parametrize(
    ("space", "genotype", "message"),
    [
        (AUTOFORMER, "[1]", "The form is JSON as"),
        (AUTOFORMER, "[" * 100_000, "Malformed genotype"),
        (AUTOFORMER, compact(DEIT_TI | {"depth": 13}), "one entry for each of 13 blocks"),
        (AUTOFORMER, compact(DEIT_TI | {"num_heads": [3] * 13}), "must be equally long"),
        (AUTOFORMER, compact(DEIT_TI | {"num_heads": 3}), "The form is JSON as"),
        (AUTOFORMER, compact(DEIT_TI | {"hidden_dim": 200}), r"hidden_dim is 200, not one of"),
        (AUTOFORMER, compact(DEIT_TI | {"num_heads": [[]] + [3] * 11}), r"num_heads_1 is \[\]"),
        (PIT, compact(PIT_TI | {"depth": [2, 6]}), "'depth' is no list of 3"),
        (PIT, compact(PIT_TI | {"base_dim": 32.0}), r"base_dim is 32\.0, not one of"),
        (PIT, compact(PIT_TI | {"num_heads": [2, 4, 3]}), "num_heads_3 is 3, not one of"),
        (NASVIT, compact(SMALL_NASVIT | {"depth": [1] * 7}), "depth_2 is 1, not one of"),
        (NASVIT, compact(SMALL_NASVIT | {"width": [16]}), "'width' has 1 numbers, not 9"),
        (NASVIT, compact(SMALL_NASVIT | {"kernel_size": [5] * 7}), "kernel_size_3 is 5, not"),
    ],
)
def test_malformed_genotypes(space: Space, genotype: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        space.architecture(genotype)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: AutoFormer(patch_size=0), "`patch_size` must be at least 1, or None; got 0"),
        (lambda: AutoFormer(head_width=-1), "`head_width` must be at least 1, or None; got -1"),
        (lambda: AutoFormer(reduced_width=0), "`reduced_width` must be at least 1/24.*got 0"),
        (lambda: Pit(patch_size=1), "`patch_size` must be at least 2; got 1"),
        (lambda: Pit(reduced_width=0.1), r"`reduced_width` must be at least 1/8.*got 0\.1"),
        (lambda: NasVit(early_stride=3), r"must be one of \(1, 2\) or None; got 3"),
        (lambda: NasVit(reduced_width=0.1), r"`reduced_width` must be at least 1/8.*got 0\.1"),
    ],
)
def test_options_that_there_are_not(create: object, message: str) -> None:
    assert callable(create)
    with pytest.raises(SettingsError, match=message):
        create()


# The key


def test_genes_of_absent_blocks_make_no_difference() -> None:
    """They may be written, up to the last one that is not the first choice."""
    longer = DEIT_TI | {"mlp_ratio": [4.0] * 12 + [3.5, 4.0], "num_heads": [3] * 14}
    written = AUTOFORMER.architecture(compact(longer))
    assert AUTOFORMER.write(AUTOFORMER.read(written.genotype)) == written.genotype
    assert written.key == compact(DEIT_TI)
    images = torch.rand(2, *CIFAR)
    one, other = (a.build_reduced().eval()(images) for a in (written, written.canonical))
    assert torch.equal(one, other)
    assert AUTOFORMER.canonical(compact(longer | {"depth": 14})) == compact(longer | {"depth": 14})


def test_a_stage_of_pit_has_no_fewer_heads_than_the_one_before() -> None:
    allowed = [
        heads
        for heads in product((2, 4, 8), repeat=3)
        if not PIT.invalid_reason(compact(PIT_TI | {"num_heads": [*heads]}))
    ]
    assert allowed == [heads for heads in product((2, 4, 8), repeat=3) if [*heads] == sorted(heads)]
    assert PIT.size * len(allowed) / 27 == 4320
    with pytest.raises(
        InvalidArchitectureError, match=r"of its \(4, 2, 8\) heads, a stage has fewer"
    ):
        PIT.architecture(compact(PIT_TI | {"num_heads": [4, 2, 8]})).require_valid()


@by_space
def test_every_decision_shows_in_the_reduced_architecture(space: Space) -> None:
    """One-gene neighbours that are other networks differ in what the reduced one computes."""
    shape = (1, 8, 8)
    images = torch.rand(2, *shape)
    architecture = sample(space, 1, seed=1)[0].canonical
    neighbours = {a.key for a in space.neighbours(architecture) if not a.invalid_reason}
    chosen = np.random.default_rng(0).choice(sorted(neighbours), min(20, len(neighbours)), False)
    logits = [
        space.architecture(key).build_reduced(input_shape=shape).eval()(images).flatten().tolist()
        for key in {*chosen, architecture.key}
    ]
    assert all(one != other for one, other in pairwise(sorted(logits)))


# Counts


def counts_of_blocks(tokens: int, channels: int, inner: int, hidden: int) -> tuple[int, int]:
    """Return parameters and multiply-adds of one block, from its definition."""
    weights = 4 * channels * inner + 2 * channels * hidden
    biases = 3 * inner + channels + hidden + channels
    scores = 2 * tokens * tokens * inner
    return weights + biases + 4 * channels, tokens * (weights + biases) + scores


def test_autoformer_counts_follow_from_its_definition() -> None:
    genotype = DEIT_TI | {"hidden_dim": 216, "num_heads": [4] * 6 + [3] * 6}
    network = AUTOFORMER.build(compact(genotype), input_shape=CIFAR, classes=10)
    tokens = 8 * 8
    params = 216 * (3 * 16 + 1) + 216 + (tokens + 1) * 216 + 2 * 216 + 216 * 10 + 10
    flops = tokens * 216 * (3 * 16 + 1) + 216 * 10 + 10
    for heads in genotype["num_heads"]:
        block = counts_of_blocks(tokens + 1, 216, 64 * heads, 4 * 216)
        params, flops = params + block[0], flops + block[1]
    assert count_parameters(network) == params
    assert count_operators(network, CIFAR).flops == flops


def test_pit_counts_follow_from_its_definition() -> None:
    genotype = {"base_dim": 16, "mlp_ratio": 2, "depth": [1, 4, 2], "num_heads": [2, 2, 4]}
    network = PIT.build(compact(genotype), input_shape=CIFAR, classes=10)
    widths, sides = (32, 32, 64), (15, 8, 4)
    params = 32 * (3 * 16 + 1) + 32 * (15 * 15 + 1) + 2 * 64 + 64 * 10 + 10
    flops = 32 * (3 * 16 + 1) * 15 * 15 + 64 * 10 + 10
    for depth, width, side in zip(genotype["depth"], widths, sides, strict=True):
        block = counts_of_blocks(side * side + 1, width, width, 2 * width)
        params, flops = params + depth * block[0], flops + depth * block[1]
    for before, after, side in ((32, 32, 8), (32, 64, 4)):
        params += after * (9 + 1) + (before + 1) * after
        flops += after * (9 + 1) * side * side + (before + 1) * after
    assert count_parameters(network) == params
    assert count_operators(network, CIFAR).flops == flops


@pytest.mark.parametrize(
    ("space", "genotype", "params"), [(AUTOFORMER, DEIT_TI, 5_717_416), (PIT, PIT_TI, 4_847_272)]
)
def test_published_networks_are_in_the_spaces(
    space: Space, genotype: dict[str, object], params: int
) -> None:
    with torch.device("meta"):
        network = space.build(compact(genotype), input_shape=IMAGENET, classes=1000)
    assert count_parameters(network) == params


def test_heads_that_share_the_width_cost_nothing() -> None:
    space = AutoFormer(head_width=None)
    one, other = (
        space.build(compact(DEIT_TI | {"num_heads": [n] * 12}), input_shape=CIFAR, classes=10)
        for n in (3, 4)
    )
    assert count_parameters(one) == count_parameters(other)


@by_space
def test_cost_of_the_reduced_architecture(space: Space) -> None:
    flops = [
        count_operators(architecture.build_reduced(), CIFAR).flops
        for architecture in sample(space, 7)
    ]
    assert 4e6 < np.median(flops) < 20e6


# Networks


@by_space
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9)])
def test_any_input_size(space: Space, shape: Shape) -> None:
    (architecture,) = sample(space, 1)
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
    (architecture,) = sample(space, 1)
    network = architecture.build_reduced().eval()
    images = torch.rand(3, *CIFAR)
    run = open_session(graph.build_onnx(network, CIFAR, batch="N"))
    with torch.no_grad():
        assert np.allclose(run(images.numpy()), network(images).numpy(), atol=1e-5)


def test_early_stride_follows_the_images() -> None:
    def resolution(space: NasVit, side: int) -> int:
        with torch.device("meta"):
            network = space.build(NASVIT.write({}), input_shape=(3, side, side), classes=2)
            stem = next(network.children())
            return int(stem(torch.zeros(1, 3, side, side)).shape[-1])

    assert [resolution(NASVIT, side) for side in (32, 112)] == [32, 56]
    assert resolution(NasVit(early_stride=2), 32) == 16


# Blocks


def test_attention_is_that_of_torch() -> None:
    attention = Attention(6, heads=2, head_width=4, value_width=5)
    x = torch.rand(3, 7, 6)
    by_heads = (
        layer(x).transpose(1, 2) for layer in (attention.query, attention.key, attention.value)
    )
    expected = attention.project(F.scaled_dot_product_attention(*by_heads).transpose(1, 2))
    torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize(
    ("side", "patch", "stride", "grid"),
    [(32, 4, 4, 8), (30, 4, 4, 8), (32, 4, 2, 15), (2, 4, 2, 1)],
)
def test_patches_cover_the_image(side: int, patch: int, stride: int, grid: int) -> None:
    tokens = PatchTokens((1, side, side), 1, patch=patch, stride=stride)
    assert tokens.grid == (grid, grid)
    convolution = next(layer for layer in tokens.modules() if isinstance(layer, nn.Conv2d))
    nn.init.ones_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    image = torch.zeros(1, 1, side, side)
    image[..., -1, -1] = 1
    found = tokens(image)
    assert found.shape == (1, grid * grid, 1)
    assert found[0, -1, 0] == 1


def test_patch_size_follows_the_images() -> None:
    assert [patch_of((3, side, 200)) for side in (32, 111, 112)] == [4, 4, 16]


def test_class_token_and_positions() -> None:
    tokens, positions = ClassToken(3, 2), Positions(4, 2)
    x = torch.rand(5, 3, 2)
    expected = torch.cat([tokens.token.expand(5, 1, 2), x], 1) + positions.positions
    assert torch.equal(positions(tokens(x)), expected)


def test_pooling_of_tokens() -> None:
    pooling = TokenPooling((3, 4), 2, 6)
    out = pooling(torch.rand(5, 1 + 3 * 4, 2))
    assert out.shape == (5, 1 + 2 * 2, 6)


class Layer(nn.Module):
    """What takes one image and gives a tensor, made of one of the calls below."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.weights = nn.Parameter(torch.rand(5, 4))
        self.register_buffer("shift", torch.rand(3, 1))
        self.register_buffer("whole", torch.arange(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (CALLS | OTHER_CALLS)[self.name](self, x).flatten(1)


CALLS = {
    "one": lambda layer, x: x[:, 1],
    "last": lambda layer, x: x[:, -1],
    "some": lambda layer, x: x[:, 1:3],
    "from": lambda layer, x: x[:, -2:],
    "to": lambda layer, x: x[:, :-1],
    "transpose": lambda layer, x: x.transpose(1, -1),
    "permute": lambda layer, x: x.permute(0, 3, 1, 2),
    "softmax": lambda layer, x: x.softmax(dim=-1),
    "softmax by place": lambda layer, x: x.softmax(2),
    "mean": lambda layer, x: x.mean(dim=1),
    "matmul": lambda layer, x: x @ layer.weights,
    "buffer": lambda layer, x: x + layer.shift,
}
OTHER_CALLS = {
    "batch moved": lambda layer, x: x.transpose(0, 1).softmax(-1).permute(1, 0, 2, 3),
    "permuted from the end": lambda layer, x: x.permute(0, -1, 1, 2),
    "batch indexed": lambda layer, x: x[:, :, 1],
    "every second": lambda layer, x: x[:, ::2],
    "mean of two": lambda layer, x: x.mean((1, 2)),
    "whole numbers": lambda layer, x: x * layer.whole,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("batch", [2, "N"])
def test_call_as_onnx(name: str, batch: int | str) -> None:
    _check_onnx(Layer(name), batch)


@pytest.mark.parametrize("name", OTHER_CALLS)
def test_other_calls_are_left_to_torch(name: str) -> None:
    with pytest.raises(graph._UnsupportedError):
        _check_onnx(Layer(name), 2)


@pytest.mark.parametrize(
    "layer",
    [
        nn.LayerNorm(5, eps=0.1),
        nn.LayerNorm((3, 5), bias=False),
        nn.LayerNorm(5, elementwise_affine=False),
        nn.GELU(),
        nn.Flatten(2),
        nn.Unflatten(1, (2, 2)),
        nn.Unflatten(-1, (1, 5)),
        nn.ZeroPad2d((1, 0, 0, 2)),
        nn.Sequential(nn.Flatten(2), nn.ZeroPad2d((1, 0, 0, 2))),
    ],
    ids=str,
)
def test_layer_as_onnx(layer: nn.Module) -> None:
    _check_onnx(nn.Sequential(layer, nn.Flatten()), "N")


def _check_onnx(network: nn.Module, batch: int | str) -> None:
    images = torch.rand(2, 4, 3, 5) - 0.5
    run = open_session(graph._write_directly(network.eval(), (4, 3, 5), batch=batch))
    with torch.no_grad():
        assert np.allclose(run(images.numpy()), network(images).numpy(), atol=1e-6)
