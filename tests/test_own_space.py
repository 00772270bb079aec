"""Spaces of one's own: builders, genes that depend on others, files on the command line."""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from command_line import Run
from torch import nn

import motemo
from motemo.errors import GenotypeError, InvalidArchitectureError, SettingsError
from motemo.registry import SAMPLERS
from motemo.space import Choice, Shape
from motemo.spaces.by_name import space_by_name
from motemo.spaces.gene_count import count_combinations
from motemo.testing import check_space

SHAPE, CLASSES = (1, 8, 8), 10
COSTS = [motemo.Params(input_shape=SHAPE, classes=CLASSES), motemo.Flops(input_shape=SHAPE)]


def network(channels: int, blocks: list[tuple[int, int]], classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width, kernel in blocks:
        layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU()]
        channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers, *head)


def build(trial: optuna.trial.BaseTrial, input_shape: Shape, classes: int) -> nn.Module:
    blocks = []
    for block in range(trial.suggest_int("depth", 1, 2)):
        width = trial.suggest_categorical(f"width_{block}", (4, 6))
        wide = trial.suggest_categorical(f"kind_{block}", ("point", "wide")) == "wide"
        blocks.append((width, trial.suggest_int(f"kernel_{block}", 3, 5, step=2) if wide else 1))
    return network(input_shape[0], blocks, classes)


def build_declared(values: Mapping[str, Choice], input_shape: Shape, classes: int) -> nn.Module:
    blocks = [
        (int(values[f"width_{block}"]), int(values.get(f"kernel_{block}", 1)))
        for block in range(int(values["depth"]))
    ]
    return network(input_shape[0], blocks, classes)


BUILT = motemo.BuilderSpace(name="built", build_network=build)
DECLARED = motemo.FunctionSpace(
    name="declared",
    genes=(
        motemo.Gene("depth", (1, 2)),
        motemo.Gene("width_0", (4, 6)),
        motemo.Gene("kind_0", ("point", "wide")),
        motemo.Gene("kernel_0", (3, 5), active_if={"kind_0": "wide"}),
        motemo.Gene("width_1", (4, 6), active_if={"depth": 2}),
        motemo.Gene("kind_1", ("point", "wide"), active_if={"depth": (2,)}),
        motemo.Gene("kernel_1", (3, 5), active_if={"kind_1": ("wide",)}),
    ),
    build_network=build_declared,
)
SIZE = 6 + 6 * 6
SHORT = '{"depth":1,"width_0":4,"kind_0":"point"}'
BOTH = pytest.mark.parametrize("space", [BUILT, DECLARED], ids=["built", "declared"])


def combinations(space: motemo.Space) -> list[dict[str, Choice]]:
    choices = itertools.product(*(gene.choices for gene in space.genes))
    names = [gene.name for gene in space.genes]
    return [dict(zip(names, values, strict=True)) for values in choices]


def made(build_network: Callable[[Any, Shape, int], nn.Module]) -> motemo.BuilderSpace:
    return motemo.BuilderSpace(name="made", build_network=build_network)


def asking(ask: Callable[[Any], object]) -> motemo.BuilderSpace:
    """Return a space with a small network, whatever is decided."""

    def build_network(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        ask(trial)
        return network(input_shape[0], [(4, 1)], classes)

    return made(build_network)


# The two ways to say it


@BOTH
def test_contract(space: motemo.Space) -> None:
    check_space(space, samples=8)


def test_builder_and_declaration_are_the_same_space() -> None:
    assert [g.name for g in BUILT.genes] == [g.name for g in DECLARED.genes]
    assert [g.choices for g in BUILT.genes] == [g.choices for g in DECLARED.genes]
    for values in combinations(DECLARED):
        genotype = DECLARED.write(values)
        assert BUILT.write(values) == genotype
        assert BUILT.read(genotype) == DECLARED.read(genotype)
        assert BUILT.active(values) == DECLARED.active(values) == (*json.loads(genotype),)
    written = {DECLARED.write(values) for values in combinations(DECLARED)}
    assert len(written) == DECLARED.size == BUILT.size == SIZE
    genotype = '{"depth":2,"width_0":6,"kind_0":"wide","kernel_0":5,"width_1":4,"kind_1":"point"}'
    nets = [s.architecture(genotype).build(input_shape=SHAPE) for s in (BUILT, DECLARED)]
    assert str(nets[0]) == str(nets[1])


@BOTH
def test_a_gene_that_is_not_active_makes_no_difference(space: motemo.Space) -> None:
    short = space.architecture(SHORT)
    values = space.read(short.genotype)
    assert values["width_1"] == 4
    assert space.write({**values, "width_1": 6, "kernel_0": 5}) == short.genotype
    neighbours = [json.loads(n.genotype) for n in space.neighbours(short)]
    assert neighbours == [
        {"depth": 2, "width_0": 4, "kind_0": "point", "width_1": 4, "kind_1": "point"},
        {"depth": 1, "width_0": 6, "kind_0": "point"},
        {"depth": 1, "width_0": 4, "kind_0": "wide", "kernel_0": 3},
    ]


@BOTH
@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ('{"depth":1,"width_0":4}', "lacks the gene 'kind_0'. Choices: 'point', 'wide'"),
        ('{"depth":3}', "'depth' cannot be 3. Choices: 1, 2"),
        ('{"depth":true}', "'depth' cannot be True"),
        (
            '{"depth":1,"width_0":4,"kind_0":"point","kernel_0":3}',
            "there is no 'kernel_0' to decide on. With these values, the genes are depth, width_0",
        ),
        ("[]", "must be a JSON object"),
        ('{"depth":1,"depth":2}', "'depth' stands in it twice"),
        ("{", "Malformed genotype"),
    ],
)
def test_malformed_genotypes(space: motemo.Space, genotype: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message.replace("(", r"\(")):
        space.architecture(genotype)


