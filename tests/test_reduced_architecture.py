"""The general reduced architecture: smaller, the same in kind, no two alike."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from motemo import BuilderSpace, FunctionSpace, Gene, Mote, NasBench201, load_data
from motemo.counting import count_parameters
from motemo.errors import SettingsError
from motemo.objective import Measurement
from motemo.objectives.recipe import Recipe
from motemo.registry import SPACES
from motemo.seeds import seeded_torch
from motemo.space import Choice, Shape, Space
from motemo.spaces.nasbench201_network import Cell, Reduction
from motemo.spaces.shrinking.cost import multiply_adds
from motemo.spaces.shrinking.follow import follow
from motemo.spaces.shrinking.narrow import narrow
from motemo.spaces.shrinking.repeats import dispensable, repeats
from motemo.spaces.shrinking.rule import Shrinking, plan_of
from motemo.spaces.shrinking.sample import covering_sample
from motemo.spaces.shrinking.sizes import Sizes, constant
from motemo.spaces.shrinking.structure import signature, structure
from motemo.spaces.shrinking.tracing import NotFollowedError
from motemo.spaces.shrinking.widths import WidthMap

SHAPE: Shape = (3, 16, 16)


def conv(inputs: int, outputs: int, kernel: int = 3, **options: int) -> nn.Sequential:
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False, **options),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Body(nn.Module):
    """A network of `SHAPE` images: stem, what a test is about, classifier."""

    def __init__(self, outputs: int = 16) -> None:
        super().__init__()
        self.stem = conv(3, 16)
        self.head = nn.Linear(outputs, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(self.stem(x)).mean((2, 3)))
        return out

    def body(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Residual(Body):
    def __init__(self) -> None:
        super().__init__(32)
        self.a, self.b = conv(16, 32), conv(32, 32)
        self.shortcut = nn.Conv2d(16, 32, 1)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        x = self.shortcut(x) + self.a(x)
        x += self.b(x)
        return F.max_pool2d(x, 2)


class SqueezeExcite(Body):
    """Depthwise convolution, and gates."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = conv(16, 64, 1), conv(64, 64, groups=64)
        self.squeeze, self.excite = nn.Linear(64, 8), nn.Linear(8, 64)
        self.project = nn.Conv2d(64, 16, 1)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(self.expand(x))
        b, c, _, _ = y.shape
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3))))))
        return x + self.project(y * gate.view(b, c, 1, 1))


class Dense(Body):
    """Concatenations, one of which is added to something of its width."""

    def __init__(self) -> None:
        super().__init__(40)
        self.a, self.b, self.c = conv(16, 12), conv(28, 12), conv(16, 40)
        self.norm = nn.GroupNorm(4, 40)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([x, self.a(x)], 1)
        return self.norm(torch.cat([y, self.b(y)], dim=1) + self.c(x))  # type: ignore[no-any-return]


