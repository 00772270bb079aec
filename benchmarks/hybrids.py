"""Combinations without labels, and predictors with few, from the scores of a correlation.

    python benchmarks/hybrids.py runs/correlate --combine naswot,jacob_cov,flops

Reads the scores and the true accuracies of a folder that `motemo correlate` wrote, computes
nothing anew, and prints Kendall's tau (95 % interval), tau inside FLOPs deciles and in the true top
tenth: of each estimate, of each `--combine`, and of predictors with `--labels`. A combination is
shown by ranks among all cells, and by positions among `--reference` random cells, as `hybrid` does
it. Choose parts and predictors on one search space, and report them on another.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from motemo.correlation.few_labels import Cells, learn
from motemo.correlation.statistics import deciles, tau_in_top, tau_within, top_tenth
from motemo.files import write_atomically
from motemo.host import host_identity
from motemo.objectives.features import features
from motemo.objectives.positions import COMBINATIONS, Floats, Scale, combine
from motemo.objectives.predictor import Average, Predictor, Process, Trees, weak_predictors
from motemo.rank_correlation import Bootstrap, kendall_tau
from motemo.registry import SPACES
from motemo.seeds import derive_seed
from motemo.space import Architecture, Space
from motemo.tables import read_table

PREDICTORS: dict[str, Predictor] = {"trees": Trees(), "process": Process(), "average": Average()}


@dataclass(frozen=True)
class Scores:
    """What a folder holds, of the cells that all estimates could score.

    Predictors see what is `computed`: a column of the table may tell the truth.
    """

    cells: list[Architecture]
    estimates: dict[str, Floats]
    computed: dict[str, Floats]
    truths: dict[str, Floats]


def read(folder: Path, lower: Iterable[str]) -> Scores:
    settings = json.loads((folder / "settings.json").read_text())
    options = {k: v for k, v in settings["space"].items() if k != "name"}
    space: Space = SPACES.create(settings["space"]["name"], options=options)
    table = read_table(settings["tables"], columns=settings["truths"], space=space)
    rows = {a.genotype: i for i, a in enumerate(table.architectures)}
    frame = pd.read_csv(folder / "scores.csv", dtype={"arch": str}).dropna()
    places = [rows[genotype] for genotype in frame["arch"]]
    estimates = {
        name: frame[name].to_numpy(dtype=np.float64) * (-1 if name in lower else 1)
        for name in frame.columns
        if name != "arch"
    }
    kinds = settings["estimates"]  # a list has the members of a mean rank
    given = {name for name, kind in kinds.items() if str(kind).startswith("column:")}
    given |= {n for n, kind in kinds.items() if isinstance(kind, list) and given & {*kind}}
    return Scores(
        [table.architectures[place] for place in places],
        estimates,
        {name: values for name, values in estimates.items() if name not in given},
        {truth: table.columns[truth][places] for truth in settings["truths"]},
    )


def combinations(scores: Scores, parts: list[str], size: int, draws: int) -> dict[str, Floats]:
    """Return a combination by ranks, and some by positions in a random reference."""
    values = np.stack([scores.estimates[part] for part in parts])
    found: dict[str, Floats] = {}
    for how in COMBINATIONS:
        ranks = (rankdata(values, axis=1) - 0.5) / values.shape[1]
        label = f"{how}({','.join(parts)})"
        found[label] = combine(ranks, how)
        for draw in range(draws):
            rng = np.random.default_rng(derive_seed("reference", draw))
            chosen = rng.permutation(values.shape[1])[:size]
            places = np.stack([Scale.of(row[chosen]).position(row) for row in values])
            found[f"{label} reference {draw}"] = combine(places, how)
    return found


def judge(
    label: str, values: Floats, truth: str, true: Floats, owner: np.ndarray, bootstrap: Bootstrap
) -> dict[str, object]:
    interval = bootstrap.tau(values, true)
    return {
        "estimate": label,
        "truth": truth,
        "n": len(true),
        "tau": kendall_tau(values, true),
        "low": interval.low,
        "high": interval.high,
        "deciles": tau_within(values, true, owner),
        "top_tenth": tau_in_top(values, true, top_tenth(true)),
    }


def predictors(
    scores: Scores, labels: list[int], draws: int, owner: np.ndarray
) -> Iterable[dict[str, object]]:
    keys = [cell.key for cell in scores.cells]
    of_kind = {
        "genes": features(scores.cells, wired=False),
        "genes+wiring": features(scores.cells),
        "genes+wiring+scores": features(scores.cells, scores.computed),
    }
    whole = of_kind["genes+wiring+scores"].values
    for truth, true in scores.truths.items():
        for count in (count for count in labels if count <= len(true) - 10):
            asked = [(name, p, "genes+wiring+scores") for name, p in PREDICTORS.items()]
            asked += [("average", Average(), kind) for kind in ("genes", "genes+wiring")]
            for name, predictor, kind in asked:
                cells = Cells(of_kind[kind].values, keys, owner)
                row = learn(
                    cells,
                    true,
                    truth=truth,
                    labels=count,
                    seed=0,
                    draws=draws,
                    predictor=predictor,
                )
                yield {
                    "estimate": f"{name}({count}) on {kind}",
                    "truth": truth,
                    "n": row.n,
                    "tau": row.tau,
                    "low": row.tau_low,
                    "high": row.tau_high,
                    "deciles": row.tau_in_flops_deciles,
                    "top_tenth": row.tau_top_tenth,
                }
            if count >= 25:
                yield from weak(whole, truth, true, count, draws)


def weak(
    pool: Floats, truth: str, true: Floats, count: int, draws: int
) -> Iterable[dict[str, object]]:
    """Yield how good the best is that a sequence finds, beside as many random labels."""
    best: dict[int, list[float]] = {1: [], 5: []}
    for rounds, regrets in best.items():
        for draw in range(draws):
            found = weak_predictors(
                pool, lambda places: true[places].tolist(), budget=count, rounds=rounds, seed=draw
            )
            first = int(np.argmax(found.prediction.mean))
            regrets.append(float(true.max() - max(true[first], *found.labels.values())))
    for rounds, regrets in best.items():
        yield {
            "estimate": f"best of {count} labels and 1 more, {rounds} rounds: regret",
            "truth": truth,
            "n": len(true),
            "regret": float(np.mean(regrets)),
        }


def show(row: dict[str, object]) -> None:
    figures = {k: v for k, v in row.items() if isinstance(v, float) and not math.isnan(v)}
    text = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
    print(f"{row['truth']:<28} {row['estimate']:<48} n {row['n']:<5} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of motemo correlate")
    parser.add_argument("--combine", action="append", default=[], help="estimates, by commas")
    parser.add_argument("--lower", default="", help="estimates that are better when lower")
    parser.add_argument("--labels", default="25,50,100,200,400", help="numbers; '' for none")
    parser.add_argument("--draws", type=int, default=10, help="draws of labels")
    parser.add_argument("--reference", type=int, default=32, help="cells in a reference")
    parser.add_argument("--references", type=int, default=3, help="draws of the reference")
    parser.add_argument("--out", type=Path, help="JSON file for all rows")
    arguments = parser.parse_args()

    scores = read(arguments.folder, arguments.lower.split(","))
    owner = deciles(scores.estimates["flops"])
    bootstrap = Bootstrap.of([cell.key for cell in scores.cells], seed=0)
    shown = dict(scores.estimates)
    for text in arguments.combine:
        parts = text.split(",")
        shown |= combinations(scores, parts, arguments.reference, arguments.references)
    rows = []
    for truth, true in scores.truths.items():
        for label, values in shown.items():
            rows.append(judge(label, values, truth, true, owner, bootstrap))
            show(rows[-1])
    labels = [int(count) for count in arguments.labels.split(",") if count]
    for row in predictors(scores, labels, arguments.draws, owner) if labels else ():
        rows.append(row)
        show(row)
    if arguments.out:
        document = {
            "date": datetime.now(UTC).date().isoformat(),
            "device": {k: v for k, v in host_identity().items() if k != "host"},
            "folder": json.loads((arguments.folder / "settings.json").read_text()),
            "draws": arguments.draws,
            "rows": [
                {k: None if v != v else v for k, v in row.items()}  # NaN is not JSON
                for row in rows
            ],
        }
        write_atomically(arguments.out, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
