"""Writing deployment folders, one per chosen model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from motemo.claimed_folder import alone_in
from motemo.deployment.contents import Task
from motemo.deployment.owned_folder import check_ours, replace_folder
from motemo.errors import OutputError, SettingsError
from motemo.finalist import Finalist
from motemo.front import Front, Member
from motemo.space import Json

if TYPE_CHECKING:
    from motemo.data.dataset import ImageData

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with how many folders are done, and how many there will be."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What became of one chosen model.

    Attributes:
        trial: Number of its trial.
        folder: Its folder, or None if it failed.
        trained: Whether the weights are trained.
        int8: How the int8 model differs from float32 (`motemo.hardware.output_difference`), or why
            there is none.
        failure: Why there is no folder, or None.
    """

    trial: int
    folder: Path | None = None
    trained: bool = False
    int8: Mapping[str, Json] | str = ""
    failure: str | None = None


def deploy(
    front: Front,
    trials: Sequence[int],
    out: Path,
    *,
    data: ImageData | None = None,
    program: bool = False,
    finalists: Sequence[Finalist] = (),
    elsewhere: Sequence[Front] = (),
    commands: Sequence[str] = (),
    on_progress: OnProgress = lambda _done, _wanted: None,
) -> list[Deployed]:
    """Write `out/trial_<number>/` for each chosen model: all that it takes to run and to judge it.

    `model.onnx`, `model_int8.onnx`, `weights.safetensors`, `architecture.json`,
    `architecture.svg`, `MODEL_CARD.md` and `run.py`, which needs onnxruntime and numpy alone.
    Weights are those of the finalist of this trial; where there is none they are initial, and the
    names of the files say `untrained`. The ONNX model is checked to equal the torch network.

    A folder that motemo wrote earlier is replaced as a whole; one with anything else in it stays.

    Args:
        front: The front of the search.
        trials: Numbers of evaluated trials.
        out: Where the folders are to be.
        data: Images for the int8 model, which is left out without; class names of untrained models.
        program: Whether to write `program.pt2` of `torch.export`, too.
        finalists: Trained networks of this search (`motemo.finalist.read_finalists`).
        elsewhere: Fronts of this search, measured on other devices: more costs for the card.
        commands: Shell commands that repeat the search, for the card.
        on_progress: Called at the start and after every model.

    Returns:
        One result per trial, in order. What fails for one does not touch the others.

    Raises:
        SettingsError: A trial was not evaluated, or no trial is given.
        OutputError: A folder holds something else, or `out` cannot be made.
    """
    chosen = [_member(front, trial) for trial in dict.fromkeys(trials)]
    if not chosen:
        raise SettingsError("No trial is given. Give the number of at least one.")
    for member in chosen:
        check_ours(_place(out, member))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make {out}: {error}. Give a folder that can be made.") from error
    results = []
    with alone_in(out, "export"):
        on_progress(0, len(chosen))
        for member in chosen:
            task = Task(
                member=member,
                front=front,
                data=data,
                program=program,
                finalists=finalists,
                elsewhere=elsewhere,
                commands=commands,
            )
            results.append(_written(task, _place(out, member)))
            on_progress(len(results), len(chosen))
    return results


def _member(front: Front, trial: int) -> Member:
    found = {member.trial: member for member in front.evaluated}
    if trial not in found:
        some = ", ".join(str(member.trial) for member in front.members[:12])
        raise SettingsError(
            f"Trial {trial} was not evaluated in this search. On the front are: {some or 'none'}. "
            "'motemo front' and 'motemo select' show the numbers."
        )
    return found[trial]


def _place(out: Path, member: Member) -> Path:
    return out / f"trial_{member.trial:04d}"


def _written(task: Task, folder: Path) -> Deployed:
    """Write the folder of one model, and say what became of it."""
    trial = task.member.trial
    if task.finalist is not None and task.finalist.failure is not None:
        return Deployed(trial=trial, failure=f"its training failed: {task.finalist.failure}")
    try:
        contents = task.contents()
    except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
        return Deployed(trial=trial, failure=f"{type(error).__name__}: {error}")
    replace_folder(folder, contents.facts, contents.files)
    return Deployed(
        trial=trial, folder=folder, trained=task.finalist is not None, int8=contents.int8
    )
