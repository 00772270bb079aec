"""Exporting the members of a front as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from motemo.errors import EvaluationError
from motemo.files import write_atomically
from motemo.front import Front, Member
from motemo.onnx.graph import build_onnx
from motemo.onnx.session import example_images, open_session
from motemo.space import Shape

BATCH_AXIS = "N"
UNTRAINED = {"motemo.weights": "untrained"}
TRAINED = {"motemo.weights": "trained"}
_PATTERN = "trial_*.untrained.onnx"
_TOLERANCE = 1e-4
_BATCH = 2


@dataclass(frozen=True)
class Exported:
    """What became of one member: the file, or why there is none."""

    member: Member
    path: Path | None = None
    failure: str | None = None


def export_onnx(
    front: Front, folder: Path, *, input_shape: Shape, classes: int, seed: int = 0
) -> list[Exported]:
    """Write every member as `trial_<number>.untrained.onnx`, batch size free.

    Weights are initial ones, a function of `seed`, and the model says so in its metadata
    (`motemo.weights = untrained`). Every file is loaded in ONNX Runtime and compared with the
    torch network before it is written. Models of an earlier front in the folder are removed.

    Args:
        front: The front.
        folder: Where to write; created if need be.
        input_shape: Deployment shape of one image, (C, H, W).
        classes: Number of classes.
        seed: Seed of the weights.

    Returns:
        One result per member, in order. What fails for one member does not touch the others.
    """
    results = []
    for member in front:
        path = folder / f"trial_{member.trial:04d}.untrained.onnx"
        try:
            network = member.architecture.build(
                input_shape=input_shape, classes=classes, seed=seed
            ).eval()
            metadata = described(member) | UNTRAINED | {"motemo.seed": str(seed)}
            model = checked_onnx(network, input_shape, metadata=metadata)
        except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
            results.append(Exported(member, failure=f"{type(error).__name__}: {error}"))
            continue
        write_atomically(path, model.SerializeToString())
        results.append(Exported(member, path))
    written = {result.path for result in results}
    for old in folder.glob(_PATTERN):
        if old not in written:
            old.unlink()
    return results


def checked_onnx(
    network: nn.Module, input_shape: Shape, *, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Return a network as an ONNX model for batches of any size, checked to compute the same.

    Args:
        network: Maps images `(N, C, H, W)` to logits `(N, K)`; in evaluation mode.
        input_shape: Shape of one image, (C, H, W).
        metadata: Entries of the model's metadata; `motemo.weights` says what its weights are.

    Raises:
        EvaluationError: It cannot be exported, or computes something else.
    """
    model = build_onnx(network, input_shape, batch=BATCH_AXIS, metadata=metadata)
    untrained = metadata.items() >= UNTRAINED.items()
    remark = "Initial, UNTRAINED weights: train before use." if untrained else "Trained weights."
    model.doc_string = f"Exported by motemo. {remark}"
    check_equal(model, network, input_shape)
    return model


def check_equal(model: onnx.ModelProto, network: nn.Module, input_shape: Shape) -> None:
    """Run the model and the network on the same random images and compare.

    Raises:
        EvaluationError: They differ by more than 1e-4 of the largest logit.
    """
    images = example_images(input_shape, batch=_BATCH)
    got = open_session(model)(images)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    scale = float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(got - expected).max()) / scale
    if not difference <= _TOLERANCE:
        raise EvaluationError(
            f"the ONNX model differs from the torch network by {difference:.2e} of the largest "
            f"logit; at most {_TOLERANCE} is allowed"
        )


def described(member: Member) -> dict[str, str]:
    """Return what a file of a model says of its architecture: space, genotype, measurements."""
    return {
        "motemo.space": member.architecture.space.name,
        "motemo.genotype": member.architecture.genotype,
        "motemo.trial": str(member.trial),
        **{
            f"motemo.{name}": f"{measurement.value!r} {measurement.unit}"
            for name, measurement in member.measurements.items()
        },
    }
