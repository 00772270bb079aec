"""How the axes of all pictures look."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET = "#1F2933", "#5B6670"


def style(axes: Axes) -> None:
    """Leave two quiet spines and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#C5CCD3")
    axes.tick_params(colors=QUIET, labelsize=8.5, length=3)
    axes.grid(visible=True, color="#EEF1F4", linewidth=0.8)
    axes.set_axisbelow(True)


def plain(text: str) -> str:
    """Return a text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")