def test_order_of_writing_is_no_difference() -> None:
    assert BUILT.architecture('{"width_0":4,"kind_0":"point","depth":1}').key == SHORT


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"kernel": 3}, "'block' depends on 'kernel', which is no gene before it. .*: depth"),
        ({"depth": (2, 9)}, "waits for depth = 9, which is none of its choices: 1, 2"),
    ],
)
def test_conditions_name_earlier_genes(condition: Mapping[str, Any], message: str) -> None:
    genes = (
        motemo.Gene("depth", (1, 2)),
        motemo.Gene("block", (1, 2), active_if=condition),
        motemo.Gene("kernel", (3, 5)),
    )
    with pytest.raises(GenotypeError, match=message):
        motemo.FunctionSpace(name="wrong", genes=genes, build_network=build_declared)


@pytest.mark.parametrize("later", [False, True], ids=["one by one", "kinds first"])
def test_size_of_a_large_space(later: bool) -> None:
    kinds = [motemo.Gene(f"kind_{i}", ("a", "b", "c")) for i in range(30)]
    sizes = [
        motemo.Gene(f"size_{i}", (1, 2, 3, 4), active_if={f"kind_{i}": ("b", "c")})
        for i in range(30)
    ]
    genes = (
        [*kinds, *sizes] if later else [g for pair in zip(kinds, sizes, strict=True) for g in pair]
    )
    space = motemo.FunctionSpace(name="large", genes=tuple(genes), build_network=build_declared)
    assert (space.size, space.size_is_bound) == (9**30, False)


def test_size_of_a_long_chain_and_of_genes_too_many_to_count() -> None:
    chain = [
        motemo.Gene(f"g{i}", (0, 1), active_if={f"g{i - 1}": 1} if i else {}) for i in range(1200)
    ]
    assert count_combinations(tuple(chain)) == (1201, False)
    many = tuple(motemo.Gene(f"g{i}", tuple(range(6))) for i in range(6))
    last = motemo.Gene("last", (4, 8), active_if={gene.name: 0 for gene in many})
    bounded = replace(DECLARED, genes=(*many, last))
    assert (bounded.size, bounded.size_is_bound) == (6**6 * 2, True)


def test_genes_are_named_by_text() -> None:
    with pytest.raises(GenotypeError, match="name of a gene must be text; got 3"):
        asking(lambda trial: trial.suggest_int(3, 4, 8))


def test_a_reason_that_is_no_text() -> None:
    space = replace(DECLARED, invalid=lambda values: values["depth"] == 1)  # type: ignore[return-value, arg-type]
    assert space.architecture(SHORT).invalid_reason == "the space's `invalid` gives True"
    assert (
        space.architecture(
            SHORT.replace(":1", ":2")[:-1] + ',"width_1":4,"kind_1":"point"}'
        ).invalid_reason
        is None
    )


def test_only_conditions_that_there_are_enter_the_identity() -> None:
    genes = DECLARED.identity()["genes"]
    assert isinstance(genes, list)
    assert genes[1] == {"name": "width_0", "choices": [4, 6]}
    assert genes[3] == {"name": "kernel_0", "choices": [3, 5], "active_if": {"kind_0": ["wide"]}}


