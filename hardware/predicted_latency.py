"""`predicted_latency_ms`: latency by a model that was made beforehand, without measuring."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from motemo.device import Device
from motemo.errors import DataError, SettingsError
from motemo.hardware.deployment import check_deployment
from motemo.hardware.latency_model import LatencyModel, read_latency_model
from motemo.objective import Direction, Measurement, Objective, Outcome, Stage, evaluate_each
from motemo.space import Architecture, Json, Shape, Space


@dataclass(frozen=True, kw_only=True)
class PredictedLatency(Objective):
    """Milliseconds of one run on a device, as a latency model predicts them. Lower is better.

    The spread is where a measurement may fall (95 %), as far as the model knows.

    Attributes:
        model: File of the model, which `motemo latency-model` writes.
        device: The device that is meant; None takes the model's, whichever it is.
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes of the deployed network.
    """

    model: str = ""
    device: Device | None = None
    name: str = "predicted_latency_ms"
    input_shape: Shape = (3, 32, 32)
    classes: int = 10
    unit: str = field(default="ms", init=False)
    direction: Direction = field(default=Direction.MINIMIZE, init=False)
    stage: Stage = field(default=Stage.COUNT, init=False)
    occupies_host: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check_deployment(self.input_shape, self.classes)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Predict the latency of each network as written.

        Raises:
            SettingsError: No model is given, or it is of another space or deployment.
            DataError: The file holds no model.
            DeviceError: The model is of another device.
        """
        return evaluate_each(architectures, self._predict)

    def identity(self) -> dict[str, Json]:
        """Deployment, device, and a digest of the model.

        Raises:
            SettingsError: No model is given.
            DataError: The file cannot be read.
        """
        return {**self._deployment(), "model_sha256": _digest(self._path())}

    def _predict(self, architecture: Architecture) -> Measurement:
        path = self._path()
        model = _read(path, _digest(path), architecture.space)
        model.measured.require(space=architecture.space, objective=self._deployment())
        [found] = model.predict([architecture])
        return Measurement(value=found.value, unit=self.unit, low=found.low, high=found.high)

    def _deployment(self) -> dict[str, Json]:
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "device": None if self.device is None else self.device.identity(),
        }

    def _path(self) -> Path:
        if not self.model:
            raise SettingsError(
                f"{self.name} needs a latency model: make one with 'motemo latency-model', and "
                f"give it by --set {self.name}.model=FILE."
            )
        return Path(self.model)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read the latency model: {error}. Give the file's path.") from error


@lru_cache(maxsize=4)
def _read(path: Path, _digest: str, space: Space) -> LatencyModel:
    return read_latency_model(path, space)
