"""Finalists: architectures of a front that were really trained, and the files that tell of them.

A finalist is a folder such as `RUN/trained/trial_0012`. It holds `finalist.json`, and
`weights.safetensors` unless the training failed: the state of the full network,
`architecture.build(input_shape=..., classes=...)`. Until it is finished there is `checkpoint.pt`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from motemo.errors import OutputError
from motemo.files import write_atomically
from motemo.space import Json, Shape

FOLDER = "trained"
"""Folder of the finalists inside that of a run, unless they are given another name."""
_FILE, _WEIGHTS = "finalist.json", "weights.safetensors"
_FORMAT = 1
_WHOLE = ("trial", "classes", "val_images", "epochs")
_SHARES = ("val_accuracy", "val_low", "val_high")


@dataclass(frozen=True)
class EpochResult:
    """What one epoch of a training came to.

    Attributes:
        epoch: 1 for the first.
        train_loss: Mean loss over its steps, label smoothing included. Lower is better.
        val_loss: Mean cross-entropy on the validation images after it. Lower is better.
        val_accuracy: Share of the validation images that are named right. Higher is better.
        seconds: Wall clock of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One architecture, trained for real.

    A network is given images with pixel values in [0, 1], less `mean`, divided by `std`.

    Attributes:
        trial: Number of its trial in the study of the search.
        genotype: What was trained.
        space: Name of its space.
        input_shape: Shape of one image, (C, H, W).
        classes: Number of classes.
        class_names: Their names.
        mean: Mean of each channel over the training images, of pixel values in [0, 1].
        std: Their standard deviation.
        val_accuracy: Share of the validation images that the trained network names right, in
            [0, 1]; higher is better. None if the training failed.
        val_low: Lower end of its 95 % interval (Wilson), or None.
        val_high: Upper end.
        val_images: How many validation images there were.
        epochs: Passes over the training images that were asked for.
        recipe: How it was trained.
        curve: The epochs.
        failure: Why there is no accuracy, or None.
        folder: Where its files are.
    """

    trial: int
    genotype: str
    space: str
    input_shape: Shape
    classes: int
    class_names: tuple[str, ...] = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    val_accuracy: float | None
    val_low: float | None
    val_high: float | None
    val_images: int
    epochs: int
    recipe: Mapping[str, Json] = field(repr=False)
    curve: tuple[EpochResult, ...] = field(repr=False)
    failure: str | None
    folder: Path

    @property
    def weights(self) -> Path:
        """The trained weights; there are none if the training failed."""
        return self.folder / _WEIGHTS

    @property
    def seconds(self) -> float:
        """Seconds of all epochs."""
        return sum(epoch.seconds for epoch in self.curve)


def finalist_folder(place: Path, trial: int) -> Path:
    """Return the folder of a finalist inside that of all."""
    return place / f"trial_{trial:04d}"


def write_finalist(finalist: Finalist, weights: bytes | None) -> None:
    """Write the files of a finalist; `finalist.json` last, so that it vouches for the rest.

    Args:
        finalist: What is known of it.
        weights: What `weights.safetensors` is to hold; None if the training failed.
    """
    content = {"format": _FORMAT, **asdict(finalist)}
    del content["folder"]
    if weights is not None:
        write_atomically(finalist.weights, weights)
    text = json.dumps(content, indent=1, allow_nan=False)
    write_atomically(finalist.folder / _FILE, text + "\n")


def read_finalist(folder: Path) -> Finalist | None:
    """Return the finalist of a folder, or None while it is not finished.

    Raises:
        OutputError: Its file is damaged, or of another version.
    """
    file = folder / _FILE
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text())
        return _finalist(content, folder)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(
            f"Cannot read {file}: {error}. It is not of this version of motemo, or damaged; "
            f"delete {folder} to train this one again."
        ) from error


def read_finalists(run: Path, *, name: str = FOLDER) -> tuple[Finalist, ...]:
    """Return all finished finalists of a run, by trial; those that failed, too.

    Args:
        run: Folder of the run.
        name: Folder of the finalists inside it.

    Raises:
        OutputError: A file is damaged, or of another version.
    """
    folders = sorted((run / name).glob("trial_*"))
    found = [finalist for finalist in map(read_finalist, folders) if finalist is not None]
    return tuple(sorted(found, key=lambda finalist: finalist.trial))


def _finalist(content: dict[str, Any], folder: Path) -> Finalist:
    if content.pop("format") != _FORMAT:
        raise ValueError("its format is another one")
    unknown = content.keys() ^ {f.name for f in fields(Finalist) if f.name != "folder"}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} missing or unknown")
    content["curve"] = tuple(EpochResult(**epoch) for epoch in content["curve"])
    for name in ("input_shape", "class_names", "mean", "std"):
        content[name] = tuple(content[name])
    _check_kinds(content)
    return Finalist(**content, folder=folder)


def _check_kinds(content: Mapping[str, Any]) -> None:
    """Raise ValueError unless each entry is of its kind: pages show numbers as they are."""
    whole = [*(content[name] for name in _WHOLE), *content["input_shape"]]
    numbers = [number for epoch in content["curve"] for number in vars(epoch).values()]
    numbers += [content[name] for name in _SHARES if content[name] is not None]
    numbers += [*content["mean"], *content["std"]]
    texts = [content["genotype"], content["space"], *content["class_names"]]
    texts += [] if content["failure"] is None else [content["failure"]]
    wrong = [value for value in whole if type(value) is not int]
    wrong += [x for x in numbers if type(x) not in (int, float) or not math.isfinite(x)]
    wrong += [value for value in texts if not isinstance(value, str)]
    wrong += [value for value in [content["recipe"]] if not isinstance(value, dict)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not of the right kind")
