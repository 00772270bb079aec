"""The effect of the reduced data set on MOTE: data of equal size by each method, side by side.

    python benchmarks/reduced_data.py --data cifar100_100x100.npz --encoder encoder.onnx \
        --table cells.csv.gz --out benchmarks/results/reduced_data.json

Every method of `motemo reduce` makes its data from `--data`; those that choose at random do so
`--draws` times. MOTE, trained on each, is correlated with true accuracies on one sample of cells.
`published` are the classes that the authors of MOTE-NAS chose, where the data have them all. What
is made stays in `--work`, and the same command continues from there; other settings need another
folder. The comparison is paired: `difference` is tau minus the tau of `farthest` on the same cells.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

import numpy as np
from variants import keep, rows_of, show

from motemo.correlation.run import correlate
from motemo.data.dataset import ImageData
from motemo.data.npz import load_npz
from motemo.data.pipeline import load_data
from motemo.objectives.mote import Mote
from motemo.objectives.recipe import Recipe
from motemo.reduction.encoders import PIXELS, encoder_by_name
from motemo.reduction.file import write_reduced
from motemo.reduction.reduce import METHODS, Method, Reduced, reduce_data
from motemo.spaces.nasbench201 import NasBench201

BASELINE: Method = "farthest"
AT_RANDOM: tuple[Method, ...] = ("random-classes", "random")
CHOOSE_IMAGES: tuple[Method, ...] = ("random", "k-centre", "facility")
PUBLISHED = (
    *("sea", "seal", "willow_tree", "tractor", "orange"),
    *("caterpillar", "pear", "maple_tree", "beaver", "poppy"),
)
TRUTHS = ("cifar10_test_acc_200", "cifar100_test_acc_200", "imagenet16_120_test_acc_200")


def make_all(arguments: argparse.Namespace) -> dict[str, ImageData]:
    """Make what is not there yet; return every reduced data set by its label."""
    full = load_data(arguments.data)
    made = {}
    for method in METHODS:
        for draw in range(arguments.draws if method in AT_RANDOM else 1):
            label = f"{method}-{draw}" if method in AT_RANDOM else method
            made[label] = make(label, full, method, arguments.encoder, draw, arguments)
    if arguments.encoder != PIXELS:
        label = f"{BASELINE}-{PIXELS}"
        made[label] = make(label, full, BASELINE, PIXELS, 0, arguments)
    if set(PUBLISHED) <= set(full.class_names):
        made["published"] = make("published", full, None, PIXELS, 0, arguments)
    return made


def make(
    label: str,
    full: ImageData,
    method: Method | None,
    encoder: str,
    seed: int,
    arguments: argparse.Namespace,
) -> ImageData:
    """Return one reduced data set, from its file if that is there; no method is `PUBLISHED`."""
    path = arguments.work / f"{label}.npz"
    if not path.exists():
        part = full if method is not None else only(full, PUBLISHED)
        each = arguments.images_per_class
        if each is not None and method in CHOOSE_IMAGES:  # of all classes: as many in all
            each = each * arguments.classes // full.classes
        reduced = reduce_data(
            part,
            method=method or "random-classes",
            classes=arguments.classes if method is not None else part.classes,
            images_per_class=each,
            encoder=None if method in (*AT_RANDOM, None) else encoder_by_name(encoder),
            seed=seed,
        )
        write_reduced(path, reduced)
        print(f"{label}: {describe(reduced)}", flush=True)
    return load_npz(path)


def only(full: ImageData, names: tuple[str, ...]) -> ImageData:
    """Return the images of some classes, by name."""
    kept = sorted(full.class_names.index(name) for name in names)
    rows = np.isin(full.labels, kept)
    return ImageData(
        name=f"{full.name}[published classes]",
        images=full.images[rows],
        labels=np.searchsorted(kept, full.labels[rows]).astype(np.int64),
        class_names=tuple(full.class_names[index] for index in kept),
    )


def describe(reduced: Reduced) -> str:
    data = reduced.data
    if data.classes > len(PUBLISHED):
        return f"{len(data)} images of {data.classes} classes"
    shared = len(set(data.class_names) & set(PUBLISHED))
    return f"{len(data)} images of {', '.join(data.class_names)} ({shared} of the published)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="the full data, as for motemo reduce")
    parser.add_argument("--encoder", default=PIXELS, help="as for motemo reduce")
    parser.add_argument("--table", type=Path, required=True, help="NAS-Bench-201 with accuracies")
    parser.add_argument("--truth", action="append", help=f"default: {', '.join(TRUTHS)}")
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--images-per-class", type=int)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0, help="of the sample of cells")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--train-device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("runs/reduced_data"))
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()

    data = make_all(arguments)
    recipe = Recipe(epochs=arguments.epochs, batch_size=arguments.batch_size, images=None)
    found = correlate(
        NasBench201(),
        arguments.table,
        truths=arguments.truth or TRUTHS,
        estimates={
            label: Mote(data=one, recipe=recipe, train_device=arguments.train_device)
            for label, one in data.items()
        },
        against=[BASELINE],
        cells=arguments.cells,
        seed=arguments.seed,
        processes=arguments.processes,
        out=arguments.work / "correlate",
        on_progress=lambda done, wanted: print(f"\r{done}/{wanted} scored", end="", flush=True),
    )
    print()
    rows = rows_of(found, [*data, "params", "flops"])
    show(rows)
    for method in AT_RANDOM:
        for truth in found.truths:
            taus = [r.tau for r in found.rows if drawn(r.estimate, method) and r.truth == truth]
            print(f"{truth:28} {method}: mean tau {mean(taus):.3f}, {min(taus):.3f} to "
                  f"{max(taus):.3f} over {len(taus)} draws")  # fmt: skip
    if arguments.out is not None:
        keep(
            arguments.out,
            rows,
            {
                "images": Path(arguments.data).name,
                "encoder": Path(arguments.encoder).name,
                "images_per_class": arguments.images_per_class,
                "classes": {
                    label: list(one.class_names) if one.classes <= len(PUBLISHED) else one.classes
                    for label, one in data.items()
                },
                "recipe": recipe.identity(),
                "cells": arguments.cells,
                "seed": arguments.seed,
            },
        )


def drawn(label: str, method: str) -> bool:
    """Return whether a label is `METHOD-NUMBER`."""
    return label.removeprefix(f"{method}-").isdigit()


if __name__ == "__main__":
    main()
