"""What runtime and precision do to latency and to the answers: the same cells on each.

    python benchmarks/precisions.py --space nasbench201 --out benchmarks/results/precisions.json

Random valid architectures with untrained weights, whose batch normalisation has the statistics of
the data (scikit-learn's digits). Per device: the median over the architectures of the latency in ms
and of its ratio to float32 on ONNX Runtime; the mean share of images whose largest logit is the
same as in float32; and the median of the mean difference of a logit, relative to how much the
logits of a class vary from image to image. An architecture is measured on all devices in turn, so
that the drift of the machine hits all alike. `n` counts the figures that the machine was calm
enough for.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from drawn import random_architectures
from stored import store

from motemo import host_lock
from motemo.data.digits import load_digits
from motemo.device import Device, TimingProtocol
from motemo.hardware.latency import Latency
from motemo.objective import Measurement
from motemo.registry import DEVICES, SPACES
from motemo.space import Json

SEED = 0
YARDSTICK = "cpu float32"
PRECISIONS = {
    "cpu": ("float32", "float16", "int8", "int8_dynamic"),
    "torch": ("float32", "bfloat16", "float16"),
}


def devices() -> dict[str, Device]:
    data = load_digits()
    created: dict[str, Device] = {
        f"{runtime} {precision}": DEVICES.create(
            runtime, options={"precision": precision, "calibration": data}
        )
        for runtime, precisions in PRECISIONS.items()
        for precision in precisions
    }
    created["torch channels last"] = DEVICES.create("torch", options={"channels_last": True})
    return created


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="nasbench201")
    parser.add_argument("--architectures", type=int, default=10)
    parser.add_argument("--patience", type=float, default=10, help="seconds on a busy machine")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    space = SPACES.create(arguments.space)
    architectures = random_architectures(space, arguments.architectures, seed=SEED)
    protocol = TimingProtocol(patience_seconds=arguments.patience)
    latencies = {n: Latency(device=d, protocol=protocol) for n, d in devices().items()}
    outcomes: dict[str, list[Measurement | None]] = {name: [] for name in latencies}
    for architecture in architectures:
        for name, latency in latencies.items():
            with host_lock.measuring():
                (outcome,) = latency.evaluate([architecture])
            outcomes[name].append(outcome if isinstance(outcome, Measurement) else None)
    figures = {name: summary(found, outcomes[YARDSTICK]) for name, found in outcomes.items()}
    print(f"{'':20}{'n':>4}{'ms':>9}{'ratio':>8}{'same':>8}{'apart':>8}")
    for name, figure in figures.items():
        values = [*figure.values()][1:]
        columns = "".join(f"{v:8.3f}" if isinstance(v, float) else f"{'-':>8}" for v in values)
        print(f"{name:20}{figure['n']:4} {columns}")
    if arguments.out is not None:
        described: dict[str, Json] = {
            "space": space.identity(),
            "architectures": arguments.architectures,
            "seed": SEED,
            "devices": {**figures},
        }
        store(arguments.out, described, packages=("onnx", "onnxruntime", "torch"))


def summary(found: list[Measurement | None], exact: list[Measurement | None]) -> dict[str, Json]:
    """Return the figures of one device."""
    known = [m for m in found if m is not None]
    ratios = [m.value / e.value for m, e in zip(found, exact, strict=True) if m and e]
    differences = [d for m in known if isinstance(d := m.record.get("output_difference"), dict)]
    same = [float(str(d["same_class"])) for d in differences]
    apart = [d["mean"] for d in differences if isinstance(d["mean"], float)]
    return {
        "n": len(known),
        "ms": float(np.median([m.value for m in known])) if known else None,
        "ratio": float(np.median(ratios)) if ratios else None,
        "same_class": float(np.mean(same)) if same else None,
        "apart": float(np.median(apart)) if apart else None,
    }


if __name__ == "__main__":
    main()
