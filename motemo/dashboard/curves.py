"""Pictures of trainings: losses over epochs, and what else is known of them."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from motemo.finalist import Finalist
from motemo.objective import EPOCH_LOSSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LANDSCAPE_LOSSES = "landscape_losses"
_BETWEEN = "point from the initial (0) to the trained weights"
_LINE = "#0072B2"
_drawing = threading.Lock()  # matplotlib draws for one thread at a time


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
        x: What the places are.
        y: What the values are.
        first: The first place; the others follow in steps of one.
        values: A value for each place.
    """

    x: str
    y: str
    first: int
    values: tuple[float, ...]


def training_curves(user_attrs: Mapping[str, Any]) -> list[tuple[Curve, ...]]:
    """Return the short trainings that a trial's records tell of, each once.

    Several estimates may have been read from one training, and one from several. A training has
    its losses, and the loss landscape between its two ends unless it was stopped.
    """
    return list(dict.fromkeys(_found(user_attrs)))


def _found(value: object) -> Iterator[tuple[Curve, ...]]:
    if isinstance(value, Mapping):
        losses = Curve("epoch", "training loss", 1, _numbers(value.get(EPOCH_LOSSES)))
        landscape = Curve(_BETWEEN, "loss", 0, _numbers(value.get(_LANDSCAPE_LOSSES)))
        if losses.values:
            yield tuple(curve for curve in (losses, landscape) if curve.values)
        for inner in value.values():
            yield from _found(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner)


def _numbers(value: object) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return tuple(float(v) for v in value) if all(isinstance(v, int | float) for v in value) else ()


def finalist_curves(finalist: Finalist) -> tuple[Curve, ...]:
    """Return how the real training of a finalist went, nothing if it failed at once."""
    if not finalist.curve:
        return ()
    losses = tuple(epoch.train_loss for epoch in finalist.curve)
    accuracies = tuple(epoch.val_accuracy for epoch in finalist.curve)
    return (
        Curve("epoch", "training loss", 1, losses),
        Curve("epoch", "validation accuracy", 1, accuracies),
    )


def curves_svg(curves: Sequence[Curve]) -> bytes:
    """Return curves side by side as SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _drawing:
        figure = Figure(figsize=(4.2 * len(curves), 3.0), layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        [places] = figure.subplots(1, len(curves), squeeze=False)
        for axes, curve in zip(places, curves, strict=True):
            _plot(axes, curve)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _plot(axes: Axes, curve: Curve) -> None:
    from matplotlib.ticker import MaxNLocator

    from motemo.rendering.axes_style import INK, style

    style(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    places = range(curve.first, curve.first + len(curve.values))
    axes.plot(places, curve.values, color=_LINE, marker="o", markersize=4)
    axes.set_xlabel(curve.x, color=INK, fontsize=9)
    axes.set_ylabel(curve.y, color=INK, fontsize=9)
