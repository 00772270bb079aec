"""What the server of a device and its clients say to each other: JSON, and ONNX models as bytes.

`GET /v1/device` answers what the device is and what it accepts. `POST /v1/measure?settings=JSON`
takes an ONNX model as its body and answers with one JSON object per line, at least every few
seconds: how it stands (`state`), and at last what came out (`timing`, or `error` and `message`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from motemo.device import Timing, TimingProtocol
from motemo.errors import EvaluationError
from motemo.space import Json, Shape

DEVICE_PATH, MEASURE_PATH = "/v1/device", "/v1/measure"
DEFAULT_PORT = 8765
HEARTBEAT_SECONDS = 5.0
"""How often the server says that it is still there."""

T = TypeVar("T", Timing, TimingProtocol)


class Problem(StrEnum):
    """What can go wrong once a model has arrived."""

    EVALUATION = "evaluation"
    """This network cannot be measured, here and now."""
    DEVICE = "device"
    """Nothing can be measured."""
    DIED = "died"
    """The process that measured died, by the network or by something else."""
    ENDING = "ending"
    """The service is being ended."""


class MessageError(Exception):
    """A message that the other side should not have sent; perhaps it is of another version."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to measure the model that is sent.

    Attributes:
        input_shape: Shape of one image, (C, H, W).
        protocol: How long, and what counts as too busy.
    """

    input_shape: Shape
    protocol: TimingProtocol

    def to_json(self) -> str:
        """Return it as it is sent."""
        stored = {"input_shape": self.input_shape, "protocol": write(self.protocol)}
        return json.dumps(stored, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Read what `to_json` returned.

        Raises:
            MessageError: It is something else.
            SettingsError: A number of the protocol is out of range.
        """
        given = read_object(text)
        if given.keys() != {"input_shape", "protocol"}:
            raise MessageError(
                f"settings need input_shape and protocol; got {', '.join(given) or 'nothing'}"
            )
        shape = given["input_shape"]
        sizes = [size for size in shape if type(size) is int] if isinstance(shape, list) else []
        if len(sizes) != 3 or len(shape) != 3 or not all(0 < size <= 1 << 16 for size in sizes):
            raise MessageError(f"input_shape must be three positive numbers; got {shape!r}")
        channels, height, width = sizes
        return cls(
            input_shape=(channels, height, width), protocol=read(TimingProtocol, given["protocol"])
        )


def read_object(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MessageError: It is something else.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise MessageError(f"not a JSON object: {type(found).__name__}")
    return found


def write(value: Timing | TimingProtocol) -> dict[str, Json]:
    """Return the fields of a timing or a protocol, JSON-able."""
    return {
        name: list(field) if isinstance(field, tuple) else field
        for name, field in asdict(value).items()
    }


def read(kind: type[T], given: object) -> T:
    """Read what `write` returned; fields that are not given have their defaults.

    Raises:
        MessageError: It has fields that are unknown here, or of another type.
        SettingsError: A number is out of range.
    """
    if not isinstance(given, Mapping):
        raise MessageError(f"{kind.__name__} must be an object; got {given!r}")
    unknown = given.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise MessageError(
            f"{kind.__name__} has no {', '.join(sorted(unknown))} in this version of motemo; "
            "install the same version on both sides"
        )
    hints = get_type_hints(kind)
    try:
        return kind(**{name: _converted(value, hints[name]) for name, value in given.items()})
    except TypeError as error:
        raise MessageError(f"malformed {kind.__name__}: {error}") from error


def _converted(value: Any, hint: Any) -> Any:  # noqa: ANN401  (JSON, and types)
    """Return a JSON value as the type of a field.

    Raises:
        TypeError: It is of another type.
    """
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_converted(each, get_args(hint)[0]) for each in value)
    if get_origin(hint) is UnionType:
        return None if value is None else _converted(value, get_args(hint)[0])
    if get_origin(hint) is Mapping and isinstance(value, dict):
        return value
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise TypeError(f"{value!r} is not of type {hint}")


def line(**content: Json) -> bytes:
    """Return one line of an answer."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def failed(problem: Problem, message: str) -> dict[str, Json]:
    """Return the last line of an answer that is no timing."""
    return {"error": problem.value, "message": message}


def require_network(model: bytes, limit_mb: float) -> None:
    """Raise unless a model may be sent.

    Raises:
        EvaluationError: It is too large.
    """
    megabytes = len(model) / 1e6
    if megabytes > limit_mb:
        raise EvaluationError(
            f"the model has {megabytes:.1f} MB; the device accepts {limit_mb:g} MB "
            "('motemo serve-device --max-mb' sets that)"
        )
