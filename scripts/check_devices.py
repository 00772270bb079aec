#!/usr/bin/env python
"""Whether an estimate ranks alike on two devices, and repeats exactly on each.

    scripts/check_devices.py --data rd.npz --cells 50 --device cpu --device cuda

Scores random valid architectures once on every device, and the first ten a second time. Prints
Spearman's rank correlation between each pair of devices and the largest relative difference; ends
with status 1 if a repetition differs, or if a correlation is below `--at-least`.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr

from motemo.data.pipeline import load_data
from motemo.objective import Measurement, Objective
from motemo.registry import OBJECTIVES, SPACES
from motemo.space import Architecture, Space

REPEATED = 10


def sample(space: Space, n: int, seed: int) -> list[Architecture]:
    """Return random valid networks, each once."""
    rng = np.random.default_rng(seed)
    chosen: dict[str, Architecture] = {}
    while len(chosen) < n:
        architecture = space.sample(rng)
        if architecture.invalid_reason is None:
            chosen.setdefault(architecture.key, architecture.canonical)
    return list(chosen.values())


def values(objective: Objective, architectures: list[Architecture]) -> list[float]:
    """Return the scores; a failure ends the check."""
    found = []
    for architecture, outcome in zip(architectures, objective.evaluate(architectures), strict=True):
        if not isinstance(outcome, Measurement):
            sys.exit(f"{architecture.genotype}: {outcome}")
        found.append(outcome.value)
    return found


def main() -> None:
    """Run the check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--estimate", default="mote")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--images-per-class", type=int)
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", action="append", required=True)
    parser.add_argument("--at-least", type=float, default=0.99)
    arguments = parser.parse_args()

    data = load_data(arguments.data, images_per_class=arguments.images_per_class)
    architectures = sample(SPACES.create(arguments.space), arguments.cells, arguments.seed)
    scores: dict[str, list[float]] = {}
    good = True
    for device in arguments.device:
        offered = {"data": data, "train_device": device}
        objective = OBJECTIVES.create(arguments.estimate, offered=offered)
        scores[device] = values(objective, architectures)
        again = values(objective, architectures[:REPEATED])
        same = again == scores[device][: len(again)]
        good &= same
        print(f"{device}: {len(again)} scored again, {'all equal' if same else 'DIFFERENT'}")
    for one, other in combinations(scores, 2):
        a, b = np.array(scores[one]), np.array(scores[other])
        rho = float(spearmanr(a, b).statistic)
        good &= rho >= arguments.at_least
        difference = float(np.max(np.abs(a - b) / np.abs(a)))
        print(f"{one} and {other}: Spearman {rho:.4f}, n = {len(a)}, differ by {difference:.2%}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
