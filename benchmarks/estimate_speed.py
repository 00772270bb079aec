"""How fast trainings for an estimate are: against plain PyTorch, and against the floor.

    python benchmarks/estimate_speed.py --data rd.npz --out benchmarks/results/estimate_speed.json
    python benchmarks/estimate_speed.py --data rd.npz --train-device cuda --n 512 --block 64

Random cells of NAS-Bench-201, trained by motemo's engine, by a plain PyTorch loop that is written
out below, and by the engine with one of its means taken away or added. All take turns on each
block of cells, each in a process of its own, since the allocator is set for a whole process; and
each trains one cell first, which is not counted.

* Seconds are processor time on a CPU, one thread, since neighbours disturb the clock; wall clock
  on a GPU. `ratio` is seconds over the engine's on the same block: median, lowest, highest.
* The floor is what no implementation in this precision can do without: the multiply-adds (three
  times the forward pass's for a step of training), at the rate of a large matrix product; and the
  bytes of each module's input and output, read or written once each way, at the rate of a large
  copy. Rates are the best of the same run.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from stored import store
from torch import nn
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

import motemo
from motemo.allocator import keep_freed_memory
from motemo.counting import count_operators
from motemo.data.dataset import ImageData
from motemo.data.pipeline import load_data
from motemo.objectives import trace as engine
from motemo.objectives import trainer
from motemo.objectives.training import TraceEstimate, Training
from motemo.options import parse_option, with_option
from motemo.processes import worker_pool
from motemo.registry import OBJECTIVES
from motemo.seeds import derive_seed
from motemo.space import Architecture, Json
from motemo.threads import single_threaded

SEED = 0
ENGINE, PLAIN = "engine", "plain PyTorch"


@dataclass(frozen=True)
class Settings:
    """What to train, on what, where."""

    data: str
    images_per_class: int | None
    estimate: str
    options: tuple[str, ...]
    train_device: str

    @property
    def on_gpu(self) -> bool:
        """Whether it trains on a GPU."""
        return self.train_device.startswith("cuda")

    def load(self) -> TraceEstimate:
        """Return the estimate, with its data."""
        data = load_data(self.data, images_per_class=self.images_per_class, seed=SEED)
        offered = {"data": data, "train_device": self.train_device}
        estimate: TraceEstimate = OBJECTIVES.create(self.estimate, offered=offered)
        for option in self.options:
            _, path, value = parse_option(f"{self.estimate}.{option}")
            estimate = with_option(estimate, path, value, shown=option)
        return estimate


class Trained(NamedTuple):
    """The mean training loss of a cell, and the sum of 1 / loss over the landscape."""

    loss: float
    landscape: float


Train = Callable[[TraceEstimate, Sequence[Architecture]], list[Trained]]


def images_of(estimate: TraceEstimate) -> ImageData:
    assert isinstance(estimate.data, ImageData)
    return estimate.data


def images_trained_on(estimate: TraceEstimate) -> int:
    return min(estimate.recipe.images or len(estimate.data), len(estimate.data))


# The two ways to train


def by_engine(estimate: TraceEstimate, cells: Sequence[Architecture]) -> list[Trained]:
    found = []
    for training in estimate.train_all(cells):
        assert isinstance(training, Training), training
        losses = training.trace.landscape_losses
        found.append(
            Trained(statistics.fmean(training.trace.epoch_losses), sum(1 / x for x in losses))
        )
    return found


def by_plain_pytorch(estimate: TraceEstimate, cells: Sequence[Architecture]) -> list[Trained]:
    with single_threaded():
        return [plain_training(estimate, cell) for cell in cells]


def plain_training(estimate: TraceEstimate, cell: Architecture) -> Trained:
    """The same training and landscape, as one would write it down."""
    recipe, data, device = estimate.recipe, images_of(estimate), torch.device(estimate.train_device)
    seed = derive_seed("mote", estimate.seed, cell.key, 0)
    order_seed = derive_seed("order", estimate.seed) if estimate.common_order else seed
    network = estimate.build(cell, seed=seed).to(device).train()
    rows = torch.arange(len(data))
    if images_trained_on(estimate) < len(data):
        generator = torch.Generator().manual_seed(derive_seed("held out", order_seed))
        rows = torch.randperm(len(data), generator=generator)[: images_trained_on(estimate)]
    images = torch.from_numpy(data.images)[rows].float().div(255).to(device)
    labels = torch.from_numpy(data.labels)[rows].to(device)
    if recipe.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, eps=recipe.adam_eps
        )
    else:
        optimizer = torch.optim.SGD(
            network.parameters(), lr=recipe.learning_rate, momentum=0.9, nesterov=True
        )
    steps = recipe.epochs * math.ceil(len(images) / recipe.batch_size)
    schedule = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        if recipe.schedule == "cosine"
        else None
    )

    def mean_loss(name: str, n: int | None, *, fit: bool) -> float:
        generator = torch.Generator().manual_seed(derive_seed("order", order_seed, name))
        order = torch.randperm(len(images), generator=generator)[:n].to(device)
        total = 0.0
        for batch in torch.split(order, recipe.batch_size):
            with (
                torch.set_grad_enabled(fit),
                torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"),
            ):
                loss = F.cross_entropy(
                    network(images[batch]), labels[batch], label_smoothing=recipe.label_smoothing
                )
            if fit:
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if schedule is not None:
                    schedule.step()
            total += loss.item() * len(batch)
        return total / len(order)

    start = [p.detach().clone() for p in network.parameters()]
    losses = [mean_loss(f"epoch {epoch}", None, fit=True) for epoch in range(recipe.epochs)]
    end = [p.detach().clone() for p in network.parameters()]
    landscape = 0.0
    fits = recipe.landscape_mode == "fit"
    for g in range(recipe.landscape_intervals + 1):
        with torch.no_grad():
            for p, a, b in zip(network.parameters(), start, end, strict=True):
                p.copy_(torch.lerp(a, b, g / recipe.landscape_intervals))
        name = f"point {g}" if fits else "landscape"
        landscape += 1 / mean_loss(name, None if fits else recipe.landscape_images, fit=fits)
    return Trained(statistics.fmean(losses), landscape)


# The engine without one of its means


def unchanged(network: nn.Module) -> nn.Module:
    return network


def not_recorded(_trainer: trainer.Trainer, _recorder: object) -> None:
    """Train without recorded steps."""


def with_other_precision(estimate: TraceEstimate, cells: Sequence[Architecture]) -> list[Trained]:
    return by_engine(other_precision(estimate), cells)


def other_precision(estimate: TraceEstimate) -> TraceEstimate:
    recipe = estimate.recipe
    if recipe.precision == "bfloat16":
        return replace(estimate, recipe=replace(recipe, precision="float32"))
    return replace(estimate, recipe=replace(recipe, precision="bfloat16"))


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        train: How.
        patches: What of the engine is replaced: module or class, name, value.
        allocator: Whether freed memory is kept, on a CPU.
    """

    train: Train = by_engine
    patches: tuple[tuple[object, str, object], ...] = ()
    allocator: bool = True