# What a builder may ask, and what it may not


def test_numbers_in_steps() -> None:
    def ask(trial: Any) -> None:
        assert isinstance(trial.suggest_int("int", 1, 8, log=True), int)
        assert isinstance(trial.suggest_float("float", 0.1, 0.45, step=0.1), float)
        assert trial.suggest_float("float", 0.1, 0.45, step=0.1) == trial.params["float"]

        trial.suggest_categorical("numpy", np.linspace(0, 1, 3))

    whole, fraction, spread = asking(ask).genes
    assert spread.choices == (0.0, 0.5, 1.0)
    assert {type(choice) for choice in spread.choices} == {float}
    assert whole.choices == (1, 2, 3, 4, 5, 6, 7, 8)
    assert fraction.choices == (0.1, 0.2, 0.3, 0.4)


def test_genes_in_several_levels_are_found() -> None:
    def ask(trial: Any) -> None:
        found = trial.suggest_categorical("a", range(8)) == 5 and trial.suggest_int("b", 0, 9) == 7
        if found and trial.suggest_categorical("c", "xyz") == "z":
            trial.suggest_categorical("d", (1, 2))
        if trial.suggest_int("e", 0, 3) == 2 and trial.params["a"] == 3:
            trial.suggest_categorical("f", (1, 2))

    assert [gene.name for gene in asking(ask).genes] == ["a", "b", "c", "d", "e", "f"]


def refuse_all(trial: Any) -> None:
    trial.suggest_int("a", 0, 3)
    raise optuna.TrialPruned("never")


def by_chance(trial: Any) -> None:
    trial.suggest_int(random.choice("ab"), 0, 3)  # noqa: S311


