"""How well estimates rank, as a static picture by matplotlib."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from motemo.rendering.axes_style import INK, QUIET, plain, style

# Okabe and Ito's palette, told apart by every common kind of colour vision.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DOTS_PER_INCH = 160
_WIDTH = 10.0
_ACROSS = 4
_PANEL_INCHES = 2.5
_NEAR_ZERO = 0.15


@dataclass(frozen=True)
class Scatter:
    """One panel: the cells, by estimate and truth.

    Attributes:
        name: The estimate.
        estimate: Ranks by the estimate, 0 to 1, higher is better.
        truth: Ranks by the truth.
        tau: Kendall's tau-b of the two; NaN if not defined.
    """

    name: str
    estimate: tuple[float, ...]
    truth: tuple[float, ...]
    tau: float


@dataclass(frozen=True)
class Dot:
    """One correlation with its interval; NaN where it is not defined.

    Attributes:
        name: The estimate.
        truth: What it is correlated with.
        tau: Kendall's tau-b.
        low: Lower end of the interval.
        high: Upper end.
    """

    name: str
    truth: str
    tau: float
    low: float
    high: float


def correlation_png(
    scatters: Sequence[Scatter], dots: Sequence[Dot], *, title: str, truth: str
) -> bytes:
    """Return a PNG: dots with bars for every estimate and truth, and a scatter plot of each.

    Args:
        scatters: One panel each.
        dots: Estimates in order, for each truth.
        title: Written above.
        truth: What the panels' y axis shows.
    """
    names = list(dict.fromkeys(dot.name for dot in dots))
    truths = list(dict.fromkeys(dot.truth for dot in dots))
    rows = math.ceil(len(scatters) / _ACROSS)
    heights = (1.4 + len(names) * max(0.3, 0.15 * len(truths)), 0.4 + rows * _PANEL_INCHES)
    figure = Figure(
        figsize=(_WIDTH, sum(heights)),
        dpi=_DOTS_PER_INCH,
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_dots(above, dots, names, truths)
    _draw_scatters(below, scatters, rows, truth)
    above.suptitle(plain(title), x=0.02, ha="left", fontsize=9.5, color=INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_dots(
    figure: SubFigure, dots: Sequence[Dot], names: Sequence[str], truths: Sequence[str]
) -> None:
    axes: Axes = figure.subplots()
    style(axes)
    spread = 0.5 if len(truths) > 1 else 0.0
    looks = zip(truths, cycle(_COLORS), cycle(_MARKERS), strict=False)
    for place, (truth, color, marker) in enumerate(looks):
        shown = [d for d in dots if d.truth == truth and math.isfinite(d.tau)]
        shift = spread * (place / max(len(truths) - 1, 1) - 0.5)
        heights = [names.index(dot.name) + shift for dot in shown]
        bars = [(d, h) for d, h in zip(shown, heights, strict=True) if math.isfinite(d.low)]
        axes.hlines(
            [height for _, height in bars],
            [dot.low for dot, _ in bars],
            [dot.high for dot, _ in bars],
            color=color,
            linewidth=1.6,
        )
        axes.plot(
            [dot.tau for dot in shown],
            heights,
            linestyle="none",
            marker=marker,
            markersize=5,
            color=color,
            label=plain(truth),
        )
    if any(dot.low < _NEAR_ZERO or dot.tau < _NEAR_ZERO for dot in dots):
        axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("Kendall's tau-b", color=INK, fontsize=9)
    figure.legend(
        loc="outside lower left",
        ncols=max(1, min(len(truths), 3)),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )


def _draw_scatters(figure: SubFigure, scatters: Sequence[Scatter], rows: int, truth: str) -> None:
    grid = figure.subplots(rows, _ACROSS, squeeze=False, sharex=True, sharey=True)
    panels = grid.flatten().tolist()
    for axes in panels[len(scatters) :]:
        axes.remove()
    for axes, scatter in zip(panels, scatters, strict=False):
        style(axes)
        points = len(scatter.truth)
        axes.scatter(
            scatter.estimate,
            scatter.truth,
            s=9 if points <= 500 else 4,
            color=_COLORS[0],
            alpha=0.45 if points <= 500 else 0.25,
            linewidths=0,
        )
        tau = f"{scatter.tau:.3f}" if math.isfinite(scatter.tau) else "not defined"
        axes.set_title(
            plain(f"{_short(scatter.name)}\ntau {tau}, n {points:,}"),
            fontsize=8.5,
            color=INK,
            loc="left",
        )
        axes.set_aspect("equal")
    figure.supxlabel("rank by the estimate, best = 1", fontsize=9, color=INK)
    figure.supylabel(plain(f"rank by {truth}, best = 1"), fontsize=9, color=INK)


def _short(name: str, length: int = 30) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