def variants(settings: Settings) -> dict[str, Variant]:
    both = {
        ENGINE: Variant(),
        PLAIN: Variant(by_plain_pytorch, allocator=False),
        "engine, other precision": Variant(with_other_precision),
        "engine, gradients in any layout": Variant(
            patches=((trainer, "keep_channels_last", unchanged),)
        ),
    }
    if settings.on_gpu:
        return {
            **both,
            "engine, one at a time": Variant(patches=((engine, "MOST_TOGETHER", 1),)),
            "engine, nothing recorded": Variant(
                patches=((trainer.Trainer, "record", not_recorded),)
            ),
        }
    return {
        **both,
        "engine, torch's pooling": Variant(patches=((trainer, "accelerate", unchanged),)),
        "engine, usual allocator": Variant(allocator=False),
    }


# In a process of each variant

_here: list[tuple[TraceEstimate, Train]] = []


def begin(settings: Settings, name: str) -> None:
    variant = variants(settings)[name]
    for place, attribute, value in variant.patches:
        setattr(place, attribute, value)
    if variant.allocator:
        keep_freed_memory()
    _here.append((settings.load(), variant.train))


def train(genotypes: Sequence[str], *, on_gpu: bool) -> tuple[float, list[Trained]]:
    """Return the seconds of a block, and what came out."""
    estimate, how = _here[0]
    space = motemo.NasBench201()
    cells = [space.architecture(genotype) for genotype in genotypes]
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    found = how(estimate, cells)
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - start, found


