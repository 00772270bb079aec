"""The members of a front, measured on a device, and the front redrawn."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from motemo.cli.console import note
from motemo.cli.progress_bar import progress_bar
from motemo.cli.settings import create_device
from motemo.constraint import Constraint
from motemo.errors import SettingsError

if TYPE_CHECKING:
    from motemo.front import Front
    from motemo.hardware.latency import Latency
    from motemo.run_folder import RunFolder
    from motemo.space import Shape

PREDICTED = "predicted_latency_ms"


def measured_front(
    front: Front,
    device: str,
    folder: RunFolder,
    *,
    threads: int | None = None,
    replaces: str | None = None,
    input_shape: Shape | None = None,
) -> Front:
    """Measure the latency of the members, and redraw the front with it.

    What is measured is kept in the folder's storage, in a study of its own. A bound on a predicted
    latency becomes one on the measured latency.

    Args:
        front: The answer of a search.
        device: Name of the device.
        folder: The run's folder.
        threads: Threads of one inference; None leaves it to the device.
        replaces: The cost in whose place the latency comes; by default the one in milliseconds, or
            else flops, or params.
        input_shape: Deployment shape to measure at; None takes that of the search.

    Raises:
        SettingsError: There is nothing that it could replace.
        DeviceError: The device is not available here.
    """
    from motemo.hardware.latency import Latency
    from motemo.records import stored_deployment
    from motemo.rescoring import rescore

    replaced = replaces or cost_to_replace(front)
    shape, classes = stored_deployment(front.settings)
    latency = Latency(
        device=create_device(device, threads),
        input_shape=input_shape or shape,
        classes=classes,
    )
    with progress_bar(f"measuring on {device}") as on_progress:
        redrawn = rescore(
            front,
            latency,
            max(1, len(front)),
            replaces=replaced,
            storage=folder.storage_url,
            study_name=f"{folder.study_name} on {device} {_digest(latency, replaced)}",
            on_progress=on_progress,
        )
    measured = f"{len(redrawn.evaluated)} of {len(front)} members measured"
    note(f"{latency.name} on {device} in place of {replaced}: {measured}, {len(redrawn)} stay")
    bounds = [c for c in front.constraints if c.objective == replaced == PREDICTED]
    return redrawn.within(*(str(_on(bound, latency.name)) for bound in bounds))


def predicts_latency(front: Front) -> bool:
    """Return whether a front has predicted latencies and no measured ones."""
    names = [axis.name for axis in front.axes]
    return PREDICTED in names and "latency_ms" not in names


def _digest(latency: Latency, replaced: str) -> str:
    """Return a short name of how it is measured: another way gets another study."""
    text = json.dumps([latency.identity(), replaced], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _on(bound: Constraint, objective: str) -> Constraint:
    return replace(bound, objective=objective)


def cost_to_replace(front: Front) -> str:
    """Return the cost that says most of how fast a network is."""
    milliseconds = [axis.name for axis in front.axes if axis.unit == "ms"]
    names = [axis.name for axis in front.axes]
    counted = [name for name in ("flops", "params") if name in names]
    if not milliseconds + counted:
        raise SettingsError(
            "The front has no latency, flops or params that a latency could replace. Say by "
            f"--replaces which of {', '.join(names)} it does."
        )
    return (milliseconds + counted)[0]
