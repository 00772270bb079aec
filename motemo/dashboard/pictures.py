"""Pictures and files of trials, made when somebody looks at them."""

from __future__ import annotations

import logging
import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial

from motemo import records
from motemo.dashboard.curves import curves_svg, finalist_curves, training_curves
from motemo.errors import MotemoError, OutputError
from motemo.finalist import Finalist, read_finalists
from motemo.rendering.drawing import architecture_svg
from motemo.space import Architecture, Space

_logger = logging.getLogger(__name__)

_FILES = (
    "models/trial_*.onnx",
    "trained/trial_*/*.safetensors",
)


@dataclass(frozen=True)
class Artifact:
    """A picture or file of a trial.

    Attributes:
        file: Its name for people.
        content: Makes or reads it.
    """

    file: str
    content: Callable[[], bytes]

    @property
    def is_picture(self) -> bool:
        """Whether it can be shown in a page."""
        return self.file.endswith(".svg")

    @property
    def title(self) -> str:
        """What it shows, in words."""
        return self.file.split(".")[0].replace("_", " ")

    @property
    def mimetype(self) -> str:
        """What it is, for a browser."""
        return mimetypes.guess_type(self.file)[0] or "application/octet-stream"


@dataclass(frozen=True)
class RunFiles:
    """What the folder of a run holds of its trials, by their numbers.

    Attributes:
        files: Models and weights.
        finalists: What was really trained.
    """

    files: Mapping[int, Sequence[Artifact]] = field(default_factory=dict)
    finalists: Mapping[int, Finalist] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> RunFiles:
        """Look into the folder of a run."""
        files: dict[int, list[Artifact]] = {}
        for pattern in _FILES:
            for path in sorted(folder.glob(pattern)):
                number = re.search(r"trial_(\d+)", path.relative_to(folder).as_posix())
                if number is not None and path.is_file():
                    known = files.setdefault(int(number[1]), [])
                    known.append(Artifact(path.name, path.read_bytes))
        try:
            finalists = {finalist.trial: finalist for finalist in read_finalists(folder)}
        except OutputError as error:
            _logger.warning("%s", error)
            finalists = {}
        return cls(files, finalists)


def artifacts_of(trial: FrozenTrial, space: Space, beside: RunFiles) -> list[Artifact]:
    """Return the artifacts of a trial: its architecture, its trainings, its files."""
    return [*_pictures(trial, space, beside.finalists), *beside.files.get(trial.number, ())]


def _pictures(
    trial: FrozenTrial, space: Space, finalists: Mapping[int, Finalist]
) -> Iterator[Artifact]:
    architecture = _architecture(trial, space)
    if architecture is not None:
        yield Artifact("architecture.svg", lambda: architecture_svg(architecture).encode())
    for number, curves in enumerate(training_curves(trial.user_attrs), start=1):
        name = "training.svg" if number == 1 else f"training_{number}.svg"
        yield Artifact(name, partial(curves_svg, curves))
    real = finalist_curves(finalists[trial.number]) if trial.number in finalists else ()
    if real:
        yield Artifact("real_training.svg", partial(curves_svg, real))


def _architecture(trial: FrozenTrial, space: Space) -> Architecture | None:
    """Return what was evaluated, or else what is written; None if it is incomplete or malformed."""
    genotype = trial.user_attrs.get(records.GENOTYPE)
    try:
        if genotype is not None:
            return space.architecture(genotype)
        return records.trial_architecture(space, trial)
    except MotemoError:
        return None