def rates(*, on_gpu: bool) -> tuple[float, float]:
    """Return multiply-adds and bytes a second: of a matrix product, and of a copy."""
    estimate, _ = _here[0]
    half = estimate.recipe.precision == "bfloat16"
    size, width = (8192, 2**30) if on_gpu else (1024, 2**26)
    a = torch.randn(
        size, size, dtype=torch.bfloat16 if half else torch.float32, device=estimate.train_device
    )
    source = torch.ones(width // 4, device=estimate.train_device)
    target = torch.empty_like(source)
    with single_threaded():
        product = seconds_of(lambda: a @ a, on_gpu=on_gpu)
        copy = seconds_of(lambda: target.copy_(source), on_gpu=on_gpu)
    return size**3 / product, 2 * width / copy


def seconds_of(action: Callable[[], object], *, on_gpu: bool) -> float:
    """Return the shortest of some repetitions."""
    clock = time.perf_counter if on_gpu else time.process_time
    taken = []
    for _ in range(8):
        start = clock()
        action()
        if on_gpu:
            torch.cuda.synchronize()
        taken.append(clock() - start)
    return min(taken[1:])


# The floor


def floor(estimate: TraceEstimate, cell: Architecture) -> tuple[float, float]:
    """Return the multiply-adds and the bytes of a training."""
    network = estimate.build(cell, seed=SEED)
    recipe, n = estimate.recipe, images_trained_on(estimate)
    points = recipe.landscape_intervals + 1
    fits = recipe.landscape_mode == "fit"
    fitted = n * (recipe.epochs + (points if fits else 0))
    looked_at = 0 if fits else points * min(recipe.landscape_images or n, n)
    shape = images_of(estimate).image_shape
    flops = count_operators(network, shape).flops
    read, written = activations(network, shape)
    size = 2 if recipe.precision == "bfloat16" else 4
    # backwards, the gradient of the output and the input are read, that of the input written
    back = written + 2 * read
    return flops * (3 * fitted + looked_at), size * (
        (read + written) * (fitted + looked_at) + back * fitted
    )


def activations(network: nn.Module, shape: Sequence[int]) -> tuple[int, int]:
    """Return how many numbers all modules read and write for one image."""
    counts = [0, 0]

    def count(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counts[0] += sum(x[0].numel() for x in inputs)
        counts[1] += output[0].numel()

    for module in network.modules():
        if not any(module.children()) and not isinstance(module, nn.Identity | nn.Flatten):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.train()(torch.zeros(2, *shape))
    return counts[0], counts[1]


# The run


def draw(n: int) -> list[Architecture]:
    space, rng = motemo.NasBench201(), np.random.default_rng(SEED)
    chosen: dict[str, Architecture] = {}
    while len(chosen) < n:
        cell = space.sample(rng)
        if cell.invalid_reason is None:
            chosen.setdefault(cell.key, cell.canonical)
    return list(chosen.values())


def spread(values: Sequence[float]) -> list[Json]:
    """Return median, lowest and highest, with four digits."""
    return [
        float(f"{value:.4g}") for value in (statistics.median(values), min(values), max(values))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits", help="as for motemo search")
    parser.add_argument("--images-per-class", type=int)
    parser.add_argument("--estimate", default="mote", help="a preset that trains, by name")
    parser.add_argument("--option", action="append", default=[], help="such as recipe.epochs=8")
    parser.add_argument("--train-device", default="cpu")
    parser.add_argument("--n", type=int, default=16, help="cells")
    parser.add_argument("--block", type=int, help="cells at once; by default 1, on a GPU 64")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    settings = Settings(
        arguments.data,
        arguments.images_per_class,
        arguments.estimate,
        tuple(arguments.option),
        arguments.train_device,
    )
    figures = measure(settings, arguments.n, arguments.block or (64 if settings.on_gpu else 1))
    if arguments.out is not None:
        gpu = {"gpu": torch.cuda.get_device_name()} if settings.on_gpu else {}
        store(arguments.out, figures, packages=("torch",), device=gpu)


def measure(settings: Settings, n: int, block: int) -> dict[str, Json]:
    cells = draw(n + 1)
    blocks = [cells[i : i + block] for i in range(1, n + 1, block)]
    seconds: dict[str, list[float]] = {name: [] for name in variants(settings)}
    found: dict[str, list[Trained]] = {name: [] for name in seconds}
    best = [0.0, 0.0]
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(worker_pool(1, begin=partial(begin, settings, name)))
            for name in seconds
        }
        for pool in pools.values():  # one after the other: each has the processor for itself
            pool.submit(train, [cells[0].genotype], on_gpu=settings.on_gpu).result()
        for number, chosen in enumerate(blocks):
            for name, pool in pools.items():
                genotypes = [cell.genotype for cell in chosen]
                taken, results = pool.submit(train, genotypes, on_gpu=settings.on_gpu).result()
                seconds[name].append(taken / len(chosen))
                found[name] += results
            measured = pools[ENGINE].submit(rates, on_gpu=settings.on_gpu).result()
            best = [max(pair) for pair in zip(best, measured, strict=True)]
            print(f"\r{number + 1}/{len(blocks)} blocks", end="", flush=True)
    print()
    return report(settings, cells[1:], block, seconds, found, best)


def report(
    settings: Settings,
    cells: Sequence[Architecture],
    block: int,
    seconds: dict[str, list[float]],
    found: dict[str, list[Trained]],
    best: Sequence[float],
) -> dict[str, Json]:
    """Print the figures, and return them."""
    estimate = settings.load()
    rows: dict[str, Json] = {}
    print(f"{'':34}{'s a cell':>10}{'cells a s':>11}{'ratio':>8}   lowest to highest")
    for name, taken in seconds.items():
        ratios = [a / b for a, b in zip(taken, seconds[ENGINE], strict=True)]
        middle, low, high = spread(ratios)
        mean = statistics.fmean(taken)
        rows[name] = {
            "seconds_per_cell": spread(taken),
            "mean_seconds_per_cell": float(f"{mean:.4g}"),
            "ratio": [middle, low, high],
            **agreement(found[name], found[ENGINE]),
        }
        print(f"{name:34}{mean:10.4g}{1 / mean:11.4g}{middle:8}   {low} to {high}")
    floors = [floor(estimate, cell) for cell in cells]
    multiply_adds, moved = (statistics.fmean(column) for column in zip(*floors, strict=True))
    mean = statistics.fmean(seconds[ENGINE])
    floor_figures: dict[str, float] = {
        "multiply_adds_per_cell": round(multiply_adds),
        "bytes_per_cell": round(moved),
        "multiply_adds_per_second_of_a_product": round(best[0]),
        "bytes_per_second_of_a_copy": round(best[1]),
        "seconds_by_multiply_adds": float(f"{multiply_adds / best[0]:.4g}"),
        "seconds_by_bytes": float(f"{moved / best[1]:.4g}"),
        "share_of_product_rate": round(multiply_adds / best[0] / mean, 3),
        "share_of_copy_rate": round(moved / best[1] / mean, 3),
    }
    for name, value in floor_figures.items():
        print(f"{name:40}{value:.4g}")
    print(f"plain against engine: {agreement(found[PLAIN], found[ENGINE])}")
    return {
        "seed": SEED,
        "n": len(cells),
        "block": block,
        "data": estimate.data.identity(),
        "recipe": estimate.recipe.identity(),
        "network": estimate.network,
        "clock": "wall" if settings.on_gpu else "processor time, one thread",
        "variants": rows,
        "floor": dict[str, Json](floor_figures),
    }


def agreement(ones: Sequence[Trained], others: Sequence[Trained]) -> dict[str, Json]:
    """Return how near results are to the engine's: largest relative difference, rank correlation.

    Of the mean loss and of the landscape.
    """
    figures: dict[str, Json] = {}
    for index, name in enumerate(Trained._fields):
        a, b = (np.array([one[index] for one in side]) for side in (ones, others))
        figures[f"{name}_largest_difference"] = float(f"{np.abs(a / b - 1).max():.2g}")
        if len(a) > 2:
            figures[f"{name}_spearman"] = round(float(spearmanr(a, b).statistic), 4)
    return figures


if __name__ == "__main__":
    main()
