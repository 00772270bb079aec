"""A front as data: pandas frame, CSV and JSON. The one file that imports pandas."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeAlias

import pandas as pd

from motemo.constraint import Constraint
from motemo.front import Axis, Front, Member
from motemo.objective import Measurement
from motemo.space import Json

FORMAT = "motemo.front"
FORMAT_VERSION = 1

_Object: TypeAlias = dict[str, Json]
_LARGEST_EXACT = 2.0**53


def to_frame(front: Front) -> pd.DataFrame:
    """Return the members as a frame: columns trial, arch, then one per objective.

    Values are point values in the objective's unit and in full precision. A column of whole
    numbers, such as `params`, has an integer type.
    """
    columns: dict[str, pd.Series] = {
        "trial": pd.Series([member.trial for member in front], dtype="int64"),
        "arch": pd.Series([member.architecture.genotype for member in front], dtype="str"),
    }
    for axis in front.axes:
        values = [float(member.measurements[axis.name].value) for member in front]
        whole = bool(values) and all(isinstance(_number(value), int) for value in values)
        columns[axis.name] = pd.Series(values, dtype="float64").astype(
            "int64" if whole else "float64"
        )
    return pd.DataFrame(columns)


def to_csv(front: Front) -> str:
    """Return the frame of `to_frame` as CSV: a header line, then one line per member."""
    return str(to_frame(front).to_csv(index=False, lineterminator="\n"))


def to_json(front: Front) -> str:
    """Return the whole front as JSON: settings, axes, members with spreads, all evaluated.

    The JSON is strict: a number that JSON cannot write (an infinity, NaN) is null.
    """
    content: _Object = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "settings": _strict(dict(front.settings or {})),
        "axes": [_axis(axis) for axis in front.axes],
        "constraints": [_constraint(constraint) for constraint in front.constraints],
        "feasible": front.feasible,
        "evaluated_count": len(front.evaluated),
        "members": [_member(member, front) for member in front],
        "evaluated": [_evaluated(member, front) for member in front.evaluated],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _axis(axis: Axis) -> _Object:
    return {"name": axis.name, "unit": axis.unit, "direction": axis.direction.value}


def _constraint(constraint: Constraint) -> _Object:
    return {
        "objective": constraint.objective,
        "operator": constraint.operator,
        "bound": _number(constraint.bound),
    }


def _member(member: Member, front: Front) -> _Object:
    measurements = {a.name: _measurement(member.measurements[a.name]) for a in front.axes}
    return {
        "trial": member.trial,
        "arch": member.architecture.genotype,
        "key": member.architecture.key,
        "measurements": dict[str, Json](measurements),
    }


def _measurement(measurement: Measurement) -> _Object:
    return {
        "value": _number(measurement.value),
        "unit": measurement.unit,
        "low": _number(measurement.low),
        "high": _number(measurement.high),
    }


def _evaluated(member: Member, front: Front) -> _Object:
    values = {a.name: _number(member.measurements[a.name].value) for a in front.axes}
    return {
        "trial": member.trial,
        "arch": member.architecture.genotype,
        "values": dict[str, Json](values),
    }


def _number(value: float) -> int | float | None:
    """Return a value as JSON writes it: whole numbers without a point, None if not finite."""
    if not math.isfinite(value):
        return None
    whole = float(value).is_integer() and abs(value) < _LARGEST_EXACT
    return int(value) if whole else float(value)


def _strict(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
