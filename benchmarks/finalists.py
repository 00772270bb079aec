"""Minutes that it takes to train ten finalists of NAS-Bench-201 for real.

    python benchmarks/finalists.py --train-device cuda --out benchmarks/results/finalists.json
    python benchmarks/finalists.py --data random:600 --finalists 2 --epochs 2 --together 1 2

The finalists are the ten with most parameters of 100 random cells: what survives a search for
accuracy is large. They are trained by the default recipe of `motemo train`, 12 epochs; `random:N`
are N random images of CIFAR's size, which take as long as real ones. Each number of trainings at
once begins anew. Minutes are wall clock, from the call to the last file, start of processes
included; images a second count training images of all epochs, over the same time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from stored import store

import motemo
from motemo.allocator import keep_freed_memory
from motemo.final_training import train_finalists
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement
from motemo.space import Architecture, Json

SEED = 0
DRAWN = 100
CIFAR = (3, 32, 32)
CLASSES = 10


@dataclass(frozen=True)
class Run:
    """What came of training all finalists once."""

    together: int
    minutes: float
    images_per_second: float
    failed: int
    best: float

    def record(self) -> dict[str, Json]:
        """Return it rounded, JSON-able."""
        return {
            "together": self.together,
            "minutes": round(self.minutes, 2),
            "images_per_second": round(self.images_per_second),
            "failed": self.failed,
            "best_val_accuracy": round(self.best, 4),
        }


def images(source: str) -> motemo.ImageData:
    if not source.startswith("random:"):
        return motemo.load_data(source)
    count = int(source.removeprefix("random:"))
    rng = np.random.default_rng(SEED)
    return motemo.ImageData(
        name=source,
        images=rng.integers(0, 256, (count, *CIFAR), dtype=np.uint8),
        labels=np.arange(count) % CLASSES,
        class_names=tuple(map(str, range(CLASSES))),
    )


def front_of(count: int) -> Front:
    """Return the cells with most parameters of some random ones, as a search would."""
    space, rng, params = motemo.NasBench201(), np.random.default_rng(SEED), motemo.Params()
    drawn = (space.sample(rng) for _ in range(10 * DRAWN))
    valid = list({a.key: a.canonical for a in drawn if a.invalid_reason is None}.values())[:DRAWN]
    sizes = [size(params, architecture) for architecture in valid]
    largest = np.argsort(sizes)[::-1][:count]
    members = [
        Member(int(n), valid[n], {"size": Measurement.exact(sizes[n], "count")}) for n in largest
    ]
    return Front.of(members, axes=[Axis("size", "count", Direction.MAXIMIZE)])


def size(params: motemo.Params, architecture: Architecture) -> float:
    [found] = params.evaluate([architecture])
    assert isinstance(found, Measurement)
    return found.value


def measure(accuracy: motemo.Accuracy, front: Front, together: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trained = train_finalists(
            front,
            accuracy,
            Path(folder) / "trained",
            trials=[member.trial for member in front.evaluated],
            together=together,
        )
        seconds = time.perf_counter() - start
    reached = [f.val_accuracy for f in trained.finalists if f.val_accuracy is not None]
    seen = len(accuracy.split.train) * accuracy.recipe.epochs * len(trained.finalists)
    failed = len(trained.finalists) - len(reached)
    return Run(together, seconds / 60, seen / seconds, failed, max(reached, default=0.0))


def device_of(name: str) -> dict[str, Json]:
    import torch

    return {"gpu": torch.cuda.get_device_name(name)} if name.startswith("cuda") else {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="random:50000", help="a source of motemo, or random:N")
    parser.add_argument("--finalists", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--train-device", default="cpu")
    parser.add_argument("--together", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    keep_freed_memory()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recipe = motemo.FullRecipe(epochs=given.epochs, batch_size=given.batch_size)
    data = images(given.data)
    accuracy = motemo.Accuracy(data=data, recipe=recipe, train_device=given.train_device)
    front = front_of(given.finalists)
    print(f"{len(front.evaluated)} finalists, {given.epochs} epochs, {len(data):,} images")
    print(f"{'together':>8}{'minutes':>10}{'images/s':>10}{'failed':>8}{'best':>8}", flush=True)
    runs = []
    for together in given.together:
        run = measure(accuracy, front, together)
        runs.append(run)
        print(
            f"{run.together:8}{run.minutes:10.2f}{run.images_per_second:10.0f}{run.failed:8}"
            f"{run.best:8.4f}",
            flush=True,
        )
    if given.out is not None:
        figures: dict[str, Json] = {
            "seed": SEED,
            "finalists": given.finalists,
            "accuracy": accuracy.identity(),
            "runs": [run.record() for run in runs],
        }
        device = device_of(given.train_device)
        store(given.out, figures, packages=("torch", "numpy"), device=device)


if __name__ == "__main__":
    main()