class Shuffle(Body):
    """Channel split and shuffle, and grouped convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.right, self.grouped = conv(8, 8), conv(16, 16, groups=4)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, self.right(right)], 1)
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, 16, h, w)
        return self.grouped(x)  # type: ignore[no-any-return]


class Slices(Body):
    """Parts of channels, by constants that stand in the program."""

    def __init__(self) -> None:
        super().__init__(24)
        self.small, self.wide = conv(12, 12), conv(16, 24)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        first = self.small(x[:, :12])
        a, b = torch.split(self.wide(x), [16, 8], dim=1)
        return torch.cat([a + x, b], 1) + torch.cat([first, first], 1)


class Transformer(nn.Module):
    """Patches, class token, positions, attention by hand, a gated perceptron."""

    def __init__(self, heads: int = 3, width: int = 24) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 17, width))
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.project, self.gated = nn.Linear(width, width), nn.Linear(width, 96)
        self.out, self.head = nn.Linear(48, width), nn.Linear(width, 5)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        b, t, _ = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, t, 3, self.heads, self.width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1)).softmax(dim=-1)
        x = x + self.project((attention @ v).transpose(1, 2).reshape(b, t, self.width))
        gate, value = self.gated(x).chunk(2, -1)
        x = x + self.scale * self.out(F.gelu(gate) * value)
        return self.head(x[:, 0])  # type: ignore[no-any-return]


class TorchAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, 4)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).permute(0, 2, 1)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head(x.mean(1))  # type: ignore[no-any-return]


class UpAndDown(Body):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.act = nn.Conv2d(16, 32, 3, 2, 1), nn.PReLU(32)
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.up(self.act(self.down(x)))  # type: ignore[no-any-return]


MODELS = (
    *(Residual, SqueezeExcite, Dense, Shuffle, Slices, Transformer, TorchAttention, UpAndDown),
)


def kinds(network: nn.Module) -> Counter[type[nn.Module]]:
    return Counter(type(m) for m in network.modules() if not any(m.children()))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_of_any_kind_is_narrowed_consistently(model: type[nn.Module]) -> None:
    network = model()
    followed = follow(copy.deepcopy(network), SHAPE)
    whole = followed.multiply_adds({})
    assert whole == multiply_adds(network, SHAPE)
    widths = {atom: math.ceil(size / 2) for atom, size in followed.free().items()}
    expected = followed.multiply_adds(widths)
    narrowed = narrow(followed, widths).train()
    assert multiply_adds(narrowed, SHAPE) == expected < 0.55 * whole
    logits = narrowed(torch.rand(4, *SHAPE))
    assert logits.shape == (4, 5)
    logits.sum().backward()
    assert kinds(narrowed) == kinds(network)


def test_heads_and_groups_stay() -> None:
    followed = follow(Transformer(heads=3, width=24), SHAPE)
    narrowed = narrow(followed, {a: math.ceil(n / 4) for a, n in followed.free().items()})
    assert narrowed.qkv.out_features == 3 * 3 * 2  # query, key, value; heads; 8 / 4
    assert narrowed.positions.shape == (1, 17, 6)
    followed = follow(Shuffle(), SHAPE)
    narrowed = narrow(followed, dict.fromkeys(followed.free(), 1))
    grouped = narrowed.grouped.get_submodule("0")
    assert (grouped.groups, grouped.in_channels % 4) == (4, 0)


class Unknown(Body):
    """An operator that nobody told about, on a part of the network."""

    def __init__(self) -> None:
        super().__init__(24)
        self.other = conv(16, 8)

    def body(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.cumsum(x, 1), self.other(x)], 1)


def test_what_is_not_understood_keeps_its_width() -> None:
    followed = follow(Unknown(), SHAPE)
    assert sorted(followed.free().values()) == [8]
    narrowed = narrow(followed, dict.fromkeys(followed.free(), 2))
    assert narrowed.head.in_features == 16 + 2
    assert narrowed(torch.rand(2, *SHAPE)).shape == (2, 5)


class Branching(Body):
    def body(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_traced_says_why() -> None:
    with pytest.raises(NotFollowedError, match="control flow"):
        follow(Branching(), SHAPE)


# Sizes


def test_axes_that_agree_keep_agreeing() -> None:
    sizes = Sizes()
    a, b, whole = sizes.new(6), sizes.new(4), sizes.new(10)
    sizes.unify(whole, a + b)
    first, rest = sizes.split(whole, [3, 7])
    assert [sizes.size(axis) for axis in (first, rest, a, b)] == [3, 7, 6, 4]
    new = dict.fromkeys(sizes.free(whole), 1)
    assert sizes.size(first, new) + sizes.size(rest, new) == sizes.size(whole, new) == 3
    flat = sizes.product([a, constant(5)])
    assert [sizes.size(axis) for axis in sizes.factor(flat, (6, 5))] == [6, 5]
    sizes.freeze(a)
    assert sizes.size(a, dict.fromkeys(range(len(sizes.original)), 1)) == 6


@pytest.mark.parametrize("seed", range(5))
def test_widths_that_differ_stay_different_and_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = sorted({int(n) for n in rng.integers(1, 400, size=40)} | {8, 10})
    width_map = WidthMap.of(widths, 2.0 ** -int(rng.integers(1, 6)))
    mapped = [width_map(width) for width in widths]
    assert mapped == sorted(set(mapped))
    assert all(1 <= new <= old for new, old in zip(mapped, widths, strict=True))
    by_eights = WidthMap.of((8, 64, 512), 0.25)  # multiples of 8 that it has not seen
    assert len({by_eights(width) for width in range(8, 520, 8)}) == 64


# The rule


def fingerprint(network: nn.Module) -> object:
    """Return the structure of a network: operators, sizes, connections; no names, no weights."""
    traced = fx.symbolic_trace(network)
    place: dict[fx.Node, int] = {}
    found: list[object] = []
    for node in traced.graph.nodes:
        kind: object = str(node.target)
        if node.op == "call_module":
            module = traced.get_submodule(str(node.target))
            shapes = tuple(tuple(p.shape) for p in module.parameters())
            kind = (type(module).__name__, module.extra_repr(), shapes)
        elif node.op == "get_attr":
            kind = tuple(torch.as_tensor(attrgetter(str(node.target))(traced)).shape)
        arguments = fx.node.map_arg((node.args, node.kwargs), lambda one: f"<{place[one]}>")
        found.append((node.op, kind, repr(arguments)))
        place[node] = len(place)
    return tuple(found)


def valid(space: Space, count: int, seed: int = 0) -> list[str]:
    """Return distinct keys of valid random architectures."""
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    for _ in range(20 * count):
        drawn = space.sample(rng)
        if drawn.invalid_reason is None and len(found) < count:
            found.setdefault(drawn.key)
    return list(found)


def own_network(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    width, kernel = int(values["width"]), int(values["kernel"])
    blocks = [conv(width, width, kernel) for _ in range(int(values["depth"]))]
    hidden = int(values["ratio"] * width)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, hidden), nn.ReLU()]
    return nn.Sequential(conv(shape[0], width), *blocks, *head, nn.Linear(hidden, classes))


OWN = FunctionSpace(
    name="own",
    genes=(
        Gene("width", (8, 10, 12, 16, 20, 32, 64)),
        Gene("depth", (2, 3, 4, 6)),
        Gene("kernel", (1, 3, 5)),
        Gene("ratio", (0.5, 1, 2, 3)),
    ),
    build_network=own_network,
)
SMALL = Shrinking(multiply_adds=150_000)
CELLS = NasBench201(channels=4, cells=1)


@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [
        ("nasbench201", 8, (3, 16, 16)),
        ("nats_size", 8, (3, 16, 16)),
        ("nasbench101", 4, (3, 8, 8)),
    ],
)
def test_different_keys_have_different_networks(name: str, count: int, shape: Shape) -> None:
    space, rule = SPACES.create(name), Shrinking(multiply_adds=1_000_000)
    keys = valid(space, count)
    networks = [rule.build(space, key, input_shape=shape, classes=10) for key in keys]
    assert len({fingerprint(network) for network in networks}) == len(keys)
    again = rule.build(space, keys[0], input_shape=shape, classes=10)
    assert fingerprint(again) == fingerprint(networks[0])
    full = space.architecture(keys[0]).build(input_shape=shape)
    assert multiply_adds(networks[0], shape) < multiply_adds(full, shape)
    assert networks[0](torch.rand(2, *shape)).shape == (2, 10)


def test_every_architecture_of_an_own_space_stays_apart() -> None:
    keys = valid(OWN, 40, seed=1)
    networks = [SMALL.build(OWN, key, input_shape=SHAPE, classes=5) for key in keys]
    assert len({fingerprint(network) for network in networks}) == len(keys)
    plan = plan_of(SMALL, OWN, SHAPE, 5)
    assert plan.widths is not None
    assert plan.multiply_adds <= SMALL.multiply_adds
    assert plan.widths(8) < plan.widths(10) < plan.widths(12) < 8


def test_what_is_always_repeated_is_left_out_and_a_searched_depth_is_not() -> None:
    plan = plan_of(SMALL, OWN, SHAPE, 5)
    assert plan.repeats == {"2"}  # the second block; the third is not always there
    values = {"width": 16, "kernel": 3, "ratio": 1}
    for depth in (2, 3, 6):
        genotype = OWN.write({**values, "depth": depth})
        network = SMALL.build(OWN, genotype, input_shape=SHAPE, classes=5)
        assert kinds(network)[nn.Conv2d] == 1 + depth - 1


def test_blocks_with_other_settings_are_no_repeats() -> None:
    class Dilated(nn.Module):
        def __init__(self, dilation: int) -> None:
            super().__init__()
            self.dilation = dilation
            self.weight = nn.Parameter(torch.zeros(4, 4, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(x, self.weight, padding=self.dilation, dilation=self.dilation)

    network = nn.Sequential(
        *(Dilated(d) for d in (1, 2, 2)), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1)
    )
    assert repeats(network) == {"2"}
    assert dispensable(network, {"1", "2", "4"}, (4, 8, 8)) == {"1", "2", "4"}
    assert dispensable(network, {"3"}, (4, 8, 8)) == set()


def test_blocks_that_nothing_changes_are_made_small() -> None:
    plan = plan_of(Shrinking(multiply_adds=150_000), CELLS, SHAPE, 10)
    genotype = valid(CELLS, 1)[0]
    full = CELLS.architecture(genotype).build(input_shape=SHAPE)
    between = [name for name, module in full.named_children() if isinstance(module, Reduction)]
    assert sorted(path for path, _ in plan.fixed) == between
    thin = plan.thinned(genotype, SHAPE, 10)
    for name in between:
        adapter = thin.get_submodule(name)
        assert kinds(adapter) == {nn.AvgPool2d: 1, nn.Conv2d: 1, nn.BatchNorm2d: 1}
    cells = [name for name, module in full.named_children() if isinstance(module, Cell)]
    assert [signature(thin.get_submodule(name)) for name in cells] == [
        signature(full.get_submodule(name)) for name in cells
    ]


def test_a_network_that_is_cheap_enough_is_left_as_it_is() -> None:
    key = valid(OWN, 1)[0]
    with seeded_torch(3):
        network = Shrinking().build(OWN, key, input_shape=SHAPE, classes=5)
    full = OWN.architecture(key).build(input_shape=SHAPE, classes=5, seed=3)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), full.parameters(), strict=True)
    )


def untraceable_network(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    network = Branching()
    network.stem = conv(shape[0], int(values["width"]))
    network.head = nn.Linear(int(values["width"]), classes)
    return network


def test_networks_that_cannot_be_traced_see_smaller_images() -> None:
    space = FunctionSpace(
        name="branching",
        genes=(Gene("width", (8, 10, 12)),),
        build_network=untraceable_network,
    )
    rule = Shrinking(multiply_adds=30_000)
    plan = plan_of(rule, space, SHAPE, 5)
    assert plan.reason is not None
    assert "torch.fx cannot trace it" in plan.reason
    assert (plan.pooling, plan.widths) == (2, None)
    networks = [rule.build(space, key, input_shape=SHAPE, classes=5) for key in valid(space, 3)]
    assert {network(torch.rand(2, *SHAPE)).shape for network in networks} == {(2, 5)}
    assert {count_parameters(network) for network in networks} == {
        count_parameters(space.architecture(key).build(input_shape=SHAPE, classes=5))
        for key in valid(space, 3)
    }


def fixed_size_network(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    if shape != SHAPE:
        raise ValueError(f"only {SHAPE} is supported")
    return own_network(values, shape, classes)


def test_a_network_of_one_size_of_image_is_narrowed_only() -> None:
    space = replace(OWN, name="fixed size", build_network=fixed_size_network)
    plan = plan_of(Shrinking(multiply_adds=1), space, SHAPE, 5)
    assert plan.pooling == 1
    assert plan.widths is not None
    assert plan.widths(64) < 32


def test_a_budget_is_met_by_the_median_whatever_the_method() -> None:
    costs: dict[str, list[float]] = {}
    for method in ("tracing", "knobs"):
        rule = Shrinking(multiply_adds=150_000, method=method)  # type: ignore[arg-type]
        plan = plan_of(rule, CELLS, SHAPE, 10)
        assert plan.multiply_adds <= rule.multiply_adds
        networks = [
            plan.build(one.genotype, input_shape=SHAPE, classes=10)
            for one in covering_sample(CELLS)
        ]
        costs[method] = [multiply_adds(network, SHAPE) for network in networks]
        assert np.median(costs[method]) == pytest.approx(plan.multiply_adds)
    assert np.corrcoef(*costs.values())[0, 1] > 0.99


def test_a_sample_holds_every_choice_of_every_gene() -> None:
    space = SPACES.create("nats_size")
    values = [space.read(one.genotype) for one in covering_sample(space)]
    for gene in space.genes:
        assert {one[gene.name] for one in values} == set(gene.choices)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(SettingsError, match="Unknown method"):
        Shrinking(method="magic")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="least_ratio"):
        Shrinking(least_ratio=0)


# What a trial of the plan is for


def own_space(
    name: str, choices: Mapping[str, tuple[Choice, ...]], layers: Callable[..., Sequence[nn.Module]]
) -> FunctionSpace:
    """Return a space of one gene each; `layers` takes their values and gives layers of 32 channels.

    These lie between a stem and a classifier.
    """

    def build(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        body = layers(**values)
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes)]
        return nn.Sequential(conv(shape[0], 32), *body, *head)

    genes = tuple(Gene(gene, values) for gene, values in choices.items())
    return FunctionSpace(name=name, genes=genes, build_network=build)


def every(space: Space) -> list[str]:
    """Return all genotypes of a small space."""
    names = [gene.name for gene in space.genes]
    values = itertools.product(*(gene.choices for gene in space.genes))
    return [space.write(dict(zip(names, some, strict=True))) for some in values]


def reduced(space: Space, millions: float) -> dict[str, nn.Module]:
    """Return the reduced networks of all genotypes of a small space; they work."""
    rule = Shrinking(multiply_adds=round(1e6 * millions))
    found = {}
    for genotype in every(space):
        with seeded_torch(0):
            found[genotype] = rule.build(space, genotype, input_shape=SHAPE, classes=5)
        assert found[genotype].train()(torch.rand(2, *SHAPE)).shape == (2, 5)
    return found


def none_alike(space: Space, millions: float) -> bool:
    networks = reduced(space, millions)
    return len({structure(network) for network in networks.values()}) == len(networks)


class Acting(nn.Module):
    """A block with a choice that stands nowhere among its layers."""

    def __init__(self, choice: object, width: int = 32) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        self.keep(choice)

    def keep(self, choice: object) -> None:
        raise NotImplementedError

    def act(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.act(self.first(x)))
        return out


class ByFunction(Acting):
    functions = MappingProxyType({"relu": F.relu, "tanh": torch.tanh, "silu": F.silu})

    def keep(self, choice: object) -> None:
        self.function = self.functions[str(choice)]

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class ByHiddenName(Acting):
    def keep(self, choice: object) -> None:
        self._name = str(choice)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return ByFunction.functions[self._name](x)


class ByPartial(Acting):
    def keep(self, choice: object) -> None:
        self.function = partial(F.leaky_relu, negative_slope={"relu": 0.1}.get(str(choice), 0.3))
        self.twice = choice == "tanh"

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x) * (2 if self.twice else 1)


class ByBuffer(Acting):
    def keep(self, choice: object) -> None:
        self.register_buffer("scale", torch.tensor(float(len(str(choice)) + (choice == "silu"))))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class ByInitialValue(Acting):
    def keep(self, choice: object) -> None:
        value = {"relu": 0.0, "tanh": 0.5, "silu": 1.0}[str(choice)]
        self.scale = nn.Parameter(torch.full((32, 1, 1), value))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


@pytest.mark.parametrize("block", [ByFunction, ByHiddenName, ByPartial, ByBuffer, ByInitialValue])
def test_blocks_that_differ_in_anything_are_not_taken_for_alike(block: type[Acting]) -> None:
    choices = {"a": ("relu", "tanh"), "b": ("relu", "silu")}
    space = own_space(block.__name__, choices, lambda a, b: [block(a), block(b)])
    assert none_alike(space, 0.5)


def test_alike_is_what_was_made_alike() -> None:
    with seeded_torch(0):
        one, other = (ByFunction("relu") for _ in range(2))
    assert signature(one) == signature(other)
    tied = nn.Sequential(ByFunction("relu"), ByFunction("relu"))
    assert repeats(tied) == {"1"}
    tied[1].first[0].weight = tied[0].first[0].weight
    assert repeats(tied) == set()
    local = nn.Sequential(*(Acting.__new__(Acting) for _ in range(2)))
    for block in local:
        nn.Module.__init__(block)
        block.function = lambda x: x
    assert repeats(local) == set()


WIDE_32 = {
    "group norm": lambda: [nn.Conv2d(32, 64, 1), nn.GroupNorm(32, 64), nn.Conv2d(64, 32, 1)],
    "grouped": lambda: [conv(32, 32, groups=16)],
    "shuffle": lambda: [nn.ChannelShuffle(16)],
    "weight norm": lambda: [weight_norm(nn.Conv2d(32, 32, 1))],
    "spectral norm": lambda: [spectral_norm(nn.Conv2d(32, 32, 1))],
}


@pytest.mark.parametrize("name", WIDE_32)
def test_narrowed_networks_work(name: str) -> None:
    space = own_space(
        name, {"kernel": (1, 3)}, lambda kernel: [*WIDE_32[name](), conv(32, 32, kernel)]
    )
    assert none_alike(space, 0.05)
    plan = plan_of(Shrinking(multiply_adds=50_000), space, SHAPE, 5)
    assert plan.widths is not None
    costs = [multiply_adds(network, SHAPE) for network in reduced(space, 0.05).values()]
    assert np.median(costs) == pytest.approx(plan.multiply_adds)


class TokenMixer(nn.Module):
    """A convolution over tokens, with channels behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 32, 4, 4), nn.Conv1d(16, 16, 1)
        self.linear, self.head = nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.mix(self.stem(x).flatten(2).transpose(1, 2))
        return self.head(self.linear(tokens).mean(1))  # type: ignore[no-any-return]


