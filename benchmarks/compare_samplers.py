"""Samplers side by side on NAS-Bench-201, in several settings, by `motemo benchmark`.

    python benchmarks/compare_samplers.py --cells cells.csv.gz --latency latency.csv.gz \
        --out benchmarks/results/compare_samplers.json

`cells` has the columns arch, index, published_mote, params_m, cifar100_test_acc_200,
cifar100_val_acc_12 and cifar100_train_seconds_12; `latency` has index and, in milliseconds,
gold_6240, raspi4 and pixel3. Each setting is one `motemo benchmark`, which continues where it was
interrupted; its folder stays in `--work`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from motemo.files import write_atomically
from motemo.host import host_identity

TRUTH = "cifar100_test_acc_200"
SAMPLERS = ("motemo", "nsga2", "pymoo_nsga2")
SETTINGS: dict[str, tuple[str, ...]] = {
    "one processor": ("--cost", "gold_6240", "--evaluations", "400"),
    "another device": ("--cost", "raspi4", "--evaluations", "200"),
    "a third device": ("--cost", "pixel3", "--evaluations", "200"),
    "three objectives": ("--cost", "gold_6240", "--cost", "params_m", "--evaluations", "200"),
    "four objectives": (
        *("--cost", "gold_6240", "--cost", "params_m", "--cost", "raspi4"),
        *("--evaluations", "200"),
    ),
    "true accuracy as the estimate": (
        *("--estimate", TRUTH, "--cost", "gold_6240"),
        *("--evaluations", "200"),
    ),
    "re-scored": (
        *("--cost", "gold_6240", "--evaluations", "400"),
        *("--rescore", "cifar100_val_acc_12", "--top", "20"),
        *("--rescore-seconds", "cifar100_train_seconds_12"),
    ),
}


def compare(name: str, tables: list[Path], *, seeds: int, work: Path) -> list[dict[str, str]]:
    """Run one setting; return the rows of its summary."""
    out = work / name.replace(" ", "_")
    options = list(SETTINGS[name])
    if "--estimate" not in options:
        options += ["--estimate", "published_mote"]
    for table in tables:
        options += ["--table", str(table)]
    for sampler in SAMPLERS:
        options += ["--sampler", sampler]
    options += ["--truth", TRUTH, "--reference", "55", "--seeds", str(seeds), "--out", str(out)]
    print(f"\n{name}", flush=True)
    subprocess.run(  # noqa: S603  (this interpreter, arguments in a list)
        [sys.executable, "-m", "motemo", "benchmark", "--space", "nasbench201", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--setting", action="append", choices=SETTINGS, help="default: all")
    parser.add_argument("--work", type=Path, default=Path("runs/compare_samplers"))
    parser.add_argument("--out", type=Path, help="write the summaries as JSON")
    arguments = parser.parse_args()
    tables = [arguments.cells, arguments.latency]
    found = {
        name: compare(name, tables, seeds=arguments.seeds, work=arguments.work)
        for name in arguments.setting or SETTINGS
    }
    if arguments.out is not None:
        packages = ("motemo", "optuna", "pymoo", "numpy", "scipy")
        document = {
            "date": datetime.now(UTC).date().isoformat(),
            "seeds": arguments.seeds,
            "tables": [table.name for table in tables],
            "device": {k: v for k, v in host_identity().items() if k != "host"},
            "versions": {
                "python": platform.python_version(),
                **{package: metadata.version(package) for package in packages},
            },
            "settings": {name: " ".join(SETTINGS[name]) for name in found},
            "summaries": found,
        }
        write_atomically(arguments.out, json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
