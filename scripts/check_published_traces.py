"""Compare trainings of reduced architectures with the published ones of the same networks.

    python scripts/check_published_traces.py --table cells.csv.gz --traces traces.npz --data rd.npz

Cells with a single operation stand hundreds of times in NAS-Bench-201, written with other dead
edges each time, so the published losses of these networks come with a mean and a spread. Ours are
trained by the reference recipe from several seeds, with the reduced architecture of the published
scores (`published`: a ReLU after each cell) and with that of the default (`reduced`). Printed is,
for some epochs, how many standard errors lie between the means of ours and theirs.

The records are not part of motemo: give the path of a table with the column `arch`, and of an .npz
file with `epoch_losses` `(cells, epochs)` in the same order.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from motemo.data.dataset import ImageData
from motemo.data.npz import load_npz
from motemo.objectives.mote import Mote
from motemo.objectives.recipe import REFERENCE_RECIPE
from motemo.objectives.training import Training, WhichNetwork
from motemo.space import Architecture
from motemo.spaces.nasbench201 import NasBench201
from motemo.tables import Floats

OPERATIONS = ("skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
NETWORKS: tuple[WhichNetwork, ...] = ("published", "reduced")


def main() -> None:
    """Train, and print the losses of ours and theirs, one block per operation."""
    arguments = _arguments()
    epochs = [epoch for epoch in (1, 2, 3, 5, 10, 20, 50) if epoch <= arguments.epochs]
    data = load_npz(arguments.data)
    space = NasBench201()
    keys = [space.architecture(arch).key for arch in pd.read_csv(arguments.table)["arch"]]
    with np.load(arguments.traces, allow_pickle=False) as traces:
        losses = traces["epoch_losses"].astype(np.float64)
    print(f"mean training loss, {data.name}; z: standard errors between ours and the published")
    print(f"{'':34}{'n':>5}" + "".join(f"{f'epoch {epoch}':>11}" for epoch in epochs))
    for operation in arguments.operation or OPERATIONS:
        cell = space.architecture(f"|none~0|+|none~0|none~1|+|{operation}~0|none~1|none~2|")
        theirs = losses[[key == cell.key for key in keys]]
        print(_line(f"{operation}, published scores", theirs.mean(axis=0), epochs, len(theirs)))
        for network in NETWORKS:
            ours = np.array(
                [
                    train(cell, data, network=network, epochs=arguments.epochs, seed=seed)
                    for seed in range(arguments.seeds)
                ]
            )
            print(_line(f"  network={network}", ours.mean(axis=0), epochs, len(ours)))
            print(_line("    z", z_scores(ours, theirs[:, : ours.shape[1]]), epochs))


def train(
    cell: Architecture, data: ImageData, *, network: WhichNetwork, epochs: int, seed: int
) -> Floats:
    """Return the mean losses `(epochs,)` of one training by the reference recipe."""
    short = replace(
        REFERENCE_RECIPE,
        epochs=epochs,
        landscape_intervals=1,
        landscape_mode="evaluate",
        landscape_images=2,
    )
    mote = Mote(data=data, recipe=short, network=network, common_order=False, seed=seed)
    training = mote.train(cell)
    if not isinstance(training, Training):
        raise SystemExit(f"The training of {cell.genotype} failed: {training.reason}")
    return np.array(training.trace.epoch_losses)


def z_scores(ours: Floats, theirs: Floats) -> Floats:
    """Return the difference of the means in standard errors, by the published spread `(epochs,)`.

    Ours are too few for a spread of their own.
    """
    spread = theirs.std(axis=0, ddof=1)
    error = spread * np.sqrt(1 / len(ours) + 1 / len(theirs))
    scores: Floats = (ours.mean(axis=0) - theirs.mean(axis=0)) / error
    return scores


def _line(label: str, figures: Floats, epochs: list[int], count: int | str = "") -> str:
    return f"{label:34}{count:>5}" + "".join(f"{figures[epoch - 1]:>11.3f}" for epoch in epochs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV with the column `arch`")
    parser.add_argument("--traces", type=Path, required=True, help=".npz file of published losses")
    parser.add_argument("--data", type=Path, required=True, help=".npz file of images")
    parser.add_argument("--operation", action="append", choices=OPERATIONS, help="default: all")
    parser.add_argument("--epochs", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--seeds", type=int, default=4, help="how many trainings (default 4)")
    arguments = parser.parse_args()
    if not 1 <= arguments.epochs <= REFERENCE_RECIPE.epochs:
        parser.error(f"--epochs: 1 to {REFERENCE_RECIPE.epochs}; got {arguments.epochs}")
    if arguments.seeds < 1:
        parser.error(f"--seeds: at least 1; got {arguments.seeds}")
    return arguments


if __name__ == "__main__":
    main()
