"""How people read numbers: one scale per objective, such as millions with two decimals."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low

from motemo.front import Axis, Front
from motemo.objective import Measurement

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MOST_DECIMALS = 6
_PARTS = re.compile(r"[|+,;/\s()\[\]{}]*(?:[^|+,;/\s()\[\]{}]+[|+,;/\s()\[\]{}]*|$)")
_WORDS = re.compile(r"\w+\W*|\W+")


@dataclass(frozen=True)
class Scale:
    """How all values of one objective are written, so that they line up and compare.

    Attributes:
        factor: What a value is divided by before it is written.
        unit: Unit of the written number, prefix included: `ms`, `M multiply-adds`, or empty.
        decimals: Decimals of the written number, None for scientific notation.
    """

    factor: float
    unit: str
    decimals: int | None

    @classmethod
    def of(cls, axis: Axis, measurements: Sequence[Measurement]) -> Scale:
        """Return the scale that suits these measurements of an objective."""
        finite = [m for m in measurements if math.isfinite(m.value)]
        sizes = [abs(m.value) for m in finite if m.value] or [1.0]
        whole = all(size.is_integer() for size in map(float, sizes))
        if max(sizes) >= (1e15 if whole else 1e6) or max(sizes) < 1e-3:
            return cls(1.0, axis.unit, None)
        if whole and max(sizes) < 1e4 and not any(map(_half_width, finite)):
            return cls(1.0, axis.unit, 0)
        factor, prefix = _prefix(sizes) if whole else (1.0, "")
        return cls(factor, _unit(axis.unit, prefix), _decimals(finite, factor))

    def number(self, value: float) -> str:
        """Write one value, without its unit."""
        return _fixed(value / self.factor, self.decimals)

    def spread(self, measurement: Measurement) -> str:
        """Write the spread, `± 0.05` or `+0.31 -0.11`; empty if there is none."""
        if measurement.low == measurement.high:
            return ""
        above = self.number(measurement.high - measurement.value)
        below = self.number(measurement.value - measurement.low)
        if above != below:
            return f"+{above} -{below}"
        return f"± {above}" if float(above) else f"± {_half_width(measurement) / self.factor:.1g}"

    def text(self, measurement: Measurement) -> str:
        """Write value and spread, without the unit."""
        return f"{self.number(measurement.value)} {self.spread(measurement)}".rstrip()

    def full(self, measurement: Measurement) -> str:
        """Write value, unit and spread: `4.21 ms ± 0.05`."""
        parts = (self.number(measurement.value), self.unit, self.spread(measurement))
        return " ".join(part for part in parts if part)


def scales(front: Front) -> dict[str, Scale]:
    """Return one scale per objective of a front, by name."""
    return {
        axis.name: Scale.of(axis, [m.measurements[axis.name] for m in front.evaluated])
        for axis in front.axes
    }


def label(axis: Axis, scale: Scale) -> str:
    """Return the name of an objective with its unit: `latency (ms)`, `params (M)`."""
    name = axis.name.removesuffix(f"_{axis.unit}") if axis.unit else axis.name
    return f"{name} ({scale.unit})" if scale.unit else name


def fold(text: str, width: int) -> list[str]:
    """Break a genotype into lines of at most `width` characters, after punctuation if it can."""
    lines = [""]
    for piece in _pieces(text, max(width, 1)):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def _pieces(text: str, width: int) -> Iterator[str]:
    """Yield what fits a line: parts of a genotype, else words of a part, else mere characters."""
    for part in _PARTS.findall(text):
        for word in [part] if len(part) <= width else _WORDS.findall(part):
            yield from (word[start : start + width] for start in range(0, len(word), width))


def _prefix(sizes: Sequence[float]) -> tuple[float, str]:
    """Return the largest prefix that leaves no value below 0.01, none for small numbers."""
    if max(sizes) < 1e4:
        return 1.0, ""
    fits = (p for p in _PREFIXES if max(sizes) >= p[0] and min(sizes) >= p[0] / 100)
    return next(fits, (1e3, "k"))


def _unit(unit: str, prefix: str) -> str:
    if prefix and unit == "count":
        return prefix
    return f"{prefix} {unit}".strip()


def _decimals(measurements: Sequence[Measurement], factor: float) -> int:
    """Return as many decimals as the spread warrants, or else as tell the values apart."""
    widths = [w / factor for w in map(_half_width, measurements) if w]
    if widths:
        exponent = math.log10(median_low(widths))
        return _clamp(-math.floor(exponent) + (exponent % 1 < math.log10(2)))
    values = sorted({m.value / factor for m in measurements})
    sizes = [abs(value) for value in values if value] or [1.0]
    decimals = _clamp(
        max(1, 2 - math.floor(math.log10(max(sizes))), 1 - math.floor(math.log10(min(sizes))))
    )
    if factor > 1:  # whole numbers have no more
        decimals = min(decimals, round(math.log10(factor)))
    more = range(decimals, min(decimals + 2, _MOST_DECIMALS))
    return next((d for d in more if len({round(v, d) for v in values}) == len(values)), decimals)


def _clamp(decimals: int) -> int:
    return min(max(decimals, 0), _MOST_DECIMALS)


def _half_width(measurement: Measurement) -> float:
    width = (measurement.high - measurement.low) / 2
    return width if math.isfinite(width) else 0.0


def _fixed(value: float, decimals: int | None) -> str:
    return f"{value:.3e}" if decimals is None else f"{value:.{decimals}f}"