def two_lists(trial: Any) -> None:
    depth = trial.suggest_int("depth", 1, 2)
    trial.suggest_int("width", 1, 2 * depth)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda trial: trial.suggest_float("a", 0, 1), GenotypeError, "needs a step"),
        (lambda trial: trial.suggest_int("a", 1, 999), GenotypeError, "999 choices; at most 256"),
        (lambda trial: trial.suggest_int("a", 3, 1), GenotypeError, "low=3, high=1"),
        (lambda trial: trial.suggest_categorical("a", (None, 1)), GenotypeError, "choice None"),
        (lambda trial: None, GenotypeError, "asks for nothing"),
        (two_lists, GenotypeError, r"'width' once with the choices \[1, 2\], once with \[1, 2, 3"),
        (by_chance, GenotypeError, "not ask for the same every time"),
        (refuse_all, SettingsError, "refuses all of .* architectures, .* because: never"),
        (lambda trial: 1 / trial.suggest_int("a", 0, 2), SettingsError, "'a': 0}: ZeroDivisionErr"),
        (lambda trial: trial.number, SettingsError, "no 'number', only suggest_categorical"),
    ],
)
def test_builders_that_cannot_be_searched(
    ask: Callable[[Any], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        asking(ask)


def grey(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
    if input_shape[0] != 1:
        raise ValueError("grey images only.")
    return network(1, [(trial.suggest_int("width", 1, 2), 1)], classes)


def test_a_builder_of_other_images_says_so() -> None:
    with pytest.raises(SettingsError, match=r"grey images only\. .*example_shape=\(1, 28, 28\)"):
        made(grey)
    assert motemo.BuilderSpace(name="grey", build_network=grey, example_shape=(1, 9, 9)).size == 2


def test_a_builder_that_returns_nothing() -> None:
    def forgetful(trial: Any, input_shape: Shape, classes: int) -> None:
        trial.suggest_int("width", 1, 2)

    with pytest.raises(SettingsError, match=r"returns None, which is no network"):
        made(forgetful)  # type: ignore[arg-type]
    space = replace(DECLARED, build_network=lambda values, shape, classes: None)  # type: ignore[arg-type, return-value]
    [outcome] = COSTS[0].evaluate([space.architecture(SHORT)])
    assert isinstance(outcome, motemo.Failure)
    assert "returns None, which is no network" in outcome.reason


def test_notes_on_a_trial_are_thrown_away() -> None:
    def ask(trial: Any) -> None:
        trial.set_user_attr("width", trial.suggest_int("width", 1, 2))

    assert asking(ask).size == 2


def test_a_gene_that_was_not_found_is_named() -> None:
    def ask(trial: Any) -> None:
        if sum([trial.suggest_int(f"bit_{i}", 0, 1) for i in range(20)]) == 20:
            trial.suggest_int("rare", 0, 1)

    space = asking(ask)
    assert "rare" not in [gene.name for gene in space.genes]
    with pytest.raises(GenotypeError, match=r"'rare', which .* Let it ask for it always"):
        space.write({gene.name: 1 for gene in space.genes})


def test_what_a_builder_raises_in_a_rare_case_is_a_failed_evaluation() -> None:
    def ask(trial: Any) -> None:
        if sum([trial.suggest_int(f"bit_{i}", 0, 1) for i in range(20)]) == 20:
            raise RuntimeError("no such network")

    space = asking(ask)
    rare = space.architecture(space.write({gene.name: 1 for gene in space.genes}))
    assert rare.invalid_reason is None
    [outcome] = COSTS[0].evaluate([rare])
    assert isinstance(outcome, motemo.Failure)
    assert "no such network" in outcome.reason


def test_questions_are_asked_again_when_too_many_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motemo.spaces.questions._MOST_KNOWN", 5)
    space = made(build)
    for values in combinations(space):
        assert space.write(values) == BUILT.write(values)
    assert space.size == 2 * 2 * 2 * 2 * 2 * 2 * 2


def test_what_a_builder_refuses_is_invalid() -> None:
    def build_network(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        depth, width = trial.suggest_int("depth", 1, 3), trial.suggest_int("width", 1, 4)
        if depth * width > 11:
            raise ValueError("too large")
        if width > trial.suggest_int("kernel", 1, 5, step=2) * 3:
            raise optuna.TrialPruned
        return network(input_shape[0], [(width, trial.params["kernel"])] * depth, classes)

    space = made(build_network)
    assert space.architecture('{"depth":2,"width":4,"kernel":3}').invalid_reason is None
    large = space.architecture('{"depth":3,"width":4}')
    assert large.invalid_reason == "too large"
    with pytest.raises(InvalidArchitectureError, match="too large"):
        large.require_valid()
    narrow = space.architecture('{"depth":1,"width":4,"kernel":1}')
    assert narrow.invalid_reason == "TrialPruned"
    with pytest.raises(InvalidArchitectureError, match=r"refuses .*TrialPruned"):
        narrow.build()
    check_space(space, samples=8)
    front = motemo.search(space, COSTS[:1], trials=99, sampler="random")
    assert len(front.evaluated) == 3 * 4 * 3 - 3 - 2
    assert space.size == 3 * 4 * 3 - 3 + 1


def test_values_of_weights_may_be_looked_at() -> None:
    def ask(trial: Any) -> None:
        rates = torch.linspace(0, 0.1, trial.suggest_int("depth", 2, 3)).tolist()
        assert rates[0] == 0

    assert asking(ask).size == 2


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        (lambda height: height < 32, "asks for 'b' for .* and did not before"),
        (lambda height: height >= 32, "does not ask for 'b' for .* and did before"),
    ],
)
def test_what_is_asked_must_not_depend_on_the_input_shape(
    asks: Callable[[int], bool], message: str
) -> None:
    def build_network(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        trial.suggest_int("a", 0, 1)
        if asks(input_shape[1]):
            trial.suggest_int("b", 0, 1)
        return network(input_shape[0], [(4, 1)], classes)

    space = made(build_network)
    architecture = space.architecture(space.write({"a": 0, "b": 0}))
    architecture.build(input_shape=(3, 32, 32))
    with pytest.raises(GenotypeError, match=message):
        architecture.build(input_shape=SHAPE)


def test_a_reduced_builder_decides_the_same() -> None:
    def small(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        build(trial, input_shape, classes)
        return network(1, [(1 + trial.params["depth"], 1)], classes)

    def deaf(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        return network(1, [(1 + trial.suggest_int("depth", 1, 2), 1)], classes)

    space = motemo.BuilderSpace(name="two", build_network=build, build_reduced_network=small)
    built = space.architecture(BUILT.write({**BUILT.read(SHORT), "depth": 2}))
    assert str(built.build_reduced(input_shape=SHAPE)) == str(network(1, [(3, 1)], CLASSES))
    with pytest.raises(GenotypeError, match=r"does not ask for 'width_0' .* reduced networks must"):
        replace(space, build_reduced_network=deaf).architecture(SHORT).build_reduced()


def large(values: Any, input_shape: Shape, classes: int) -> nn.Module:
    return network(input_shape[0], [(256, 3), (values["width"], 3)], classes)


WIDE = motemo.FunctionSpace(
    name="wide", genes=(motemo.Gene("width", (128, 256)),), build_network=large
)


def parameters(built: nn.Module) -> int:
    return sum(weight.numel() for weight in built.parameters())


@pytest.mark.parametrize(
    "space",
    [
        WIDE,
        motemo.BuilderSpace(
            name="wide",
            build_network=lambda trial, shape, classes: large(
                {"width": trial.suggest_categorical("width", (128, 256))}, shape, classes
            ),
        ),
    ],
    ids=["declared", "built"],
)
def test_the_general_rule_reduces_both(space: motemo.Space) -> None:
    one = space.architecture('{"width":256}')
    assert parameters(one.build_reduced()) < parameters(one.build()) / 4


def test_what_is_no_classifier_of_images_is_left_as_it_is() -> None:
    def dense(values: Any, input_shape: Shape, outputs: int) -> nn.Module:
        pixels = nn.Conv2d(input_shape[0], values["width"], 3, padding=1)
        return nn.Sequential(pixels, nn.Conv2d(values["width"], 256, 3), nn.Conv2d(256, outputs, 3))

    def vectors(values: Any, input_shape: Shape, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(input_shape[0], 4096), nn.Linear(4096, 4096))

    for shape, build_network in (((3, 32, 32), dense), ((7,), vectors)):
        one = replace(WIDE, build_network=build_network).architecture('{"width":256}')
        full, reduced = one.build(input_shape=shape), one.build_reduced(input_shape=shape)  # type: ignore[arg-type]
        assert parameters(reduced) == parameters(full)


def test_choosing_before_building() -> None:
    def choose(trial: Any) -> list[tuple[int, int]]:
        depth = trial.suggest_int("depth", 1, 3)
        return [(trial.suggest_int(f"width_{i}", 1, 2), 1) for i in range(depth)]

    def build_network(blocks: Any, input_shape: Shape, classes: int) -> nn.Module:
        built.append(blocks)
        return network(input_shape[0], blocks, classes)

    built: list[Any] = []
    space = motemo.BuilderSpace(name="two", build_network=build_network, choose=choose)
    assert not built
    check_space(space, samples=8)
    built.clear()
    space.architecture('{"depth":2,"width_0":1,"width_1":2}').build()
    assert built == [[(1, 1), (2, 1)]]


def test_layers_that_learn_their_sizes() -> None:
    def lazy(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        width = trial.suggest_int("width", 2, 3)
        return nn.Sequential(nn.LazyConv2d(width, 3), nn.Flatten(), nn.LazyLinear(classes))

    def declared(values: Any, input_shape: Shape, classes: int) -> nn.Module:
        widths = [nn.LazyConv2d(values["width"], 3), nn.Flatten()]
        return nn.Sequential(*widths, nn.LazyLinear(classes))

    genes = (motemo.Gene("width", (2, 3)),)
    check_space(made(lazy), samples=2)
    check_space(motemo.FunctionSpace(name="f", genes=genes, build_network=declared), samples=2)


def test_layers_that_sleep_stay_asleep_when_sizes_are_learnt() -> None:
    def lazy(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
        frozen = nn.Dropout().eval()
        layers = [nn.LazyConv2d(trial.suggest_int("width", 2, 3), 3), frozen, nn.Flatten()]
        return nn.Sequential(*layers, nn.LazyLinear(classes))

    built = made(lazy).architecture('{"width":2}').build()
    assert [module.training for module in built.children()] == [True, False, True, True]


def test_a_changed_builder_is_noticed() -> None:
    def other(layer: Callable[[], nn.Module]) -> object:
        def build_network(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
            width = trial.suggest_int("width", 1, 2)
            return nn.Sequential(nn.Conv2d(input_shape[0], width, 1), layer(), nn.Flatten())

        return made(build_network).identity()["networks"]

    class Own(nn.Module):
        def __init__(self, act: object) -> None:
            super().__init__()
            self.act = act
            self.handle = object()  # has an address, which is another one in each process

    layers: list[Callable[[], nn.Module]] = [
        lambda: nn.Conv2d(1, 4, 3),
        lambda: nn.Conv2d(1, 4, 3, stride=2),
        lambda: nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
        lambda: nn.Conv2d(1, 8, 3),
        lambda: nn.Conv2d(1, 4, 5),
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.GroupNorm(4, 4),
        lambda: nn.BatchNorm2d(4),
        lambda: nn.BatchNorm2d(4, eps=1e-3),
        lambda: nn.BatchNorm2d(4, momentum=0.5),
        lambda: nn.LeakyReLU(0.1),
        lambda: nn.LeakyReLU(0.2),
        lambda: nn.GELU(),
        lambda: nn.GELU("tanh"),
        lambda: nn.Upsample(scale_factor=2),
        lambda: nn.Upsample(scale_factor=3),
        lambda: nn.AdaptiveAvgPool2d(1),
        lambda: nn.AdaptiveAvgPool2d((1, 2)),
        lambda: nn.AvgPool2d(3, 2),
        lambda: nn.AvgPool2d(3, 2, ceil_mode=True),
        lambda: Own(nn.functional.relu),
        lambda: Own(torch.tanh),
        lambda: Own({"slopes": [0.1, None]}),
        lambda: Own({"slopes": [0.2, None]}),
    ]
    digests = [other(layer) for layer in layers]
    assert len({*digests}) == len(layers)
    assert [other(layer) for layer in layers] == digests


def test_lists_of_genes_and_choices_are_as_good_as_tuples() -> None:
    def build_network(values: Any, input_shape: Shape, classes: int) -> nn.Module:
        return network(input_shape[0], [(values["width"], 1)], classes)

    listed: Any = [motemo.Gene("width", [1, 2])]  # type: ignore[arg-type]
    space = motemo.FunctionSpace(name="listed", genes=listed, build_network=build_network)
    assert space == replace(space, genes=(motemo.Gene("width", (1, 2)),))
    assert space.size == 2
    check_space(space, samples=2)


def test_a_changed_builder_of_reduced_networks_is_noticed() -> None:
    def space(channels: int) -> motemo.BuilderSpace:
        def small(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
            return network(input_shape[0], [(channels, trial.suggest_int("width", 1, 2))], classes)

        def full(trial: Any, input_shape: Shape, classes: int) -> nn.Module:
            return network(input_shape[0], [(8, trial.suggest_int("width", 1, 2))], classes)

        return motemo.BuilderSpace(name="two", build_network=full, build_reduced_network=small)

    assert space(3).identity() == space(3).identity()
    assert space(3).identity() != space(4).identity()


def test_building_leaves_torch_as_it_was() -> None:
    state = torch.get_rng_state()
    space = made(build)
    assert torch.equal(state, torch.get_rng_state())
    weights = [*space.sample(np.random.default_rng(0)).build().parameters()]
    assert {weight.device.type for weight in weights} == {"cpu"}


# Everything downstream


@pytest.mark.parametrize("sampler", [entry.name for entry in SAMPLERS])
def test_every_sampler_evaluates_nothing_twice(sampler: str) -> None:
    trials = 12 if sampler == "gp" else 20  # it takes its time
    front = motemo.search(BUILT, COSTS, trials=trials, sampler=sampler, seed=1)
    genotypes = [member.architecture.genotype for member in front.evaluated]
    assert len(set(genotypes)) == len(genotypes) >= trials
    assert {BUILT.canonical(genotype) for genotype in genotypes} == {*genotypes}


@BOTH
def test_a_search_ends_when_all_have_been_tried(space: motemo.Space) -> None:
    seen: list[str | None] = []
    front = motemo.search(
        space,
        COSTS[:1],
        trials=999,
        sampler="mote_nas_rs",
        on_progress=lambda progress: seen.append(progress.stopped_early),
    )
    assert len(front.evaluated) == SIZE
    assert seen[-1] == f"all {SIZE} architectures of the space have been tried"


@BOTH
def test_a_study_of_ones_own(space: motemo.Space) -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.TPESampler(seed=0)
    )
    study.optimize(motemo.trial_objective(space, COSTS), n_trials=12)
    front = motemo.read_front(study, space=space)
    assert front.evaluated
    other = replace(DECLARED, name=space.name, genes=DECLARED.genes[:3])
    with pytest.raises(SettingsError, match=r"another space than the given one:\n  space\.genes"):
        motemo.read_front(study, space=other)
    with pytest.raises(SettingsError, match=f"made with the space '{space.name}', not 'other'"):
        motemo.read_front(study, space=replace(DECLARED, name="other"))
    with pytest.raises(SettingsError, match=r"--space FILE\.py:NAME"):
        motemo.read_front(study)


def test_pymoo_problem() -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.optimize import minimize

    problem = motemo.NasProblem(BUILT, COSTS)
    minimize(problem, NSGA2(pop_size=8, **problem.operators()), ("n_gen", 3), seed=0)
    assert 8 < len(problem.evaluations) <= 24
    assert problem.front().members


# The command line

FILE = """
import neighbour
import motemo
from torch import nn


def build(trial, input_shape, classes):
    layers, channels = [], input_shape[0]
    for block in range(trial.suggest_int("depth", 1, 2)):
        width = trial.suggest_categorical(f"width_{block}", neighbour.WIDTHS)
        layers += [nn.Conv2d(channels, width, 3, stride=2), nn.ReLU()]
        channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers, *head)


SPACE = motemo.BuilderSpace(name="mine", build_network=build)
OTHER = motemo.BuilderSpace(name="mine", build_network=build, version="2")
NUMBER = 7
"""
SEARCH = ("search", "--objective", "params", "--objective", "flops", "--sampler", "random")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("mine", "neighbour"):  # of the test before
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "neighbour.py").write_text("WIDTHS = (4, 6)\n")
    return tmp_path


def test_search_front_and_workers_in_a_file(run: Run, folder: Path) -> None:
    searched = run(*SEARCH, "--space", "mine.py:SPACE", "--trials", "4")
    assert searched.status == 0, searched.err
    assert "runs/search/front.html" in searched.err
    asked = run("front", "runs/search")
    assert asked.status == 2
    assert "--space FILE.py:NAME" in asked.err
    other = run("front", "runs/search", "--space", "mine.py:OTHER")
    assert other.status == 2
    assert 'space.version: stored "1", given "2"' in other.err
    shown = run("front", "runs/search", "--space", "mine.py:SPACE", "--json")
    assert json.loads(shown.out)["members"][0]["arch"].startswith('{"depth":1')
    more = run(*SEARCH, "--space", "mine.py:SPACE", "--trials", "99")
    assert "all 6 architectures of the space have been tried" in more.err


@pytest.mark.parametrize(("name", "estimate"), [("SPACE", "synflow"), ("NORM", "l2_norm")])
def test_the_space_names_the_estimate_of_a_search(
    run: Run, folder: Path, name: str, estimate: str
) -> None:
    with (folder / "mine.py").open("a") as file:
        file.write('NORM = motemo.BuilderSpace(name="n", build_network=build, estimate="l2_norm")')
    space = ("--space", f"mine.py:{name}")
    assert json.loads(run("list", *space, "--json").out)["estimate"] == estimate
    searched = run("search", *space, "--sampler", "random", "--trials", "1", "--json")
    assert searched.status == 0, searched.err
    axes = [axis["name"] for axis in json.loads(searched.out)["axes"]]
    assert axes == [estimate, "params", "flops", "latency_ms"]


@pytest.mark.parametrize(
    ("estimate", "message"),
    [("nope", "No objective has this name"), ("flops", "It is one of the costs")],
)
def test_the_estimate_of_a_space_is_checked(
    run: Run, folder: Path, estimate: str, message: str
) -> None:
    space = replace(BUILT, estimate=estimate)
    with pytest.raises(AssertionError, match=message):
        check_space(space, samples=1)
    with (folder / "mine.py").open("a") as file:
        file.write(
            f'ODD = motemo.BuilderSpace(name="odd", build_network=build, estimate="{estimate}")'
        )
    for command in (("list",), ("search", "--trials", "1")):
        refused = run(*command, "--space", "mine.py:ODD")
        assert refused.status == 2
        assert f"The space 'odd' has estimate='{estimate}'" in refused.err
        assert message in refused.err
        assert "--objective" in refused.err
    assert not (folder / "runs").exists()


def test_a_size_that_is_a_bound_is_listed_as_one(run: Run, folder: Path) -> None:
    (folder / "mine.py").write_text(
        "import motemo\n"
        "many = [motemo.Gene(f'g{i}', range(6)) for i in range(6)]\n"
        "last = motemo.Gene('last', (4, 8), active_if={gene.name: 0 for gene in many})\n"
        "SPACE = motemo.FunctionSpace(name='f', genes=(*many, last), build_network=None)\n"
    )
    assert "at most 93,312: some genes depend" in run("list", "--space", "mine.py:SPACE").out


def test_workers_run_the_file_that_they_are_given(run: Run, folder: Path) -> None:
    shared = ("--workers", "2", "--out", "shared", "--trials", "3")
    searched = run(*SEARCH, "--space", "mine.py:SPACE", *shared)
    assert searched.status == 0, searched.err
    storage = "journal:shared/study.log"
    asked = run("worker", storage)
    assert asked.status == 2
    assert "No file that a study names is run: give it by --space" in asked.err
    joined = run("worker", storage, "--space", "mine.py:SPACE", "--trials", "4")
    assert joined.status == 0, joined.err
    assert "4 evaluated" in joined.err


def test_other_commands_take_a_file(run: Run, folder: Path) -> None:
    listed = run("list", "--space", "mine.py:SPACE")
    assert "width_0, width_1: 4, 6" in listed.out
    assert 'space.version="1"' in listed.out
    given = ("--space", "mine.py:build", "--arch", '{"depth":1,"width_0":4}')
    params, _ = json.loads(run("measure", *given, "--json").out)
    assert params["value"] == (3 * 9 + 1) * 4 + (4 + 1) * 10


def test_estimates_are_correlated_by_other_processes(run: Run, folder: Path) -> None:
    space = space_by_name("mine.py:SPACE")
    rows = [space.write(values) for values in combinations(space)]
    quoted = [row.replace('"', '""') for row in dict.fromkeys(rows)]
    lines = [f'"{row}",{number}\n' for number, row in enumerate(quoted)]
    Path("cells.csv").write_text("".join(["arch,accuracy\n", *lines]))
    table = ("--table", "cells.csv", "--truth", "accuracy", "--processes", "2")
    scored = run("correlate", "--space", "mine.py:SPACE", *table, "--json")
    assert scored.status == 0, scored.err


def test_a_file_whose_name_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "json.py").write_text(FILE)
    assert space_by_name("json.py:SPACE") is space_by_name("./json.py:SPACE")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.py:SPACE", "There is no file none.py"),
        ("mine.py", "Write FILE.py:NAME; spaces in it: SPACE, OTHER"),
        ("mine.py:NUMBER", "'NUMBER' in mine.py is neither a space nor a function"),
        ("broken.py:SPACE", "ZeroDivisionError: division by zero, in line 2"),
        ("unreadable.py:SPACE", "SyntaxError: .*, in line 1"),
        ("leaving.py:SPACE", "SystemExit: 3, in line 2"),
    ],
)
def test_files_without_the_space(
    name: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "broken.py").write_text("a = 0\nb = 1 / a\n")
    (folder / "unreadable.py").write_text("def\n")
    (folder / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(SettingsError, match=message):
        space_by_name(name)


# Options of spaces


def test_options_of_a_space() -> None:
    space = space_by_name("ofa_mbv3", ["space.width=1.2", "space.resolutions=[128, 160]"])
    assert space.identity() == {
        "name": "ofa_mbv3",
        "width": 1.2,
        "stem_stride": 2,
        "reduced_width": 1.0,
        "resolutions": [128, 160],
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("space.depth=3", "nothing that can be set .* Options: space.channels, space.cells"),
        ("space.name=other", "nothing that can be set"),
        ("space.channels=wide", 'needs a value of type int, such as 16; got "wide"'),
        ("space.cells=0", "at least"),
    ],
)
def test_options_that_cannot_be_set(option: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        space_by_name("nasbench201", [option])


def test_a_list_must_hold_what_the_option_holds() -> None:
    message = r"list of values of type int, written as in \[160, 224\]; got "
    for given in ('["a"]', "224", "wide"):
        with pytest.raises(SettingsError, match=message):
            space_by_name("ofa_mbv3", [f"space.resolutions={given}"])


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_an_option_is_a_finite_number(number: str) -> None:
    with pytest.raises(SettingsError, match="needs a finite number; got"):
        space_by_name("mnasnet", [f"space.width={number}"])


def test_options_of_a_space_are_part_of_the_search(run: Run) -> None:
    small = (*SEARCH, "--space", "nats_size", "--set", "space.width=0.5", "--trials", "2")
    assert run(*small).status == 0
    assert run(*small, "--trials", "3").status == 0
    changed = run(*SEARCH, "--space", "nats_size", "--set", "space.width=1.0", "--trials", "3")
    assert changed.status == 2
    assert "space.width: stored 0.5, given 1.0" in changed.err
    study = optuna.load_study(study_name="motemo", storage="sqlite:///runs/search/study.db")
    assert study.user_attrs["motemo:request"]["options"] == ["space.width=0.5"]
    assert run("front", "runs/search").status == 0
    listed = run("list", "--space", "nats_size")
    assert "space.width=1.0, space.reduced_width=0.375" in listed.out
    genotype = json.loads(run("front", "runs/search", "--json").out)["members"][0]["arch"]
    measure = ("measure", "--space", "nats_size", "--arch", genotype, "--json")
    half, whole = (
        json.loads(run(*measure, *given).out)[0]["value"]
        for given in (("--set", "space.width=0.5"), ())
    )
    assert half < whole