def test_a_convolution_over_tokens_keeps_the_axes_behind_them() -> None:
    followed = follow(TokenMixer(), SHAPE)
    assert sorted(followed.free().values()) == [16, 24]  # tokens that are mixed, and the last width
    narrowed = narrow(followed, dict.fromkeys(followed.free(), 3))
    assert narrowed(torch.rand(2, *SHAPE)).shape == (2, 5)


def test_groups_of_one_channel_are_another_choice() -> None:
    space = own_space(
        "groups", {"groups": (1, 2, 8, 16, 32)}, lambda groups: [conv(32, 32, groups=groups)]
    )
    assert none_alike(space, 0.1)


class Grouping(nn.Module):
    """Groups of channels, where nothing says which of two numbers is that of groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        return x.reshape(n, self.groups, 32 // self.groups, h, w).softmax(2).reshape(n, 32, h, w)


def test_what_would_become_one_network_is_made_less_small() -> None:
    space = own_space(
        "grouping", {"groups": (4, 16)}, lambda groups: [Grouping(groups), conv(32, 32)]
    )
    assert none_alike(space, 0.05)
    plan = plan_of(Shrinking(multiply_adds=50_000), space, SHAPE, 5)
    assert "would become one network" in str(plan.reason)
    assert plan.widths is not None
    assert plan.widths.ratio > 0.25


class SometimesBranching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_one_that_cannot_be_followed_sees_smaller_images() -> None:
    values = tuple(range(40))

    def layers(a: int, b: int) -> list[nn.Module]:
        branch = [SometimesBranching()] if (a, b) == (7, 11) else []
        return [conv(32, 32), *branch, nn.Softplus(beta=1 + a + 40 * b)]

    space = own_space("seldom", {"a": values, "b": values}, layers)
    rule = Shrinking(multiply_adds=300_000)
    plan = plan_of(rule, space, SHAPE, 5)
    assert plan.widths is not None
    network = rule.build(space, space.write({"a": 7, "b": 11}), input_shape=SHAPE, classes=5)
    assert network(torch.rand(2, *SHAPE)).shape == (2, 5)
    assert count_parameters(network) == count_parameters(
        space.build(space.write({"a": 7, "b": 11}), input_shape=SHAPE, classes=5)
    )
    assert isinstance(network.get_submodule("0"), nn.AvgPool2d)


@pytest.mark.parametrize("builder", [False, True])
def test_a_depth_that_is_seldom_searched_stays(builder: bool) -> None:
    def network(kind: int, sub: str, depth: int, shape: Shape, classes: int) -> nn.Module:
        inner = [conv(32, 32, "abcd".index(sub) * 2 + 1), nn.Softplus(beta=kind)]
        deep = nn.Sequential(*(conv(32, 32) for _ in range(depth)))
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes)]
        return nn.Sequential(conv(shape[0], 32), *inner, deep, *head)

    def asked(trial: Any, shape: Shape, classes: int) -> nn.Module:
        kind, sub, depth = trial.suggest_int("kind", 1, 8), "a", 3
        if kind == 5:
            sub = trial.suggest_categorical("sub", tuple("abcd"))
        if sub == "d":
            depth = trial.suggest_int("depth", 2, 3)
        return network(kind, sub, depth, shape, classes)

    def declared(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        given: dict[str, Any] = {"sub": "a", "depth": 3, **values}
        return network(**given, shape=shape, classes=classes)

    genes = (
        Gene("kind", tuple(range(1, 9))),
        Gene("sub", tuple("abcd"), active_if={"kind": 5}),
        Gene("depth", (2, 3), active_if={"sub": "d"}),
    )
    space = (
        BuilderSpace(name="asked", build_network=asked)
        if builder
        else FunctionSpace(name="declared", genes=genes, build_network=declared)
    )
    seen = [json.loads(one.genotype) for one in covering_sample(space)]
    assert {one.get("depth") for one in seen} == {None, 2, 3}
    rule = Shrinking(multiply_adds=500_000)
    deep = [
        rule.build(
            space, space.write({"kind": 5, "sub": "d", "depth": n}), input_shape=SHAPE, classes=5
        )
        for n in (2, 3)
    ]
    assert structure(deep[0]) != structure(deep[1])


class StochasticDepth(Acting):
    def keep(self, choice: object) -> None: ...

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.rand(1).item() < 0.5:
            return x
        return x + self.second(self.first(x))


class FunctionalDropout(Acting):
    def keep(self, choice: object) -> None: ...

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.5, self.training)


@pytest.mark.parametrize(
    ("block", "reason"), [(StochasticDepth, "random numbers"), (FunctionalDropout, "evaluation")]
)
def test_what_tracing_would_bake_in_is_not_traced(block: type[Acting], reason: str) -> None:
    network = nn.Sequential(conv(3, 32), block(0))
    state = torch.get_rng_state()
    for mode in (True, False):
        with pytest.raises(NotFollowedError, match=reason):
            follow(network.train(mode), SHAPE)
    assert torch.equal(state, torch.get_rng_state())
    space = own_space(
        block.__name__, {"kernel": (1, 3)}, lambda kernel: [block(0), conv(32, 32, kernel)]
    )
    for network in reduced(space, 2).values():
        network.eval()
        x = torch.rand(2, *SHAPE)
        assert torch.equal(network(x), network(x))


def test_shared_weights_stay_shared() -> None:
    def layers(tied: bool) -> list[nn.Module]:
        one, other = conv(32, 32), conv(32, 32)
        if tied:
            other[0].weight = one[0].weight
        return [one, nn.Sigmoid(), other]

    space = own_space("tied", {"tied": (True, False)}, layers)
    untied, tied = sorted(map(count_parameters, reduced(space, 1).values()), reverse=True)
    assert plan_of(Shrinking(multiply_adds=1_000_000), space, SHAPE, 5).widths is not None
    assert tied < untied


def test_a_fixed_block_may_repeat_within() -> None:
    def layers(kernel: int) -> list[nn.Module]:
        block = nn.Sequential(*(nn.Sequential(conv(32, 32), conv(32, 32, 1)) for _ in range(3)))
        return [conv(32, 32, kernel), block]

    space = own_space("fixed", {"kernel": (1, 3)}, layers)
    networks = reduced(space, 8)
    plan = plan_of(Shrinking(multiply_adds=8_000_000), space, SHAPE, 5)
    assert {path for path, _ in plan.fixed} == {"2"}
    assert all(kinds(network)[nn.Conv2d] == 2 for network in networks.values())


# In an estimate


def test_mote_trains_the_general_reduced_architecture_and_says_so() -> None:
    data = load_data("digits", images_per_class=4)
    recipe = Recipe(epochs=1, landscape_intervals=2)
    rule = Shrinking(multiply_adds=20_000)
    mote = Mote(data=data, recipe=recipe, network="general", shrinking=rule)
    cell = CELLS.architecture(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    )
    plans = plan_of.cache_info().misses
    state = torch.get_rng_state()
    network = mote.build(cell, seed=5)
    again = mote.build(cell, seed=5)
    assert plan_of.cache_info().misses == plans + 1
    assert torch.equal(state, torch.get_rng_state())
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True)
    )
    landscape = replace(mote, terms="landscape")
    first, second = landscape.evaluate([cell, cell])
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    assert first.value == second.value
    identities = [
        json.dumps(one.identity(), sort_keys=True)
        for one in (
            mote,
            replace(mote, network="reduced"),
            replace(mote, shrinking=replace(rule, multiply_adds=25_000)),
            replace(mote, shrinking=replace(rule, method="knobs")),
        )
    ]
    assert len(set(identities)) == 4
    assert replace(mote, network="reduced").identity() == Mote(data=data, recipe=recipe).identity()
