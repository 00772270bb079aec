"""A full training that is kept in a folder: with a checkpoint after every epoch.

Whatever ends the process, the same call goes on from the last checkpoint, and ends with the very
weights and accuracy of a training that nobody interrupted.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from motemo.errors import EvaluationError, OutputError
from motemo.files import write_atomically
from motemo.finalist import EpochResult, Finalist, read_finalist, write_finalist
from motemo.objective import Measurement
from motemo.objectives.accuracy import Accuracy
from motemo.objectives.full_training import FullTraining, OnStep, go_on
from motemo.space import Architecture, Json

_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Place:
    """Where one architecture is trained.

    Attributes:
        architecture: What to train.
        trial: Number of its trial in the study of the search.
        folder: Folder of its files.
    """

    architecture: Architecture
    trial: int
    folder: Path


def train_in(place: Place, accuracy: Accuracy, *, on_step: OnStep = go_on) -> Finalist:
    """Train an architecture, or go on, and write its files; what is finished is only read.

    A training that goes wrong, because it diverges or the network cannot be built or run, is
    written as a finalist with the reason.

    Raises:
        OutputError: The folder holds the training of something else, or damaged files.
        OutOfMemoryError: torch's own; what there is of the training is kept.
    """
    finished = read_finalist(place.folder)
    if finished is not None:
        same = finished.genotype == place.architecture.genotype
        _check(same and finished.recipe == _told(accuracy), place)
        return finished
    curve: Sequence[EpochResult] = ()
    weights: bytes | None = None
    failure: str | None = None
    try:
        training = accuracy.training(place.architecture)
        curve = training.curve
        _take_up(training, place, accuracy)
        for _ in training.epochs(on_step):
            _put_aside(training, place, accuracy)
        weights = weights_of(training.network)
    except (OSError, OutputError, torch.OutOfMemoryError):
        raise
    except EvaluationError as error:
        failure = str(error)
    except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
        failure = f"{type(error).__name__}: {error}"
    measured = accuracy.measurement(curve) if failure is None else None
    finalist = _finalist(place, accuracy, curve, measured=measured, failure=failure)
    write_finalist(finalist, weights)
    (place.folder / _CHECKPOINT).unlink(missing_ok=True)
    return finalist


def weights_of(network: nn.Module) -> bytes:
    """Return the state of a network, as a safetensors file holds it."""
    state = network.state_dict()
    return save({k: v.detach().cpu().contiguous().clone() for k, v in state.items()})


def _finalist(
    place: Place,
    accuracy: Accuracy,
    curve: Sequence[EpochResult],
    *,
    measured: Measurement | None,
    failure: str | None,
) -> Finalist:
    return Finalist(
        trial=place.trial,
        genotype=place.architecture.genotype,
        space=place.architecture.space.name,
        input_shape=accuracy.data.image_shape,
        classes=accuracy.data.classes,
        class_names=accuracy.data.class_names,
        mean=accuracy.images.mean,
        std=accuracy.images.std,
        val_accuracy=None if measured is None else measured.value,
        val_low=None if measured is None else measured.low,
        val_high=None if measured is None else measured.high,
        val_images=len(accuracy.split.val),
        epochs=accuracy.recipe.epochs,
        recipe=_told(accuracy),
        curve=tuple(curve),
        failure=failure,
        folder=place.folder,
    )


def _told(accuracy: Accuracy) -> dict[str, Json]:
    """Return what is told of a training: its identity, and what follows from data and device."""
    told: dict[str, Json] = json.loads(json.dumps(accuracy.identity()))
    recipe = accuracy.recipe
    used: dict[str, Json] = {"learning_rate": recipe.peak, "weight_decay": recipe.decay}
    told["recipe"] = {**recipe.identity(), **used}
    told["mirrored"] = accuracy.images.mirrored
    return told


def _put_aside(training: FullTraining, place: Place, accuracy: Accuracy) -> None:
    content = {"of": _digest(place, accuracy), "state": training.state()}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(place.folder / _CHECKPOINT, buffer.getvalue())


def _take_up(training: FullTraining, place: Place, accuracy: Accuracy) -> None:
    """Go on from the checkpoint, if there is one."""
    file = place.folder / _CHECKPOINT
    if not file.exists():
        return
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        of, state = content["of"], content["state"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.PickleError) as error:
        raise OutputError(
            f"Cannot read {file}: {error}. Delete it to train this one from the start."
        ) from error
    _check(of == _digest(place, accuracy), place)
    training.resume(state)


def _digest(place: Place, accuracy: Accuracy) -> str:
    """Return what a checkpoint is of: architecture, space and everything that trains."""
    architecture = place.architecture
    whole = [architecture.genotype, architecture.space.identity(), accuracy.identity()]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _check(same: bool, place: Place) -> None:
    if not same:
        raise OutputError(
            f"The folder {place.folder} holds the training of another architecture, or by other "
            "settings. Give these finalists another name."
        )
