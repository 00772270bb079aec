"""What carries MOTE's signal: one choice changed at a time, on the same cells, with intervals.

    python benchmarks/ablations.py --table cells.csv.gz --data rd.npz --cells 60
    python benchmarks/ablations.py ... --study initialisation --study size

Every study is one `motemo.correlate` in a folder of its own below `--out`: the same command goes
on where it stopped, and more cells reuse what is there. It prints, and with `--results` stores,
Kendall's tau of each variant with every truth, its 95 % interval over networks, the paired
difference to the variant that the study starts from, and the seconds of a cell.

Studies:

    terms           landscape alone, speed alone, both; and other readings of the same curve
    intervals       G, the number of intervals of the landscape
    data            {full, reduced} architecture x {all, few} images
    size            images of each class
    initialisation  how the weights are drawn
    seed            the seed of weights and order; an order of its own for each architecture
    residual        skip connections around the cells of the reduced architecture
    activation      a ReLU after each of its cells, as in the published scores
    shape           width and depth of the reduced architecture
    recipes         optimizer, learning rate, schedule, batch size, epochs, precision
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from variants import Row, keep, rows_of, show

from motemo.correlation.run import correlate
from motemo.data.dataset import ImageData
from motemo.data.pipeline import load_data, take
from motemo.objective import Objective
from motemo.objectives.curves import EarlyAccuracy, Landscape, Speed, Tse, TseE, TseEma
from motemo.objectives.initialisation import SCHEMES
from motemo.objectives.mote import Mote
from motemo.objectives.recipe import Recipe
from motemo.registry import SPACES
from motemo.space import Space

TRUTHS = ("cifar10_test_acc_200", "cifar100_test_acc_200", "imagenet16_120_test_acc_200")


@dataclass(frozen=True)
class Study:
    """One question.

    Attributes:
        estimates: Variants by label, the one that the others are compared with first.
        space: The space; where it differs from the plain one, it is a part of the question.
    """

    estimates: Mapping[str, Objective | str]
    space: Space | None = None


@dataclass(frozen=True)
class Setup:
    """What all studies start from: all images, a few of each class, and MOTE on these."""

    data: ImageData
    few: ImageData
    mote: Mote
    space: Space


def terms(setup: Setup) -> list[Study]:
    common = {
        "data": setup.few,
        "recipe": setup.mote.recipe,
        "train_device": setup.mote.train_device,
    }
    return [
        Study(
            {
                "both": setup.mote,
                "landscape": Landscape(**common),
                "speed": Speed(**common),
                "tse": Tse(**common),
                "tse_e": TseE(**common),
                "tse_ema": TseEma(**common),
                "early_accuracy": EarlyAccuracy(**common),
                "flops as cost": replace(setup.mote, speed_cost="flops"),
            }
        )
    ]


def intervals(setup: Setup) -> list[Study]:
    fine = replace(setup.mote.recipe, landscape_intervals=20)
    return [
        Study(
            {
                f"G={20 // every}": Landscape(
                    data=setup.few,
                    recipe=fine,
                    every=every,
                    train_device=setup.mote.train_device,
                )
                for every in (2, 1, 4, 10, 20)
            }
        )
    ]


def data(setup: Setup) -> list[Study]:
    many = replace(setup.mote, data=setup.data)
    return [
        Study(
            {
                "reduced architecture, few images": setup.mote,
                "full architecture, few images": replace(setup.mote, network="full"),
                "reduced architecture, all images": many,
                "full architecture, all images": replace(many, network="full"),
            }
        )
    ]


def size(setup: Setup) -> list[Study]:
    fewest = min(int((setup.data.labels == c).sum()) for c in range(setup.data.classes))
    sizes = [n for n in (10, 20, 50, 100, 200, 500) if n <= fewest]
    return [
        Study(
            {
                f"{n} images": replace(
                    setup.mote, data=take(setup.data, images_per_class=n, seed=0)
                )
                for n in sizes
            }
        )
    ]


def initialisation(setup: Setup) -> list[Study]:
    return [
        Study({scheme: replace(setup.mote, initialisation=scheme) for scheme in SCHEMES})  # type: ignore[arg-type]
    ]


def seed(setup: Setup) -> list[Study]:
    seeds = {f"seed {seed}": replace(setup.mote, seed=seed) for seed in range(5)}
    own = {
        f"seed {seed}, own order": replace(setup.mote, seed=seed, common_order=False)
        for seed in range(3)
    }
    together = {
        f"mean rank of seeds 0 to {n - 1}": f"rank({','.join([*seeds][:n])})" for n in (2, 5)
    }
    return [Study(seeds | own | together)]


def residual(setup: Setup) -> list[Study]:
    with_skip = SPACES.create(setup.space.name, options={"reduced_residual": True})
    return [
        Study({"without skip": setup.mote}),
        Study({"with skip": setup.mote}, with_skip),
    ]


def activation(setup: Setup) -> list[Study]:
    return [
        Study(
            {
                "without activation": setup.mote,
                "with activation": replace(setup.mote, network="published"),
            }
        )
    ]


def shape(setup: Setup) -> list[Study]:
    return [
        Study(
            {
                f"width {width:g}, depth {depth:g}": replace(setup.mote, width=width, depth=depth)
                for width, depth in ((1.0, 1.0), (0.25, 1.0), (0.5, 1.0), (2.0, 1.0), (0.5, 2.0))
            }
            | {
                f"full, width {width:g}, depth {depth:g}": replace(
                    setup.mote, network="full", width=width, depth=depth
                )
                for width, depth in ((1.0, 0.2), (0.5, 0.4))
            }
        )
    ]


def recipes(setup: Setup) -> list[Study]:
    usual = setup.mote.recipe
    variants = {
        "as it is": usual,
        "learning rate x 0.2": replace(usual, learning_rate=usual.learning_rate / 5),
        "learning rate x 2": replace(usual, learning_rate=usual.learning_rate * 2),
        "cosine": replace(usual, schedule="cosine"),
        "sgd 0.05, cosine": replace(usual, optimizer="sgd", learning_rate=0.05, schedule="cosine"),
        "batch 32": replace(usual, batch_size=32),
        "batch 512": replace(usual, batch_size=512),
        "epochs x 0.5": replace(usual, epochs=max(1, usual.epochs // 2)),
        "epochs x 2": replace(usual, epochs=usual.epochs * 2),
        "other precision": replace(
            usual, precision="float32" if usual.precision == "bfloat16" else "bfloat16"
        ),
    }
    return [Study({label: replace(setup.mote, recipe=one) for label, one in variants.items()})]


STUDIES: dict[str, Callable[[Setup], list[Study]]] = {
    study.__name__: study
    for study in (
        terms,
        intervals,
        data,
        size,
        initialisation,
        seed,
        residual,
        activation,
        shape,
        recipes,
    )
}


def run(name: str, setup: Setup, arguments: argparse.Namespace) -> list[Row]:
    """Run one study; return its rows."""
    rows: list[Row] = []
    for number, study in enumerate(STUDIES[name](setup)):
        first = next(iter(study.estimates))
        found = correlate(
            study.space or setup.space,
            arguments.table,
            truths=arguments.truth or TRUTHS,
            estimates=dict(study.estimates),
            against=[first],
            cells=arguments.cells,
            seed=arguments.seed,
            processes=arguments.processes,
            out=arguments.out / f"{name}-{number}",
            on_progress=lambda done, wanted: print(
                f"\r{name}: {done}/{wanted}", end="", flush=True
            ),
        )
        rows += rows_of(found, study.estimates)
    print()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--table", type=Path, action="append", required=True)
    parser.add_argument("--truth", action="append", help=f"default: {', '.join(TRUTHS)}")
    parser.add_argument("--data", required=True, help="images, as for motemo search")
    parser.add_argument("--images-per-class", type=int, default=50, help="the few images")
    parser.add_argument("--study", action="append", choices=STUDIES, help="default: all but data")
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--epochs", type=int, help="default: those of MOTE")
    parser.add_argument("--seed", type=int, default=0, help="of the sample of cells")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--train-device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--results", type=Path, help="store STUDY.json in this folder")
    arguments = parser.parse_args()

    full = load_data(arguments.data)
    few = take(full, images_per_class=arguments.images_per_class, seed=0)
    recipe = Recipe(images=None)  # the studies say how many
    if arguments.epochs:
        recipe = replace(recipe, epochs=arguments.epochs)
    mote = Mote(data=few, recipe=recipe, train_device=arguments.train_device)
    setup = Setup(data=full, few=few, mote=mote, space=SPACES.create(arguments.space))
    settings = {
        "space": arguments.space,
        "images": few.name,
        "data": few.identity(),
        "recipe": mote.recipe.identity(),
        "cells": arguments.cells,
        "seed": arguments.seed,
    }
    for name in arguments.study or [name for name in STUDIES if name != "data"]:
        rows = run(name, setup, arguments)
        show(rows)
        if arguments.results:
            keep(arguments.results / f"{name}.json", rows, settings)


if __name__ == "__main__":
    main()
