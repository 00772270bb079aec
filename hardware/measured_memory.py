"""`measured_memory_mb`: how much memory ONNX Runtime takes for the deployed network, measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

import motemo.onnx as package
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.hardware.deployment import NetworkCost, check_batch
from motemo.hardware.spread import repetition_interval
from motemo.objective import Measurement, Stage
from motemo.space import Json

if TYPE_CHECKING:
    import onnx
    from torch import nn

_RESETS_PEAK = Path("/proc/self/clear_refs")
_TIMEOUT_SECONDS = 120


@final
@dataclass(frozen=True, kw_only=True)
class MeasuredMemory(NetworkCost):
    """Most private megabytes (10^6 bytes) of an ONNX Runtime session that runs. Lower is better.

    On top of what Python and the runtime themselves take, on this host's CPU, one thread, float32:
    weights, activations, and the session's own. Each repeat is a new process; the value is their
    mean. Loading the model takes more, for a moment: the record has it as `loading_mb`.

    Attributes:
        batch: Images of one inference.
        repeats: Processes that measure.

    Raises:
        SettingsError: A number is out of range.
    """

    name: str = "measured_memory_mb"
    batch: int = 1
    repeats: int = 3
    unit: str = field(default="MB", init=False)
    stage: Stage = field(default=Stage.MEASURE, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_batch(self.batch)
        if self.repeats < 2:
            raise SettingsError(
                "Measured memory needs repeats of at least 2 to know its spread; "
                f"got {self.repeats}."
            )

    def cost(self, network: nn.Module) -> Measurement:
        """Load and run the exported network in processes of its own.

        Raises:
            DeviceError: This is not Linux, or it does not tell the peak of a process's memory.
            EvaluationError: The network cannot be exported, loaded or run.
        """
        from motemo.onnx.graph import build_onnx
        from motemo.onnx.reference_model import reference_model

        _require_linux()
        with tempfile.TemporaryDirectory(prefix="motemo-") as folder:
            model, warm_up = Path(folder) / "model.onnx", Path(folder) / "warm_up.onnx"
            _write(build_onnx(network, self.input_shape, batch=self.batch), model)
            _write(reference_model(), warm_up)
            taken = [_footprint(model, warm_up) for _ in range(self.repeats)]
        running = [each["running"] / 1e6 for each in taken]
        low, middle, high = repetition_interval(running)
        page = os.sysconf("SC_PAGE_SIZE") / 1e6
        return Measurement(
            value=middle,
            unit=self.unit,
            low=low - page,
            high=high + page,
            record={
                "running_mb": list[Json](running),
                "loading_mb": [each["loading"] / 1e6 for each in taken],
            },
        )

    def identity(self) -> dict[str, Json]:
        """Deployment shape, classes, batch, repeats, runtime, host."""
        from motemo.host import host_identity
        from motemo.onnx.session import VERSION

        return {
            **super().identity(),
            "batch": self.batch,
            "repeats": self.repeats,
            "runtime": f"onnxruntime {VERSION}",
            **host_identity(),
        }


def _require_linux() -> None:
    if not _RESETS_PEAK.exists():
        raise DeviceError(
            f"No memory of a process: that needs Linux's {_RESETS_PEAK}, which is not here. Use "
            "the counted memory_mb instead."
        )


def _write(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString())


def _footprint(model: Path, warm_up: Path) -> dict[str, int]:
    program = Path(package.__file__).with_name("footprint.py")
    command = [sys.executable, "-P", str(program), str(model), str(warm_up)]
    try:
        done = subprocess.run(  # noqa: S603  (our own program, on files that we wrote)
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EvaluationError(
            f"ONNX Runtime did not load and run the model in {_TIMEOUT_SECONDS} s"
        ) from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EvaluationError(f"ONNX Runtime ended with status {done.returncode}: {last}")
    footprint: dict[str, int] = json.loads(done.stdout)
    return footprint
