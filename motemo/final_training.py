"""Training the finalists of a front for real, and what their estimates were worth.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024, for the top-k stage. Deviation: finalists are compared on
held-out images, not on test images.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from motemo.claimed_folder import alone_in, is_marked, read_object
from motemo.comparison import Agreement, Compared, compare
from motemo.errors import SettingsError
from motemo.evaluation import undisturbed
from motemo.files import write_atomically
from motemo.finalist import Finalist, finalist_folder, read_finalist
from motemo.front import Axis, Front, Member
from motemo.objectives.accuracy import Accuracy
from motemo.objectives.full_training_crew import KeptAccuracy, Report, say_nothing
from motemo.objectives.full_training_folder import Place
from motemo.records import differences
from motemo.rescoring import best_trials, rescore
from motemo.space import Json

_MARKER = "training.json"


@dataclass(frozen=True)
class Trained:
    """What came of training finalists.

    Attributes:
        front: The front, with validation accuracy in place of the estimate.
        replaced: The estimate.
        rows: The finalists, in the order of the estimate; those that failed, too.
        agreement: How well the estimate ranked those that did not fail.
    """

    front: Front
    replaced: Axis
    rows: tuple[Compared, ...]
    agreement: Agreement

    @property
    def finalists(self) -> tuple[Finalist, ...]:
        """All finalists, the best by the estimate first."""
        return tuple(row.finalist for row in self.rows)


def train_finalists(
    front: Front,
    accuracy: Accuracy,
    folder: Path,
    *,
    k: int = 10,
    trials: Collection[int] = (),
    replaces: str | None = None,
    together: int = 1,
    space_name: str | None = None,
    storage: str | None = None,
    study_name: str = "trained",
    report: Report = say_nothing,
) -> Trained:
    """Train the best of a front, or given trials, and redraw the front with what they reach.

    Each is trained in a folder of its own (`motemo.finalist`), with a checkpoint after every
    epoch. What is interrupted goes on when it is called again, and ends as if it had not been;
    what is finished is not trained again. All finalists of the folder are on the new front.

    Args:
        front: The result of a search.
        accuracy: How to train.
        folder: Folder of the finalists; new, or that of an earlier call with the same training.
        k: How many of the best to train, as `motemo.rescore` ranks them.
        trials: Train these instead.
        replaces: The estimate in whose place accuracy comes; see `motemo.rescore`.
        together: How many to train at once, each on one core of the CPU, or all on one GPU.
        space_name: Name of the space, `FILE.py:NAME`, by which other processes make one's own.
        storage: Storage URL for the new front, as a study that `motemo.read_front` reads.
        study_name: Name of that study.
        report: Called now and then.

    Raises:
        SettingsError: The folder's finalists were trained by other settings, or a number is out
            of range.
        OutputError: The folder holds something else, or another process trains in it.
        EvaluationError: A process that trained died.
    """
    wanted = list(dict.fromkeys(trials)) or best_trials(front, k)
    space = next(iter(_places(front, wanted, folder).values())).architecture.space
    is_marked(folder / _MARKER)  # so that nothing is put into the folder of something else
    folder.mkdir(parents=True, exist_ok=True)
    with alone_in(folder, "train"):
        _claim(folder, {"space": space.identity(), **accuracy.identity()})
        kept = KeptAccuracy(
            accuracy=accuracy,
            places=_places(front, [*wanted, *_succeeded(front, folder, but=wanted)], folder),
            together=together,
            space_name=space_name,
            report=report,
        )
        redrawn = rescore(
            front,
            kept,
            len(kept.places),
            trials=[place.trial for place in kept.places.values()],
            replaces=replaces,
            storage=storage,
            study_name=study_name,
        )
        lost = [m.architecture for m in redrawn.evaluated if _is_lost(m, folder)]
        if lost:  # the study knows their values, but their files are gone
            with undisturbed(kept):
                kept.evaluate(lost)
    found = [read_finalist(place.folder) for place in kept.places.values()]
    return _compared(front, redrawn, [finalist for finalist in found if finalist is not None])


def _claim(folder: Path, settings: Mapping[str, Json]) -> None:
    """Write into the folder of which space its finalists are and how they are trained, or check."""
    given: dict[str, Json] = json.loads(json.dumps(settings))
    marker = folder / _MARKER
    if not is_marked(marker):
        write_atomically(marker, json.dumps(given, indent=1) + "\n")
        return
    found = list(differences(read_object(marker), given))
    if found:
        raise SettingsError(
            f"The finalists in {folder} are of another space, or trained by other settings:\n  "
            + "\n  ".join(found)
            + "\nTrain by the same settings, or give these finalists another name (--name)."
        )


def _places(front: Front, trials: Sequence[int], folder: Path) -> dict[str, Place]:
    """Return where each is trained, by genotype.

    Raises:
        SettingsError: The search has no such trial.
    """
    by_trial = {member.trial: member.architecture for member in front.evaluated}
    for trial in trials:
        if trial not in by_trial:
            raise SettingsError(
                f"The search has evaluated no trial {trial}. Trials that it has: "
                f"{', '.join(map(str, by_trial))}."
            )
    places: dict[str, Place] = {}
    for trial in trials:
        place = Place(by_trial[trial], trial, finalist_folder(folder, trial))
        places.setdefault(place.architecture.genotype, place)
    return places


def _succeeded(front: Front, folder: Path, *, but: Collection[int]) -> Iterator[int]:
    """Yield the trials that earlier calls have trained."""
    for member in front.evaluated:
        finalist = read_finalist(finalist_folder(folder, member.trial))
        if member.trial not in but and finalist is not None and finalist.failure is None:
            yield member.trial


def _is_lost(member: Member, folder: Path) -> bool:
    return read_finalist(finalist_folder(folder, member.trial)) is None


def _compared(front: Front, redrawn: Front, finalists: Sequence[Finalist]) -> Trained:
    [replaced] = [axis for axis in front.axes if axis.name == _replaced(redrawn)]
    compared = compare(front, finalists, replaced)
    return Trained(redrawn, replaced, compared.rows, compared.agreement)


def _replaced(redrawn: Front) -> str | None:
    told = (redrawn.settings or {}).get("rescored")
    return str(told["replaces"]) if isinstance(told, dict) else None


def records_of(trained: Trained) -> list[dict[str, Json]]:
    """Return a record per finalist: estimate and truth side by side."""
    return [
        {
            "trial": row.finalist.trial,
            "arch": row.finalist.genotype,
            "estimate": trained.replaced.name,
            "estimated": row.estimate.value,
            "estimate_rank": row.estimate_rank,
            "val_accuracy": row.finalist.val_accuracy,
            "val_low": row.finalist.val_low,
            "val_high": row.finalist.val_high,
            "accuracy_rank": row.accuracy_rank,
            "on_front": row.finalist.trial in {member.trial for member in trained.front},
            "epochs": len(row.finalist.curve),
            "seconds": row.finalist.seconds,
            "failure": row.finalist.failure,
        }
        for row in trained.rows
    ]


def agreement_of(trained: Trained) -> dict[str, Json]:
    """Return the agreement as a record; what is not defined is None."""
    plain = asdict(trained.agreement)
    return {name: None if math.isnan(value) else value for name, value in plain.items()}


def comparison_csv(trained: Trained) -> str:
    """Return the records as CSV."""
    records = records_of(trained)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[*records[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()
