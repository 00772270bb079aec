"""Means and their intervals against paid evaluations, as a static picture by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from motemo.rendering.axes_style import INK, QUIET, plain, style

# Okabe and Ito's palette, told apart by every common kind of colour vision.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#1F2933")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DOTS_PER_INCH = 160


@dataclass(frozen=True)
class Curve:
    """One line with a band.

    Attributes:
        name: What the legend says.
        x: Paid evaluations.
        mean: Mean at each x.
        low: Lower end of its interval, NaN where there is none.
        high: Upper end.
    """

    name: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def curves_png(
    curves: Sequence[Curve], *, levels: Mapping[str, float], title: str, y_label: str
) -> bytes:
    """Return a PNG of curves with bands, and of horizontal levels to compare with.

    Args:
        curves: What to draw, the most important first.
        levels: Values of dashed lines, by what is written beside them.
        title: Written above.
        y_label: What the values are.
    """
    figure = Figure(
        figsize=(8.0, 5.2),
        dpi=_DOTS_PER_INCH,
        layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    style(axes)
    for curve, color, marker in zip(curves, cycle(_COLORS), cycle(_MARKERS), strict=False):
        axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.16, linewidth=0)
        axes.plot(curve.x, curve.mean, color=color, marker=marker, markersize=4, label=curve.name)
    for name, value in levels.items():
        axes.axhline(value, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0)
        axes.annotate(
            f"{name} {value:.3f}",
            (0.01, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="left",
            fontsize=8,
            color=QUIET,
        )
    axes.set_xlabel("paid evaluations", color=INK, fontsize=9.5)
    axes.set_ylabel(plain(y_label), color=INK, fontsize=9.5)
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    heading = figure.suptitle(plain(title), x=0.02, ha="left", fontsize=9.5)
    heading.set_color(INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
