"""An Optuna storage in memory that shows copies of studies and refuses every change."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from motemo.errors import StorageError


@dataclass(frozen=True, eq=False)
class StudyCopy:
    """What a study held at one moment.

    Attributes:
        study: Name, directions and attributes.
        trials: Its trials, by number.
    """

    study: FrozenStudy
    trials: Sequence[FrozenTrial] = ()

    @property
    def id(self) -> int:
        """Number of the study in its storage."""
        return int(self.study._study_id)

    def opened(self) -> optuna.Study:
        """Return the copy as a study that can be read."""
        mirror = Mirror()
        mirror.show([self])
        return optuna.load_study(study_name=self.study.study_name, storage=mirror)


class Mirror(BaseStorage):
    """A storage that holds copies of studies. What writes to it raises `StorageError`."""

    def __init__(self) -> None:
        self._copies: dict[int, StudyCopy] = {}

    def show(self, copies: Sequence[StudyCopy]) -> None:
        """Hold these studies and no others from now on; readers see all of it or nothing."""
        self._copies = {shown.id: shown for shown in copies}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the studies, in the order of their numbers."""
        return [shown.study for _, shown in sorted(self._copies.items())]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the number of the study of a name; KeyError if there is none."""
        for shown in self._copies.values():
            if shown.study.study_name == study_name:
                return shown.id
        raise KeyError(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study; KeyError if there is none."""
        return str(self._copies[study_id].study.study_name)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of a study; KeyError if there is none."""
        return list(self._copies[study_id].study.directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study; KeyError if there is none."""
        return dict(self._copies[study_id].study.user_attrs)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study; KeyError if there is none."""
        return dict(self._copies[study_id].study.system_attrs)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return the trial with this number in the storage; KeyError if there is none."""
        for shown in self._copies.values():
            for trial in shown.trials:
                if trial._trial_id == trial_id:
                    return trial
        raise KeyError(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials of a study, by number; KeyError if there is no such study."""
        found = self._copies[study_id].trials
        trials = [t for t in found if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Refuse."""
        _refuse()

    def delete_study(self, study_id: int) -> None:
        """Refuse."""
        _refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: object) -> None:
        """Refuse."""
        _refuse()

    def set_study_system_attr(self, study_id: int, key: str, value: object) -> None:
        """Refuse."""
        _refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refuse."""
        _refuse()

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Refuse."""
        _refuse()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refuse."""
        _refuse()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse."""
        _refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: object) -> None:
        """Refuse."""
        _refuse()

    def set_trial_system_attr(self, trial_id: int, key: str, value: object) -> None:
        """Refuse."""
        _refuse()


def _refuse() -> NoReturn:
    raise StorageError(
        "The dashboard shows a search and changes nothing. To write to the study, open its storage "
        "itself, as 'optuna-dashboard' does."
    )
