"""What the general reduced architecture is worth: rank correlation with true accuracies.

    python benchmarks/reduced_architectures.py --data rd.npz --space nasbench201 \
        --table nasbench201_half.csv.gz --truth cifar10_test_acc_200 --cells 40

The default MOTE trains, on the same cells: the reduced architecture that was made by hand, those of
the general rule, by tracing and by the knobs of the space, and the full network. `--budgets` trains
the traced one of other costs as well. It prints, and with `--results` stores, Kendall's tau with a
95 % interval over networks, the paired difference to the one made by hand, the median multiply-adds
of one image, and the CPU seconds of a cell. A second call with another space adds to `--results`.

Kept in `--out`: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import median

from stored import store

from motemo.correlation.report import Correlations
from motemo.correlation.run import correlate
from motemo.counting import count_operators
from motemo.data.pipeline import load_data
from motemo.objectives.mote import Mote
from motemo.registry import SPACES
from motemo.space import Architecture, Json, Space
from motemo.spaces.shrinking.rule import Shrinking

HAND = "by hand"
VARIANTS = ("by hand", "general, tracing", "general, knobs", "full network")


def variants(mote: Mote, names: list[str], budgets: list[float]) -> dict[str, Mote]:
    """Return MOTE of each kind of network."""
    general = replace(mote, network="general")
    found = {
        HAND: mote,
        "general, tracing": general,
        "general, knobs": replace(general, shrinking=Shrinking(method="knobs")),
        "full network": replace(mote, network="full"),
    }
    found = {name: found[name] for name in names}
    for millions in budgets:
        rule = Shrinking(multiply_adds=round(1e6 * millions))
        found[f"general, tracing, {millions:g} M"] = replace(general, shrinking=rule)
    return found


def figures(
    found: Correlations, estimates: dict[str, Mote], truth: str, costs: dict[str, float]
) -> dict[str, Json]:
    """Return a line for each kind of network."""
    differences = {row.estimate: row for row in found.differences if row.truth == truth}
    seconds = {cost.estimate: cost.cpu_seconds_mean for cost in found.costs}
    lines: dict[str, Json] = {}
    for row in found.rows:
        if row.estimate in estimates and row.truth == truth:
            beside = differences.get(row.estimate)
            lines[row.estimate] = {
                "n": row.n,
                "tau": [row.tau, row.tau_low, row.tau_high],
                "tau minus that by hand": (
                    [beside.difference, beside.low, beside.high] if beside else None
                ),
                "multiply-adds, M": costs[row.estimate],
                "CPU s": seconds[row.estimate],
            }
    return lines


def median_cost(mote: Mote, architectures: list[Architecture]) -> float:
    """Return the median multiply-adds of what is trained, in millions."""
    shape = mote.data.image_shape  # type: ignore[union-attr]
    return median(
        count_operators(mote.build(one, seed=0), shape).flops / 1e6 for one in architectures
    )


def run(space: Space, arguments: argparse.Namespace) -> dict[str, Json]:
    """Return the lines of one space."""
    data = load_data(arguments.data)
    estimates = variants(Mote(data=data), arguments.variant or [*VARIANTS], arguments.budgets)
    found = correlate(
        space,
        arguments.table,
        truths=[arguments.truth],
        estimates=dict(estimates),
        against=[HAND] if HAND in estimates else [],
        cells=arguments.cells,
        seed=arguments.seed,
        out=arguments.out / space.name,
        on_progress=lambda done, wanted: print(f"\r{done}/{wanted}", end="", flush=True),
    )
    print()
    architectures = [space.architecture(key) for key in sorted(set(found.sample.keys))[:20]]
    costs = {name: median_cost(mote, architectures) for name, mote in estimates.items()}
    return figures(found, estimates, arguments.truth, costs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--table", type=Path, action="append", required=True)
    parser.add_argument("--truth", default="cifar10_test_acc_200")
    parser.add_argument("--data", required=True, help="images, as for motemo search")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default: all")
    parser.add_argument("--budgets", type=float, nargs="*", default=[], help="millions")
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of the sample of cells")
    parser.add_argument("--out", type=Path, default=Path("runs/reduced_architectures"))
    parser.add_argument("--results", type=Path, help="store the figures as JSON")
    arguments = parser.parse_args()

    space = SPACES.create(arguments.space)
    lines = run(space, arguments)
    print(json.dumps(lines, indent=1))
    if arguments.results:
        kept = {}
        if arguments.results.exists():
            kept = json.loads(arguments.results.read_text())["figures"]
        store(
            arguments.results,
            {"seed": arguments.seed, "figures": {**kept, space.name: lines}},
            packages=("torch",),
        )


if __name__ == "__main__":
    main()
