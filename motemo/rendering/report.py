"""The report of a run: one self-contained page that says what was searched, found and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna

from motemo import records
from motemo.comparison import Comparison, compare
from motemo.finalist import Finalist
from motemo.front import Axis, Front
from motemo.objective import Direction
from motemo.rendering.command import search_command
from motemo.rendering.page import (
    header_html,
    parallel_html,
    picked_html,
    scatter_html,
    settings_html,
    table_html,
)
from motemo.rendering.page_document import document
from motemo.rendering.page_payload import front_payload
from motemo.rendering.page_script import script
from motemo.rendering.page_style import STYLE
from motemo.rendering.quantities import scales
from motemo.rendering.report_drawings_page import drawings_html
from motemo.rendering.report_importance import Importance, importance_of
from motemo.rendering.report_importance_page import importance_html
from motemo.rendering.report_page import (
    best_html,
    contents_html,
    growth_html,
    matrix_html,
    reproduce_html,
    time_facts,
)
from motemo.rendering.report_payload import report_payload
from motemo.rendering.report_progress import Growth, growth_of
from motemo.rendering.report_script import REPORT_SCRIPT
from motemo.rendering.report_style import REPORT_STYLE
from motemo.rendering.report_trained_page import trained_html
from motemo.rendering.report_trials import Fate, Timing, fate_of, timing_of
from motemo.rendering.report_trials_page import evaluated_html, left_out_html
from motemo.space import Space


@dataclass(frozen=True)
class Report:
    """What the report of a study says.

    Attributes:
        front: The answer of the search.
        fates: What became of each trial, by number.
        timing: When it was worked on, None if no trial ended.
        growth: How the hypervolume grew, or why that cannot be said.
        importance: How much each gene matters, by objective.
        trained: Estimates beside trained accuracies, None without finalists.
        command: The command that makes the same search, None if none is known.
        study_name: Name of the study.
        storage: Where it is stored, without secrets.
    """

    front: Front
    fates: tuple[Fate, ...]
    timing: Timing | None
    growth: Growth | str
    importance: Mapping[str, Importance]
    trained: Comparison | None
    command: str | None
    study_name: str
    storage: str


def read_report(
    study: optuna.Study,
    *,
    space: Space | None = None,
    finalists: Sequence[Finalist] = (),
    estimate: str | None = None,
    storage: str = "",
) -> Report:
    """Return what there is to say of a study, from what it holds.

    Args:
        study: A study that a motemo search filled, or is filling.
        space: The space, where it is not a registered one.
        finalists: Architectures of it that were trained.
        estimate: The objective that trained accuracy stands beside; by default the first that is
            maximised.
        storage: Where the study is stored, without secrets.

    Raises:
        StorageError: The study is not one of motemo's.
        SettingsError: The space is not registered and not given.
    """
    front = records.read_front(study, space=space)
    own_space = space or records.stored_space(front.settings or {})
    trials = study.get_trials(deepcopy=False)
    request = study.user_attrs.get(records.REQUEST)
    return Report(
        front=front,
        fates=tuple(fate_of(trial, own_space) for trial in trials),
        timing=timing_of(trials),
        growth=growth_of(front),
        importance={axis.name: importance_of(study, front, axis) for axis in front.axes},
        trained=_compared(front, finalists, estimate),
        command=search_command(request, trials=records.wanted(study)) if request else None,
        study_name=study.study_name,
        storage=storage,
    )


def _compared(
    front: Front, finalists: Sequence[Finalist], estimate: str | None
) -> Comparison | None:
    """Compare an estimate with trained accuracy; None without finalists of this search."""
    if not finalists or not front.axes:
        return None
    found = compare(front, finalists, _estimate(front, estimate))
    return found if found.rows else None


def _estimate(front: Front, name: str | None) -> Axis:
    """Return the objective that estimates: the named one, else the first that is maximised."""
    named = [axis for axis in front.axes if axis.name == name]
    upwards = [axis for axis in front.axes if axis.direction is Direction.MAXIMIZE]
    return [*named, *upwards, *front.axes][0]


def report_html(report: Report) -> str:
    """Return the page. It works offline in any current browser, on a phone and on paper."""
    front, by_name = report.front, scales(report.front)
    sections = (
        scatter_html(front, by_name),
        matrix_html(front),
        parallel_html(front),
        growth_html(report.growth, front, by_name),
        importance_html(report.importance, front),
        trained_html(report.trained, front, by_name),
        drawings_html(front, by_name),
        table_html(front, by_name),
        evaluated_html(front, by_name),
        left_out_html(report.fates),
        reproduce_html(report.command, front, study_name=report.study_name, storage=report.storage),
    )
    body = (
        header_html(front, kind="search report", more=time_facts(report.timing, front)),
        best_html(front, by_name),
        contents_html("".join(sections)),
        *sections,
        settings_html(front),
        picked_html(),
    )
    return document(
        f"Search report: {', '.join(axis.name for axis in front.axes)}",
        body,
        payload=front_payload(front) | report_payload(report.fates, report.growth, report.trained),
        style=STYLE + REPORT_STYLE,
        script=script(REPORT_SCRIPT),
    )
