"""Values of a front in sentences: `22.96 at latency 1.388 ms`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from motemo.constraint import Constraint
from motemo.front import Axis, Front, Member
from motemo.objective import Direction
from motemo.rendering.quantities import Scale, scales


@dataclass(frozen=True)
class Wording:
    """How the values of a front's members are said.

    Attributes:
        front: The front.
    """

    front: Front

    @cached_property
    def _scales(self) -> dict[str, Scale]:
        return scales(self.front)

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        return {axis.name: axis for axis in self.front.axes}

    def members(self) -> str:
        """Say how many members there are, and which bounds they keep."""
        bounds = " and ".join(str(bound) for bound in self.front.constraints)
        count = "the only member" if len(self.front) == 1 else f"the {len(self.front)} members"
        return f"{count} with {bounds}" if bounds else count

    def name(self, name: str) -> str:
        """Return the name of an objective without its unit: `latency`."""
        unit = self._axes[name].unit
        return name.removesuffix(f"_{unit}") if unit else name

    def number(self, name: str, value: float) -> str:
        """Write a value of an objective with its unit: `1.388 ms`."""
        scale = self._scales[name]
        unit = "" if scale.unit == "count" else scale.unit
        return f"{scale.number(value)} {unit}".rstrip()

    def difference(self, name: str, value: float) -> str:
        """Write a difference of two values; with more digits than these where it would be 0."""
        scale = self._scales[name]
        if value and not float(scale.number(value)):
            value = value / scale.factor
            unit = "" if scale.unit == "count" else scale.unit
            return f"{value:.1g} {unit}".rstrip()
        return self.number(name, value)

    def values(self, member: Member, names: Sequence[str]) -> str:
        """Write some of a member's values, each with its name."""
        values = {name: member.measurements[name].value for name in names}
        return ", ".join(f"{self.name(n)} {self.number(n, v)}" for n, v in values.items())

    def at(self, member: Member, name: str, beside: Sequence[str]) -> str:
        """Write a member's value of one objective, and at which values of others it is had."""
        own = self.number(name, member.measurements[name].value)
        return f"{own} at {self.values(member, beside)}" if beside else own

    def met(self, member: Member, name: str, wish: float) -> str:
        """Say how far a value is from a wish."""
        value, said = member.measurements[name].value, self.values(member, [name])
        short = value - wish if self._axes[name].direction is Direction.MINIMIZE else wish - value
        if short == 0:
            return f"{said}, as wished"
        word = "short of it" if short > 0 else "better"
        return f"{said}, {self.difference(name, abs(short))} {word}"

    def missed(self, member: Member, bound: Constraint) -> str:
        """Say by how much a member breaks a bound."""
        name = bound.objective
        value = member.measurements[name].value
        by = self.difference(name, bound.violation(value))
        share = percent(bound.relative_violation(value))
        return f"{self.values(member, [name])}, {by} ({share}) beyond {bound}"

    def overlap(self, one: Member, other: Member, name: str) -> str:
        """Say so if two values are not known to differ, else nothing."""
        a, b = one.measurements[name], other.measurements[name]
        measured = a.low < a.high or b.low < b.high
        overlapping = a.low <= b.high and b.low <= a.high
        return ", the same within the spread" if measured and overlapping else ""

    def doubtful(self, member: Member) -> Iterator[str]:
        """Yield the bounds that the same measurement, made again, may break."""
        for bound in self.front.constraints:
            measured = member.measurements[bound.objective]
            end = measured.high if bound.operator == "<=" else measured.low
            if bound.violation(measured.value) <= 0 < bound.violation(end):
                end_text = self.number(bound.objective, end)
                yield (
                    f"The bound {bound} is within the spread: measured again, "
                    f"{self.name(bound.objective)} may be {end_text}"
                )


def percent(share: float) -> str:
    """Write a share: `7 %`."""
    return f"{100 * share:.0f} %"
