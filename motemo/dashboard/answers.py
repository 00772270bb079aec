"""What motemo adds to the dashboard's answers about a study: notes, pictures and plots.

They are made for what is asked, from what the study holds, and kept nowhere. What somebody has
written into the study stays: a note of a person's own is shown in place of motemo's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from motemo import records
from motemo.dashboard.mirror import StudyCopy
from motemo.dashboard.notes import Places, study_note, trial_note
from motemo.dashboard.pictures import Artifact, RunFiles, artifacts_of
from motemo.dashboard.plots import plots
from motemo.dashboard.standing import Standing, standings
from motemo.errors import MotemoError
from motemo.front import Front
from motemo.space import Json, Space

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class View:
    """What motemo knows of a copy of a study.

    Attributes:
        space: Its space.
        front: Its front.
        standings: Where each trial stands, by number.
        plots: Plotly figures as JSON, by name.
    """

    space: Space
    front: Front
    standings: Mapping[int, Standing]
    plots: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Answers:
    """Adds to the dashboard's answers.

    Attributes:
        study_name: The study of the run.
        space: Its space; None for the registered one that it names.
        folder: Folder of the run, whose models are shown with its trials, if there is one.
    """

    study_name: str
    space: Space | None
    folder: Path | None

    def fill(self, answer: dict[str, Any], copy: StudyCopy) -> None:
        """Add to the dashboard's answer about a study.

        Args:
            answer: What it answers, as JSON; it is changed.
            copy: The study, no older than the answer.
        """
        view = _view(self, copy)
        if view is None:
            return
        places, beside = Places(copy.id), self._beside(copy)
        _write(answer, study_note(view.front, copy.trials, places))
        answer["plotly_graph_objects"] += [
            {"id": name, "graph_object": figure} for name, figure in view.plots.items()
        ]
        for shown in (*answer["trials"], *answer["best_trials"]):
            trial = copy.trials[shown["number"]]
            artifacts = artifacts_of(trial, view.space, beside)
            shown["artifacts"] += [
                {"artifact_id": f"{n:x}", "filename": a.file, "mimetype": a.mimetype}
                for n, a in enumerate(artifacts)
            ]
            note = trial_note(
                trial,
                view.front,
                places,
                standing=view.standings.get(trial.number),
                finalist=beside.finalists.get(trial.number),
                artifacts=artifacts,
            )
            _write(shown, note)

    def artifact(self, copy: StudyCopy, trial_id: int, number: int) -> Artifact | None:
        """Return an artifact by the trial's number in the storage and its own; None if none."""
        view = _view(self, copy)
        trial = next((t for t in copy.trials if t._trial_id == trial_id), None)
        if view is None or trial is None:
            return None
        found = artifacts_of(trial, view.space, self._beside(copy))
        return found[number] if number < len(found) else None

    def space_of(self, copy: StudyCopy, settings: Mapping[str, Json]) -> Space:
        """Return the space of a study, such as that of finalists in the storage of the run.

        Raises:
            SettingsError: It is neither registered nor that of the run.
        """
        if self.space is not None:
            same = settings["space"] == json.loads(json.dumps(self.space.identity()))
            if same or copy.study.study_name == self.study_name:
                return self.space
        return records.stored_space(settings)

    def _beside(self, copy: StudyCopy) -> RunFiles:
        """Return what lies in the run's folder now; numbers of other studies are not its own."""
        own = self.folder is not None and copy.study.study_name == self.study_name
        return RunFiles.of(self.folder) if own and self.folder else RunFiles()


def _write(shown: dict[str, Any], note: str) -> None:
    """Add a note, unless there is one."""
    if not shown["note"]["body"]:
        shown["note"] = {"version": 1, "body": note}


@lru_cache(maxsize=4)
def _view(answers: Answers, copy: StudyCopy) -> View | None:
    """Return what motemo knows of a copy of a study; None if it cannot read it."""
    study = copy.opened()
    try:
        settings = records.read_settings(study)
        if settings is None:
            return None
        space = answers.space_of(copy, settings)
        front = records.read_front(study, space=space)
    except MotemoError as error:  # of another version, or of a space that is not registered
        _logger.info("Study %r is shown as it is: %s", copy.study.study_name, error)
        return None
    return View(
        space=space,
        front=front,
        standings=standings(front),
        plots={name: json.dumps(figure) for name, figure in plots(front).items()},
    )
