#!/usr/bin/env python
"""The pictures of docs/method.md, drawn from trainings that are made here (a minute on one core).

    OMP_NUM_THREADS=1 python scripts/draw_method.py                 # how MOTE comes about
    OMP_NUM_THREADS=1 python scripts/draw_method.py --run runs/first   # and what a search found

Pictures take light or dark ink as the page around them asks for.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

import motemo
from motemo.objectives.trace import examples_of, record_trace

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "docs" / "assets"
INK, FAINT = "#010203", "#040506"  # stand for the colours that the style sheet below names
STYLE = (
    "<style>:root{--ink:#24292f;--faint:#d0d4da}"
    "@media(prefers-color-scheme:dark){:root{--ink:#dfe3ea;--faint:#454c59}}</style>"
)
COLOURS = ("#2a9d6f", "#e08a1e", "#c8447c")
CELLS = {
    "3x3 convolutions": "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "1x1 convolutions": "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|"
    "+|skip_connect~0|none~1|nor_conv_1x1~2|",
    "no convolution": "|skip_connect~0|+|none~0|avg_pool_3x3~1|"
    "+|skip_connect~0|none~1|avg_pool_3x3~2|",
}
SHOWN = {
    "mote": "MOTE",
    "hybrid_quick": "hybrid_quick",
    "meco": "MeCo",
    "jacob_cov": "Jacobian covariance",
    "naswot": "NASWOT",
    "synflow": "SynFlow",
    "tse": "sum of losses (TSE)",
    "flops": "multiply-adds",
}
GRID = (37, 31)


def main() -> None:
    """Draw all pictures into docs/assets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of a search whose front is drawn")
    run = parser.parse_args().run
    mote = motemo.Mote(data=motemo.load_data("digits"))
    space = motemo.NasBench201()
    traced = {name: mote.evaluate([space.architecture(cell)])[0] for name, cell in CELLS.items()}
    with _picture("method_training", 2) as (losses, line):
        _draw_training(losses, line, traced)
    with _picture("method_landscape", 2, height=3.4) as axes:
        for ax, name in zip(axes, ("3x3 convolutions", "no convolution"), strict=True):
            _draw_landscape(ax, mote, space.architecture(CELLS[name]))
            ax.set_title(name)
    with _picture("method_worth", 1, height=3.2) as (ax,):
        _draw_worth(ax)
    if run is not None:
        with _picture("method_front", 1, height=3.6) as (ax,):
            _draw_front(ax, json.loads((run / "front.json").read_text()))


@contextmanager
def _picture(name: str, panels: int, *, height: float = 3.0) -> Iterator[Sequence[Axes]]:
    """Give panels to draw on, and write them as NAME.svg."""
    look = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": FAINT,
        "axes.titlesize": 11,
        "grid.color": FAINT,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    }
    with mpl.rc_context(look):
        figure = Figure(figsize=(4.2 * panels if panels > 1 else 6.4, height), layout="constrained")
        yield list(figure.subplots(1, panels, squeeze=False)[0])
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    svg = re.sub(r" (width|height)=\"[\d.]+pt\"", "", svg, count=2)
    svg = svg.replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")
    (ASSETS / f"{name}.svg").write_text(svg.replace("<defs>", STYLE + "<defs>", 1))


def _draw_training(losses: Axes, line: Axes, traced: dict[str, motemo.Measurement]) -> None:
    """Draw the losses of all epochs, and those on the line between the weights."""
    for colour, (name, measured) in zip(COLOURS, traced.items(), strict=True):
        epochs, points = measured.record["epoch_losses"], measured.record["landscape_losses"]
        losses.plot(range(1, len(epochs) + 1), epochs, "o-", color=colour)
        line.plot(np.linspace(0, 1, len(points)), points, "o-", ms=4, color=colour)
        text = f"{name}\nMOTE {measured.value:.1f}"
        losses.annotate(
            text, (len(epochs), epochs[-1]), (6, 3), textcoords="offset points", va="center",
            color=colour, annotation_clip=False,
        )  # fmt: skip
    losses.set(xlabel="epoch", title="Speed: loss while training", xticks=range(1, 5))
    line.set(title="Landscape: loss on the line", xticks=[0, 0.5, 1])
    line.set_xticklabels(["initial\nweights", "", "trained\nweights"])
    for ax in (losses, line):
        ax.set_ylim(0)
        ax.set_ylabel("cross-entropy")
        ax.grid(axis="y")


