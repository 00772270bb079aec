"""The notes of trials and of a study, in Markdown.

All that comes from a study, such as genotypes, names and reasons, is written so that it stays text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from motemo import records
from motemo.dashboard.markdown import code_block, plain, table
from motemo.dashboard.pictures import Artifact
from motemo.dashboard.standing import Standing
from motemo.finalist import Finalist
from motemo.front import Axis, Front, Member
from motemo.objective import Measurement
from motemo.progress import outcome
from motemo.rendering.quantities import Scale, label, scales
from motemo.rendering.summary import better_word, constraint_note, facts, headline

_MOST_MEMBERS = 30
_BETTER = "is at least as good in every objective and better in one"
_SAID = {
    "running": "**Under way.**",
    "duplicate": "**Duplicate**, not evaluated again",
    "invalid": "**Invalid**: its network computes nothing",
    "infeasible": "**Breaks a bound**, and went no further",
    "skipped": "**Not evaluated**",
    "stopped": "**Stopped early**: its training could not enter the front any more",
    "abandoned": "**Abandoned**: its worker did not finish it; another trial has its candidate",
    "failed": "**Failed**",
}


@dataclass(frozen=True)
class Places:
    """Where the dashboard shows what.

    Attributes:
        study: Number of the study in its storage.
    """

    study: int

    def link(self, trial: int) -> str:
        """Return a link to a trial, by its number in the study."""
        return f"[trial {trial}](/dashboard/studies/{self.study}/trials?numbers={trial})"

    def artifact(self, trial: FrozenTrial, number: int) -> str:
        """Return the address of one of a trial's artifacts."""
        return f"/artifacts/{self.study}/{trial._trial_id}/{number:x}"


def trial_note(
    trial: FrozenTrial,
    front: Front,
    places: Places,
    *,
    standing: Standing | None,
    finalist: Finalist | None,
    artifacts: Sequence[Artifact],
) -> str:
    """Return what is to be known of a trial.

    Args:
        trial: The trial.
        front: The front of its study.
        places: Where links lead.
        standing: Where it stands, if it is among what was evaluated.
        finalist: What its real training came to, if it was trained.
        artifacts: What it has, in order; pictures are shown.
    """
    measurements = records.read_measurements(trial.user_attrs)
    parts = [
        _verdict(trial, front, places, standing=standing),
        _reason(trial),
        _values(measurements, front.axes, standing=standing, evaluated=len(front.evaluated)),
        _accuracy(finalist),
        _genotype(trial),
        *(
            f"![{artifact.title}]({places.artifact(trial, number)})"
            for number, artifact in enumerate(artifacts)
            if artifact.is_picture
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def study_note(front: Front, trials: Sequence[FrozenTrial], places: Places) -> str:
    """Return what is to be known of a search: what it was, how far it is, and its front.

    Args:
        front: The front of the study.
        trials: All its trials.
        places: Where links lead.
    """
    counts = Counter(outcome(trial) for trial in trials)
    became = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    given = "; ".join(f"{key}: {value}" for key, value in facts(front.settings))
    parts = [
        f"**{headline(front)}**",
        plain(constraint_note(front)),
        plain(given),
        f"Trials: {became or 'none'}.",
        _members(front, places),
    ]
    return "\n\n".join(part for part in parts if part)


def _verdict(trial: FrozenTrial, front: Front, places: Places, *, standing: Standing | None) -> str:
    if standing is None:
        said = _SAID.get(outcome(trial), "**Evaluated.**")
        first = trial.user_attrs.get(records.DUPLICATE_OF)
        of = f" ({places.link(int(first))} has it)" if first is not None else ""
        return f"{said}{of}"
    bounds = "".join(f" It breaks the bound {plain(bound)}." for bound in standing.broken)
    if standing.on_front:
        among = f"none of the {len(front.evaluated)} evaluated so far"
        return f"**On the front**: {among} {_BETTER}.{bounds}"
    if not standing.dominated_by:
        return f"**Not on the front.**{bounds}"
    others = len(standing.dominated_by) - 1
    more = f" (and {others} more)" if others else ""
    first = places.link(standing.dominated_by[0])
    return f"**Not on the front**: {first}{more} {_BETTER}.{bounds}"


def _reason(trial: FrozenTrial) -> str:
    reason = trial.user_attrs.get(records.REASON)
    return "" if reason is None else code_block(str(reason))


def _genotype(trial: FrozenTrial) -> str:
    genotype = trial.user_attrs.get(records.GENOTYPE)
    return "" if genotype is None else code_block(str(genotype))


def _values(
    measurements: Mapping[str, Measurement],
    axes: Sequence[Axis],
    *,
    standing: Standing | None,
    evaluated: int,
) -> str:
    known = [axis for axis in axes if axis.name in measurements]
    if not known:
        return ""
    rows = [[_objective(axis), _value(axis, measurements[axis.name])] for axis in known]
    header = ["objective", "value"]
    if standing is not None:
        header.append("place")
        for row, axis in zip(rows, known, strict=True):
            row.append(f"{standing.ranks[axis.name]} of {evaluated}")
    return table(header, rows)


def _objective(axis: Axis) -> str:
    return f"{plain(axis.name)} ({better_word(axis)} is better)"


def _value(axis: Axis, measurement: Measurement) -> str:
    return plain(Scale.of(axis, [measurement]).full(measurement))


def _accuracy(finalist: Finalist | None) -> str:
    if finalist is None:
        return ""
    if finalist.failure is not None:
        return f"**Trained for real**, and failed:\n\n{code_block(finalist.failure)}"
    shares = (finalist.val_accuracy, finalist.val_low, finalist.val_high)
    value, low, high = (100 * (share or 0.0) for share in shares)
    return (
        f"**Trained for real**, {finalist.epochs} epochs: {value:.1f} % of "
        f"{finalist.val_images} validation images named right (95 %: {low:.1f} to {high:.1f} %)."
    )


def _members(front: Front, places: Places) -> str:
    if not front.members:
        return ""
    by_name = scales(front)
    header = ["trial", *(plain(label(axis, by_name[axis.name])) for axis in front.axes)]
    rows = [_member(member, front.axes, by_name, places) for member in front]
    shown = table(header, rows[:_MOST_MEMBERS])
    left = len(rows) - _MOST_MEMBERS
    return f"{shown}\n\nand {left} more." if left > 0 else shown


def _member(
    member: Member, axes: Sequence[Axis], by_name: Mapping[str, Scale], places: Places
) -> list[str]:
    texts = (by_name[axis.name].text(member.measurements[axis.name]) for axis in axes)
    return [places.link(member.trial), *(plain(text) for text in texts)]
