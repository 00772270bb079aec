"""What is known of an architecture: every measurement, its rank, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement
from motemo.records import described_objectives
from motemo.rendering.quantities import Scale, scales
from motemo.space import Json

_DEVICE_FACTS = ("processor", "runtime", "precision", "threads", "batch")


@dataclass(frozen=True, kw_only=True)
class Known:
    """One measurement of an architecture.

    Attributes:
        axis: What was measured.
        measurement: The measurement.
        scale: How its numbers are written.
        rank: 1 if none of the evaluated is better.
        count: How many were evaluated.
        source: The device, or the data, as text; empty where neither matters.
    """

    axis: Axis
    measurement: Measurement
    scale: Scale
    rank: int
    count: int
    source: str


def known(member: Member, front: Front, elsewhere: Sequence[Front] = ()) -> list[Known]:
    """Return what is known of a member.

    Args:
        member: The member.
        front: The front that it belongs to.
        elsewhere: The same search, measured on other devices: fronts that share all but one
            objective with the first one.
    """
    described = described_objectives(front.settings or {})
    rows = [*_known(member, front, [axis.name for axis in front.axes])]
    for other in elsewhere:
        genotype = member.architecture.genotype
        same = [m for m in other.evaluated if m.architecture.genotype == genotype]
        theirs = described_objectives(other.settings or {})
        new = [name for name, objective in theirs.items() if described.get(name) != objective]
        rows += [row for m in same[:1] for row in _known(m, other, new)]
    return rows


def _known(member: Member, front: Front, names: Sequence[str]) -> Iterator[Known]:
    written, described = scales(front), described_objectives(front.settings or {})
    for axis in front.axes:
        if axis.name in names:
            yield Known(
                axis=axis,
                measurement=member.measurements[axis.name],
                scale=written[axis.name],
                rank=_rank(member, front, axis),
                count=len(front.evaluated),
                source=_source(described.get(axis.name, {}).get("identity")),
            )


def _rank(member: Member, front: Front, axis: Axis) -> int:
    sign = -1 if axis.direction is Direction.MAXIMIZE else 1
    values = [sign * other.measurements[axis.name].value for other in front.evaluated]
    own = sign * member.measurements[axis.name].value
    return 1 + sum(value < own for value in values)


def _source(identity: Json) -> str:
    """Return where an objective gets its values from: the device, or the data."""
    parts: Mapping[str, Json] = identity if isinstance(identity, dict) else {}
    device, data = parts.get("device"), parts.get("data")
    if isinstance(device, dict) and "name" in device:
        facts = [
            f"{key} {device[key]}" if key in ("threads", "batch") else str(device[key])
            for key in _DEVICE_FACTS
            if device.get(key) is not None
        ]
        return f"{device['name']} ({', '.join(facts)})" if facts else str(device["name"])
    if isinstance(data, dict) and "name" in data:
        return f"trained on {data['name']}"
    return ""
