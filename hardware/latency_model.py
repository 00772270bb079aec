"""Latency models: files that predict latencies on one device, with the error of each."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from motemo.errors import DataError, DeviceError, SettingsError
from motemo.files import write_atomically
from motemo.hardware.cost_samples import differences
from motemo.space import Architecture, Json, Space

VERSION = 1


@dataclass(frozen=True)
class Prediction:
    """A predicted latency.

    Attributes:
        value: Milliseconds.
        low: Lower end of the interval that a measurement falls into (95 %).
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """What a latency model stands for: measurements of one space's networks on one device.

    Attributes:
        space: The space.
        objective: Identity of the objective that measured; empty if others have measured.
    """

    space: Mapping[str, Json]
    objective: Mapping[str, Json]

    def require_space(self, space: Space) -> None:
        """Raise unless it stands for a space.

        Raises:
            SettingsError: It stands for another one.
        """
        if dict(self.space) != space.identity():
            raise SettingsError(
                "The latency model was made for another space: "
                f"{differences(self.space, space.identity())}. Make one for this space."
            )

    def require(self, *, space: Space, objective: Mapping[str, Json]) -> None:
        """Raise unless the same would be measured in the same way.

        How long to measure may differ.

        Raises:
            SettingsError: The model is of another space, input shape or number of classes.
            DeviceError: It is of another device.
        """
        self.require_space(space)
        if not self.objective:
            return
        for name in ("input_shape", "classes"):
            if self.objective[name] != objective[name]:
                raise SettingsError(
                    f"The latency model was made with {name} {self.objective[name]} and cannot "
                    f"predict for {objective[name]}. Make one for this deployment."
                )
        made_on, wanted = self.objective["device"], objective.get("device")
        made_on, wanted = (_runtime(device) for device in (made_on, wanted))
        if made_on and wanted and made_on != wanted:
            raise DeviceError(
                f"The latency model was made on another device: {differences(made_on, wanted)}. "
                "Make one on this device, or name the device that it was made on."
            )


def _runtime(device: Json) -> dict[str, Json]:
    """Return what a latency depends on: neither what a device is called, nor images."""
    if not isinstance(device, Mapping):
        return {}
    return {key: value for key, value in device.items() if key not in ("name", "calibration")}


class LatencyModel(ABC):
    """Predicts latencies on one device.

    Attributes:
        kind: Name of the kind, in files.
        measured: What it stands for.
    """

    kind: ClassVar[str]
    measured: Measured

    @abstractmethod
    def predict(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        """Predict the latency of each architecture, as written.

        Raises:
            EvaluationError: A network cannot be looked at.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Json]:
        """Return what `read_latency_model` needs to make it again."""

    def write(self, path: Path) -> None:
        """Write it to a file."""
        described: dict[str, Json] = {
            "latency_model": self.kind,
            "version": VERSION,
            "space": dict(self.measured.space),
            "measured": dict(self.measured.objective),
        }
        write_atomically(path, json.dumps({**described, **self.to_json()}, indent=1) + "\n")


def read_latency_model(path: Path, space: Space) -> LatencyModel:
    """Read a file that `LatencyModel.write` wrote.

    Args:
        path: The file.
        space: The space of the architectures that are to be predicted.

    Raises:
        DataError: The file cannot be read, or holds something else.
        SettingsError: The model is of another space.
    """
    try:
        document = json.loads(path.read_text())
        if document["version"] != VERSION:
            raise DataError(
                f"{path} is of version {document['version']} of latency models, and this motemo "
                f"reads version {VERSION}. Make it again."
            )
        measured = Measured(document["space"], document["measured"])
        measured.require_space(space)
        return _from_json(document, measured, space)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(
            f"Cannot read a latency model from {path}: {type(error).__name__}: {error}. Give a "
            "file that 'motemo latency-model' wrote."
        ) from error


def _from_json(document: Mapping[str, Any], measured: Measured, space: Space) -> LatencyModel:
    from motemo.hardware.lookup import LookupTable
    from motemo.hardware.transferred_latency import TransferredLatency

    kind = document["latency_model"]
    if kind == LookupTable.kind:
        return LookupTable.from_json(document, measured)
    if kind == TransferredLatency.kind:
        return TransferredLatency.from_json(document, measured, space)
    raise ValueError(f"unknown kind {kind!r}")
