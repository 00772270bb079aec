"""Proxies of kernels and statistics, against formulas computed by another route."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from dead_branch import DeadBranch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from motemo.data.digits import load_digits
from motemo.data.pipeline import take
from motemo.errors import EvaluationError, SettingsError, UsageError
from motemo.objective import Direction, Measurement, Stage
from motemo.objectives.proxies.az_nas import COMPONENTS, az_nas
from motemo.objectives.proxy import Batch, Proxy
from motemo.registry import OBJECTIVES
from motemo.spaces.nasbench201 import NasBench201

KERNEL = ("lga", "knas", "ntk_condition", "eigen_nas")
AZ = COMPONENTS[:3]
NAMES = (*KERNEL, "linear_regions", "zico", "zico_bc", "meco", *AZ)
DATA = take(load_digits(), classes=3, images_per_class=16)
IMAGES, PIXELS, HIDDEN, CLASSES = 8, 5, 6, 3
WIDTH = 10
Matrix = NDArray[np.float64]


def proxy(name: str, **options: Any) -> Proxy:
    created = OBJECTIVES.create(name, offered={"data": DATA}, options=options)
    assert isinstance(created, Proxy)
    return created


def score(name: str, network: nn.Module, batch: Batch, **options: Any) -> float:
    torch.manual_seed(1)
    return proxy(name, **options).score(network.train(), batch)


def batch_of(*shape: int) -> Batch:
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.arange(shape[0]) % CLASSES, CLASSES)


@pytest.fixture
def flat() -> Batch:
    return batch_of(IMAGES, PIXELS)


@pytest.fixture
def maps() -> Batch:
    return batch_of(IMAGES, 2, 4, 4)


def array(tensor: torch.Tensor) -> Matrix:
    return tensor.detach().double().numpy()


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


# The neural tangent kernel


def kernel_of_perceptron(network: nn.Sequential, images: Matrix) -> Matrix:
    first, second = network[0], network[2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    before = images @ array(first.weight).T + array(first.bias)
    back = (before > 0) * array(second.weight).sum(axis=0)
    hidden = before.clip(min=0)
    kernel: Matrix = (images @ images.T + 1) * (back @ back.T) + CLASSES * (hidden @ hidden.T + 1)
    return kernel


def expected_of(kernel: Matrix, labels: torch.Tensor) -> dict[str, float]:
    values = np.linalg.svd(kernel)[1]
    alike = np.where(labels[:, None] == labels, 1.0, -1.0)
    return {
        "lga": float(np.corrcoef(kernel.ravel(), alike.ravel())[0, 1]),
        "knas": float(kernel.mean()),
        "ntk_condition": math.log10(values[0] / values[-1]),
        "eigen_nas": math.log10(values[-1]),
    }


@pytest.mark.parametrize("name", KERNEL)
def test_kernel_of_a_perceptron(name: str, flat: Batch) -> None:
    network = perceptron()
    kernel = kernel_of_perceptron(network, array(flat.images))
    assert score(name, network, flat) == pytest.approx(
        expected_of(kernel, flat.labels)[name], rel=1e-4
    )


def convolution_and_norm(norm: nn.BatchNorm2d) -> nn.Sequential:
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, WIDTH, 1, bias=False)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return nn.Sequential(convolution, norm, nn.ReLU(), *head(WIDTH))


def kernel_by_differences(network: nn.Sequential, images: Matrix) -> Matrix:
    """Kernel of the network above by finite differences, its normalisation held."""
    shapes = [p.shape for p in network.parameters()]
    start = np.concatenate([array(p).ravel() for p in network.parameters()])
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)

    def maps(weight: Matrix) -> Matrix:
        result: Matrix = np.einsum("kc,nchw->nkhw", weight.reshape(WIDTH, 2), images)
        return result

    before = maps(start[: 2 * WIDTH])
    mean = before.mean(axis=(0, 2, 3), keepdims=True)
    deviation = np.sqrt(before.var(axis=(0, 2, 3), ddof=1, keepdims=True) + norm.eps)

    def outputs(values: Matrix) -> Matrix:
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        weight, gain, shift, last, bias = np.split(values, ends)
        normal = (maps(weight) - mean) / deviation
        normal = normal * gain[:, None, None] + shift[:, None, None]
        pooled = normal.clip(min=0).mean(axis=(2, 3))
        result: Matrix = (pooled @ last.reshape(CLASSES, WIDTH).T + bias).sum(axis=1)
        return result

    steps = 1e-6 * np.eye(len(start))
    jacobian = np.stack([(outputs(start + d) - outputs(start - d)) / 2e-6 for d in steps], axis=1)
    kernel: Matrix = jacobian @ jacobian.T
    return kernel


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("name", KERNEL)
def test_kernel_with_normalisation_by_differences(name: str, tracked: bool, maps: Batch) -> None:
    network = convolution_and_norm(nn.BatchNorm2d(WIDTH, track_running_stats=tracked))
    expected = expected_of(kernel_by_differences(network, array(maps.images)), maps.labels)
    assert score(name, network, maps) == pytest.approx(expected[name], rel=1e-3)


def test_lga_does_not_depend_on_the_names_of_the_classes(flat: Batch) -> None:
    renamed = Batch(flat.images, (flat.labels + 1) % CLASSES, CLASSES)
    assert score("lga", perceptron(), renamed) == score("lga", perceptron(), flat)


def test_lga_is_one_where_gradients_tell_the_classes_apart() -> None:
    """Images of one class are equal, those of others orthogonal; the bias adds a constant."""
    images = torch.eye(3).repeat(2, 1)
    batch = Batch(images, torch.arange(3).repeat(2), 3)
    assert score("lga", nn.Linear(3, 3), batch) == pytest.approx(1)


def test_lga_of_one_class_is_refused(flat: Batch) -> None:
    with pytest.raises(EvaluationError, match="one label"):
        score("lga", perceptron(), Batch(flat.images, flat.labels * 0, CLASSES))


def test_a_singular_kernel_has_the_worst_condition(flat: Batch) -> None:
    twice = Batch(flat.images.repeat(2, 1), flat.labels.repeat(2), CLASSES)
    assert score("ntk_condition", perceptron(), twice) == 12
    largest = np.linalg.norm(kernel_of_perceptron(perceptron(), array(twice.images)), 2)
    assert score("eigen_nas", perceptron(), twice) == pytest.approx(math.log10(largest) - 12)


# Linear regions


class Thresholds(nn.Module):
    """One rectifier for each threshold on a line."""

    def __init__(self, *thresholds: float) -> None:
        super().__init__()
        self.thresholds = thresholds
        self.head = nn.Linear(len(thresholds), CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.cat([(x - t).relu() for t in self.thresholds], dim=1))
        return out


def test_linear_regions_of_a_line() -> None:
    points = torch.tensor([-2, -1.5, -0.5, 0.2, 0.3, 3.0])[:, None]
    batch = Batch(points, torch.zeros(6, dtype=torch.long), CLASSES)
    assert score("linear_regions", Thresholds(-1, 0, 1), batch) == 4
    assert score("linear_regions", Thresholds(0.25), batch) == 2
    assert score("linear_regions", Thresholds(5, 6), batch) == 1


def test_linear_regions_are_the_mean_over_random_units(flat: Batch) -> None:
    network = perceptron()
    first = network[0]
    assert isinstance(first, nn.Linear)
    open_units = array(flat.images) @ array(first.weight).T + array(first.bias) > 0
    each = [len(set(unit)) for unit in open_units.T]
    assert 1 <= min(each) <= max(each) == 2
    value = score("linear_regions", network, flat, draws=2000)
    assert value == pytest.approx(np.mean(each), abs=0.05)


def test_linear_regions_without_rectifiers(flat: Batch) -> None:
    assert score("linear_regions", nn.Linear(PIXELS, CLASSES), flat) == 1
    with pytest.raises(EvaluationError, match="no ReLU"):
        score("linear_regions", nn.Sequential(nn.Linear(PIXELS, 2), nn.Tanh()), flat)


# ZiCo


def zico_of(slopes: list[Matrix]) -> float:
    first, second = slopes
    ratio = (np.abs(first) + np.abs(second)) / np.abs(first - second)
    return math.log(ratio[np.isfinite(ratio)].sum())


def slope(weight: Matrix, images: Matrix, labels: NDArray[np.int64]) -> Matrix:
    """Gradient of the mean cross-entropy of a linear classifier without bias."""
    wrong = softmax(images @ weight.T, axis=1)
    wrong[np.arange(len(labels)), labels] -= 1
    gradient: Matrix = wrong.T @ images / len(labels)
    return gradient


@pytest.mark.parametrize("name", ["zico", "zico_bc"])
def test_zico_of_a_linear_classifier(name: str, flat: Batch) -> None:
    flat.images[:, 0] = 0  # the gradient of its weights never changes
    network = nn.Linear(PIXELS, CLASSES, bias=False)
    images, labels = array(flat.images), flat.labels.numpy()
    halves = [slice(None, IMAGES // 2), slice(IMAGES // 2, None)]
    with np.errstate(invalid="ignore"):
        expected = zico_of([slope(array(network.weight), images[h], labels[h]) for h in halves])
    if name == "zico_bc":
        expected += math.log(CLASSES) / 2
    assert score(name, network, flat) == pytest.approx(expected, rel=1e-4)


def test_zico_bc_corrects_each_convolution_by_its_output(maps: Batch) -> None:
    network = nn.Sequential(nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.ReLU(), *head(6))
    plain = score("zico", network, maps)
    penalty = math.log(2 * 2 / math.sqrt(6)) - math.log(CLASSES) / 2
    assert score("zico_bc", network, maps) == pytest.approx(plain - penalty)
    assert score("zico_bc", network, maps, beta=3.0) == pytest.approx(plain - 3 * penalty)
    assert score("zico_bc", network, maps, beta=0.0) == plain


@pytest.mark.parametrize("name", [*KERNEL, "zico", "zico_bc"])
def test_what_does_not_reach_the_output_does_not_count(name: str, flat: Batch) -> None:
    alive = score(name, perceptron(), flat)
    assert score(name, DeadBranch(perceptron(), inputs=PIXELS), flat) == pytest.approx(alive)


def test_zico_needs_batches(flat: Batch) -> None:
    for options in ({"batches": 1}, {"batches": 3, "batch_size": 5}):
        with pytest.raises(SettingsError, match="batches"):
            proxy("zico", **options)
    with pytest.raises(EvaluationError, match="8 images are too few for 5 batches"):
        score("zico", perceptron(), flat, batches=5)
    twice = Batch(flat.images.repeat(2, 1), flat.labels.repeat(2), CLASSES)
    with pytest.raises(EvaluationError, match="no weight's gradient changes"):
        score("zico", nn.Linear(PIXELS, CLASSES), twice)


# MeCo


def seen_by(module: nn.Module) -> list[torch.Tensor]:
    """Return a list that will hold what enters a module."""
    seen: list[torch.Tensor] = []
    module.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    return seen


def one_by_one(module: nn.Module, images: torch.Tensor) -> Matrix:
    assert isinstance(module, nn.Conv2d)
    result: Matrix = np.einsum("kc,nchw->nkhw", array(module.weight)[:, :, 0, 0], array(images))
    return result


def least_eigenvalue(maps: Matrix) -> float:
    rows = maps.swapaxes(0, 1).reshape(maps.shape[1], -1)
    return float(np.linalg.eigvalsh(np.corrcoef(rows))[0])


@pytest.mark.parametrize("inplace", [False, True])
def test_meco_of_every_module(inplace: bool, maps: Batch) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 2, 1, bias=False)
    body = nn.Sequential(convolution, nn.BatchNorm2d(2), nn.ReLU(inplace))
    images = seen_by(body)
    value = score("meco", nn.Sequential(body, *head(2)), maps)
    before = one_by_one(convolution, images[0])
    normal = before - before.mean(axis=(0, 2, 3), keepdims=True)
    after = (normal / before.std(axis=(0, 2, 3), keepdims=True)).clip(min=0)
    pooled = after.mean(axis=(2, 3), keepdims=True)
    twice = least_eigenvalue(before) + least_eigenvalue(after)  # each, and what contains it
    assert value == pytest.approx(2 * twice + least_eigenvalue(pooled), rel=1e-3)


def test_meco_is_zero_where_a_channel_repeats_another(maps: Batch) -> None:
    convolution = nn.Conv2d(2, 4, 1)
    with torch.no_grad():
        convolution.weight[3] = -2 * convolution.weight[0]
    assert score("meco", convolution, maps) == pytest.approx(0, abs=1e-5)
    nn.init.zeros_(convolution.weight[:2])
    assert score("meco", convolution, maps) == 0


# AZ-NAS


def two_blocks() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1), *head(3))


def entropy(maps: Matrix) -> float:
    rows = maps.swapaxes(0, 1).reshape(maps.shape[1], -1)
    values = np.linalg.svd(rows - rows.mean(axis=1, keepdims=True))[1] ** 2
    shares = values[values > 1e-6 * values[0]] / values.sum()
    return -float(np.sum(shares * np.log(shares)))


def test_expressivity_and_progressivity_of_two_convolutions(maps: Batch) -> None:
    network = two_blocks()
    images = seen_by(network)
    expressivity = score("az_expressivity", network, maps)
    first = one_by_one(network[0], images[0])
    second = one_by_one(network[1], torch.from_numpy(first))
    assert expressivity == pytest.approx(entropy(first) + entropy(second), abs=1e-4)
    progressivity = score("az_progressivity", two_blocks(), maps)  # the same draws
    assert progressivity == pytest.approx(entropy(second) - entropy(first), abs=1e-4)


def test_white_channels_express_most() -> None:
    """No feature maps have more entropy than those whose channels are independent and alike."""
    network = nn.Sequential(Between(nn.Identity()), Between(nn.Identity()), nn.Conv2d(6, 1, 1))
    value = score("az_expressivity", network, batch_of(64, 6, 8, 8))
    assert value == pytest.approx(2 * math.log(6), abs=1e-2)


class Between(nn.Module):
    """A block around a module of torch's own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)
        return out