def _draw_landscape(ax: Axes, mote: motemo.Mote, architecture: motemo.Architecture) -> None:
    """Draw the loss on a plane through initial and trained weights of one cell."""
    across, along, loss = _plane(mote, architecture)
    levels = np.linspace(0, 3.6, 13)
    shown = ax.contourf(along, across, np.clip(loss, 0, 3.59), levels=levels, cmap="viridis_r")
    points = np.linspace(0, 1, mote.recipe.landscape_intervals + 1)
    ax.plot(points, 0 * points, "o-", color="white", mec="black", mew=0.6, ms=5)
    ax.set(xticks=[0, 1], yticks=[], ylabel="a random direction")
    ax.set_xticklabels(["initial weights", "trained weights"])
    ax.figure.colorbar(shown, ax=ax, ticks=[0, 1, 2, 3], label="cross-entropy")


@torch.no_grad()
def _plane(
    mote: motemo.Mote, architecture: motemo.Architecture
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates across and along the line, and the `(across, along)` losses."""
    network = mote.build(architecture, seed=0)
    start = [p.detach().clone() for p in network.parameters()]
    with torch.enable_grad():
        record_trace(network, mote.data, recipe=mote.recipe, seed=0)
    network.train()  # normalise by the statistics of the batch, as MOTE does
    step = [p - s for p, s in zip(network.parameters(), start, strict=True)]
    side = _random_direction(step)
    examples = examples_of(mote.data, mote.recipe)
    rows = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))[:256]
    inputs, targets = examples.inputs[rows], examples.targets[rows]
    along, across = np.linspace(-0.35, 1.45, GRID[0]), np.linspace(-0.9, 0.9, GRID[1])
    loss = np.empty((len(across), len(along)))
    for (i, b), (j, a) in itertools.product(enumerate(across), enumerate(along)):
        moved = zip(network.parameters(), start, step, side, strict=True)
        for parameter, s, forward, sideways in moved:
            parameter.copy_(s + a * forward + b * sideways)
        loss[i, j] = nn.functional.cross_entropy(
            network(inputs), targets, label_smoothing=mote.recipe.label_smoothing
        )
    return across, along, loss


def _random_direction(step: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return a direction across `step`, each of its tensors as long as the one of `step`."""
    generator = torch.Generator().manual_seed(1)
    side = []
    for tensor in step:
        drawn = torch.randn(tensor.shape, generator=generator)
        drawn -= tensor * (drawn * tensor).sum() / (tensor * tensor).sum().clamp(min=1e-12)
        side.append(drawn * tensor.norm() / drawn.norm().clamp(min=1e-12))
    return side


def _draw_worth(ax: Axes) -> None:
    """Draw how well some estimates rank 500 cells, from what is stored."""
    path = ROOT / "benchmarks" / "results" / "estimates" / "nasbench201" / "correlate.csv"
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["truth"].startswith("cifar100_")]
    found = {row["estimate"]: row for row in rows}
    names = sorted(SHOWN, key=lambda name: float(found[name]["tau"]))
    for y, name in enumerate(names):
        tau, low, high = (float(found[name][key]) for key in ("tau", "tau_low", "tau_high"))
        colour = COLOURS[0] if name in ("mote", "hybrid_quick") else "#7a8699"
        ax.barh(y, tau, color=colour, height=0.62)
        ax.plot([low, high], [y, y], color=INK, lw=1.4)
        ax.text(high + 0.012, y, f"{tau:.2f}", va="center", color=INK)
    ax.set(
        xlim=(0, 1), xlabel="Kendall's tau against the accuracy after 200 epochs (1: same order)"
    )
    ax.set_yticks(range(len(names)), [SHOWN[name] for name in names])
    ax.tick_params(axis="y", length=0)


def _draw_front(ax: Axes, run: dict[str, Any]) -> None:
    """Draw the evaluated architectures of a run by latency and estimate, and their front."""
    values = [architecture["values"] for architecture in run["evaluated"]]
    points = sorted((v["latency_ms"], v["mote"]) for v in values)
    best = -np.inf
    front = [(x, y) for x, y in points if y > best and (best := y)]
    ax.plot(*zip(*points, strict=True), "o", color="#7a8699", alpha=0.6, label="evaluated")
    ax.plot(
        *zip(*front, strict=True), "o-", color=COLOURS[0], drawstyle="steps-post", label="front"
    )
    ax.set(xlabel="latency, ms (lower is better)", ylabel="MOTE (higher is better)")
    ax.set_xlim(0)
    ax.legend(frameon=False, loc="lower right")


if __name__ == "__main__":
    main()
