"""A front as a static picture, by matplotlib without the state of pyplot."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from motemo.front import Axis, Front, Member
from motemo.objective import Direction
from motemo.rendering.axes_style import INK, QUIET, plain, style
from motemo.rendering.quantities import Scale, label, scales
from motemo.rendering.summary import (
    best_so_far,
    better_word,
    constraint_note,
    facts,
    headline,
    keeps_constraints,
    staircase,
    view,
)

# Okabe and Ito's palette, told apart by every common kind of colour vision.
_FRONT, _BOUND, _FAINT = "#0072B2", "#D55E00", "#9AA3AD"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_DOTS_PER_INCH = 160
_PANEL_INCHES = (5.0, 4.0)


def to_png(front: Front) -> bytes:
    """Return a PNG: the first objective against each other one, or by trial if it is alone.

    Everything evaluated is faint (crosses break a constraint), the front is strong and numbered
    by trial, and bars show the spreads.
    """
    panels = max(len(front.axes) - 1, 1) if front.evaluated else 1
    columns = 2 if panels == 4 else min(panels, 3)
    rows = math.ceil(panels / columns)
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(max(width * columns, 7.2), height * rows + 1.1),
        dpi=_DOTS_PER_INCH,
        layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    _draw_panels(grid, front)
    _write_heading(figure, front)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_panels(grid: Sequence[Axes], front: Front) -> None:
    by_name = scales(front)
    others = front.axes[1:] if len(front.axes) > 1 else (None,)
    for axes in grid[len(others) :]:
        axes.remove()
    for axes, other in zip(grid, others, strict=False):
        style(axes)
        axes.margins(0.08)
        if not front.evaluated or not front.axes:
            _say_empty(axes)
        else:
            _Panel(axes, front, other, front.axes[0], by_name).draw()


def _say_empty(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "nothing to draw", ha="center", transform=axes.transAxes)


@dataclass(frozen=True)
class _Panel:
    """One scatter plot; `x` is None for the number of the trial."""

    axes: Axes
    front: Front
    x: Axis | None
    y: Axis
    scales: Mapping[str, Scale]

    def draw(self) -> None:
        """Draw bounds, all evaluated, the staircase, and the front on top."""
        rest = [member for member in self.front.evaluated if member not in self.front.members]
        self._scatter([m for m in rest if keeps_constraints(m, self.front)], marker="o")
        self._scatter([m for m in rest if not keeps_constraints(m, self.front)], marker="x")
        self._line()
        self._members()
        outside = self._look()
        self._bounds()
        self._numbers()
        if outside:
            note = f"{outside} evaluated outside of this view"
            self.axes.set_title(note, loc="right", fontsize=7.5, color=QUIET)
        self.axes.set_xlabel(self._label(self.x), color=INK, fontsize=9.5)
        self.axes.set_ylabel(self._label(self.y), color=INK, fontsize=9.5)

    def _value(self, member: Member, axis: Axis | None) -> float:
        if axis is None:
            return member.trial
        return member.measurements[axis.name].value / self.scales[axis.name].factor

    def _points(self, members: Sequence[Member]) -> tuple[list[float], list[float]]:
        return [self._value(m, self.x) for m in members], [self._value(m, self.y) for m in members]

    def _bars(self, axis: Axis | None) -> list[list[float]] | None:
        if axis is None:
            return None
        found = [member.measurements[axis.name] for member in self.front]
        factor = self.scales[axis.name].factor
        return [
            [max(0.0, m.value - m.low) / factor for m in found],
            [max(0.0, m.high - m.value) / factor for m in found],
        ]

    def _scatter(self, members: Sequence[Member], *, marker: str) -> None:
        self.axes.scatter(
            *self._points(members), s=16, c=_FAINT, marker=marker, alpha=0.6, linewidths=1, zorder=2
        )

    def _line(self) -> None:
        if self.x is None:
            chosen = best_so_far(self.front, self.y)
        else:
            chosen = staircase(self.front.members, self.x, self.y)
        self.axes.step(
            *self._points(chosen), where="post", color=_FRONT, linewidth=1.2, alpha=0.55, zorder=3
        )

    def _members(self) -> None:
        xs, ys = self._points(self.front.members)
        self.axes.errorbar(
            xs,
            ys,
            xerr=self._bars(self.x),
            yerr=self._bars(self.y),
            fmt="o",
            color=_FRONT,
            markersize=6.5,
            markeredgecolor="white",
            markeredgewidth=0.8,
            elinewidth=1.1,
            zorder=4,
        )

    def _look(self) -> int:
        """Set the limits of both axes; return how many architectures lie outside."""
        inside = [True] * len(self.front.evaluated)
        for axis, limit in ((self.x, self.axes.set_xlim), (self.y, self.axes.set_ylim)):
            values = [self._value(m, axis) for m in self.front.evaluated]
            shown = view(values, front=[] if axis is None else self._ends(axis))
            if shown is not None and axis is not None:
                limit(*shown)
                inside = [
                    i and shown[0] <= v <= shown[1] for i, v in zip(inside, values, strict=True)
                ]
        return inside.count(False)

    def _ends(self, axis: Axis) -> list[float]:
        found = [member.measurements[axis.name] for member in self.front]
        return [end / self.scales[axis.name].factor for m in found for end in (m.low, m.high)]

    def _numbers(self) -> None:
        """Write the trial beside each member, on its dominated side, where there is room."""
        right = self.x is None or self.x.direction is Direction.MINIMIZE
        below = self.y.direction is Direction.MAXIMIZE
        taken: list[tuple[float, float]] = []
        for member in self.front:
            point = (self._value(member, self.x), self._value(member, self.y))
            across, up = self.axes.transData.transform(point)
            if any(abs(across - a) < 28 and abs(up - u) < 18 for a, u in taken):
                continue
            taken.append((across, up))
            self.axes.annotate(
                str(member.trial),
                point,
                xytext=(5 if right else -5, -5 if below else 5),
                textcoords="offset points",
                ha="left" if right else "right",
                va="top" if below else "bottom",
                fontsize=7.5,
                color=QUIET,
                zorder=5,
            )

    def _bounds(self) -> None:
        for constraint in self.front.constraints:
            bound = constraint.bound / self.scales[constraint.objective].factor
            if self.x is not None and constraint.objective == self.x.name:
                if _near(bound, self.axes.get_xlim()):
                    self.axes.axvline(bound, color=_BOUND, linestyle=(0, (4, 3)), linewidth=1.1)
            elif constraint.objective == self.y.name and _near(bound, self.axes.get_ylim()):
                self.axes.axhline(bound, color=_BOUND, linestyle=(0, (4, 3)), linewidth=1.1)

    def _label(self, axis: Axis | None) -> str:
        if axis is None:
            return "trial"
        return plain(f"{label(axis, self.scales[axis.name])}, {better_word(axis)} is better")


def _near(bound: float, limits: tuple[float, float]) -> bool:
    """Return whether a bound is close enough to the data to be worth stretching the axis."""
    low, high = limits
    return low - (high - low) / 4 <= bound <= high + (high - low) / 4


def _write_heading(figure: Figure, front: Front) -> None:
    settings = "  ·  ".join(
        f"{key} {text}".replace(" ", _NO_BREAK) for key, text in facts(front.settings)
    )
    width = int(figure.get_figwidth() * 13)
    lines = [
        plain(line)
        for text in (headline(front), constraint_note(front), settings)
        for line in textwrap.wrap(text, width)
    ]
    title = figure.suptitle("\n".join(lines), x=0.02, ha="left", fontsize=9.5, linespacing=1.4)
    title.set_color(INK)
    if front.evaluated:
        figure.legend(
            handles=_legend(front),
            loc="outside lower left",
            ncols=4,
            frameon=False,
            fontsize=8.5,
            labelcolor=QUIET,
        )


def _legend(front: Front) -> list[Line2D]:
    handles = [_handle("o", _FRONT, "on the front, its trial and spread", size=6.5)]
    states = {keeps_constraints(m, front) for m in front.evaluated if m not in front.members}
    if True in states:
        handles.append(_handle("o", _FAINT, "evaluated", size=4.5))
    if False in states:
        handles.append(_handle("x", _FAINT, "breaks a constraint", size=4.5))
    if front.constraints:
        handles.append(Line2D([], [], color=_BOUND, linestyle=(0, (4, 3)), label="constraint"))
    return handles


def _handle(marker: str, color: str, text: str, *, size: float) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, color=color, markersize=size, label=text)