class Turn(nn.Module):
    """Multiplies the channels by a fixed matrix."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("kc,nchw->nkhw", self.matrix, x)


def trainability_after_stem(block: nn.Module, *, size: int = 32) -> float:
    return score(
        "az_trainability", nn.Sequential(nn.Conv2d(2, 6, 1), block), batch_of(32, 2, size, size)
    )


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_trainability_is_that_of_the_spectral_norm(gain: float) -> None:
    matrix = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))[0]
    matrix[0] /= 2  # the largest singular value counts
    value = trainability_after_stem(Turn(gain * matrix))
    assert value == pytest.approx(2 - gain - 1 / gain, abs=0.05)


@pytest.mark.parametrize("size", [32, 31])
def test_trainability_across_resolutions(size: int) -> None:
    """A pooling spreads each gradient over its pixels: singular value sqrt(1/4)."""
    value = trainability_after_stem(Between(nn.AvgPool2d(2, ceil_mode=size == 31)), size=size)
    assert value == pytest.approx(2 - 0.5 - 2, abs=0.08)


def test_trainability_of_a_finer_output() -> None:
    value = trainability_after_stem(Between(nn.PixelShuffle(1)), size=8)
    finer = trainability_after_stem(Between(nn.Upsample(scale_factor=2)), size=16)
    assert value == pytest.approx(2 - 1e6)
    assert finer == pytest.approx(2 - 2 - 0.5, abs=0.08)


def test_a_block_that_changes_nothing_counts_as_one_without_gradient() -> None:
    nothing = trainability_after_stem(Between(nn.Identity()), size=8)
    constant = trainability_after_stem(Turn(torch.zeros(6, 6)), size=8)
    assert nothing == constant == pytest.approx(-1e6, rel=1e-5)


@pytest.mark.parametrize("name", AZ)
def test_blocks_are_found_however_the_network_is_put_together(name: str, maps: Batch) -> None:
    def blocks(inplace: bool) -> list[nn.Module]:
        torch.manual_seed(0)
        inner = nn.Sequential(nn.ReLU(inplace), nn.Conv2d(4, 3, 1))
        return [nn.Conv2d(2, 4, 1), inner, nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(inplace))]

    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(blocks(False))
            self.head = nn.Sequential(*head(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x)
            out: torch.Tensor = self.head(x)
            return out

    plain = score(name, nn.Sequential(*blocks(False), *head(3)), maps)
    others = (
        nn.Sequential(*blocks(True), *head(3)),
        nn.Sequential(nn.Sequential(*blocks(False), *head(3))),
        Listed(),
    )
    for network in others:
        assert score(name, network, maps) == pytest.approx(plain)


def test_az_nas_by_hand() -> None:
    scores = np.array([[1.0, 9.0, -3.0, 5.0], [2.0, 8.0, -2.0, 5.0], [3.0, 7.0, -1.0, 6.0]])
    ranks = np.array([[1, 3, 1, 1.5], [2, 2, 2, 1.5], [3, 1, 3, 3]])
    assert az_nas(scores) == pytest.approx(np.log(ranks / 3).sum(axis=1))


def test_az_nas_depends_on_ranks_alone_and_punishes_the_worst_most() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 4))
    assert az_nas(3 * np.exp(scores) - 1) == pytest.approx(az_nas(scores))
    ladder = np.repeat(np.arange(10.0)[:, None], 4, axis=1)
    ladder[[0, 8], 0] = ladder[[8, 0], 0]
    aggregated = az_nas(ladder)
    assert ladder[8].mean() > ladder[5].mean()
    assert aggregated[8] < aggregated[5] < aggregated.max() <= 0


@pytest.mark.parametrize("scores", [np.ones((3, 3)), np.ones(4), np.full((2, 4), np.nan)])
def test_az_nas_refuses_other_scores(scores: Matrix) -> None:
    with pytest.raises(UsageError, match="needs scores of shape"):
        az_nas(scores)


# All of them


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_of_itself(name: str) -> None:
    made = proxy(name)
    assert made.name == name
    assert made.stage is Stage.PROXY
    lower = name == "ntk_condition"
    assert made.direction is (Direction.MINIMIZE if lower else Direction.MAXIMIZE)
    assert f"({'lower' if lower else 'higher'} is better)" in OBJECTIVES.entry(name).summary


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("zico", "batches", 4),
        ("zico_bc", "batches", 4),
        ("zico_bc", "beta", 2.0),
        ("linear_regions", "draws", 3),
    ],
)
def test_options_are_part_of_the_identity(name: str, option: str, value: float) -> None:
    assert proxy(name, **{option: value}).identity() == proxy(name).identity() | {option: value}


@pytest.mark.parametrize(
    ("name", "options"), [("zico_bc", {"beta": -1.0}), ("linear_regions", {"draws": 0})]
)
def test_options_that_cannot_work(name: str, options: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"{name} needs"):
        proxy(name, **options)


REFUSED: tuple[tuple[str, Callable[[], nn.Module]], ...] = (
    *((name, nn.Identity) for name in NAMES if name not in ("linear_regions", "meco")),
    *((name, perceptron) for name in ("meco", *AZ)),
    *((name, lambda: nn.Conv2d(2, 2, 1)) for name in AZ),
)


@pytest.mark.parametrize(("name", "build"), REFUSED)
def test_networks_for_which_it_is_not_defined(name: str, build: Callable[[], nn.Module]) -> None:
    network = build()
    shape = (IMAGES, 2, 4, 4) if isinstance(network, nn.Conv2d) else (IMAGES, PIXELS)
    with pytest.raises(EvaluationError):
        score(name, network, batch_of(*shape))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("network", ["full", "reduced"])
def test_cells_that_only_skip(name: str, network: str) -> None:
    """Whose reduced network is linear: every proxy has a number for it."""
    cell = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    made = proxy(name, network=network)
    [outcome] = made.evaluate([NasBench201(cells=1).architecture(cell)])
    assert isinstance(outcome, Measurement), outcome
    assert math.isfinite(outcome.value)
