"""The study that holds what was re-scored: complete trials that `read_front` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from motemo import records
from motemo.constraint import Constraint
from motemo.front import Axis, Front, Member
from motemo.objective import Measurement, Objective
from motemo.space import Json
from motemo.storage import create_study


def rescored_settings(
    front: Front, objective: Objective, *, replaced: Axis, constraints: Sequence[Constraint]
) -> dict[str, Json]:
    """Return the settings of the search, with a dearer objective in place of another.

    Args:
        front: The result of the search.
        objective: The dearer objective.
        replaced: The axis in whose place it comes.
        constraints: The constraints that stay.
    """
    space = front.evaluated[0].architecture.space
    own = records.settings_of(space, [objective], constraints)
    before = dict(front.settings or {})
    known = records.described_objectives(before)
    [dearer] = records.described_objectives(own).values()
    objectives: list[Json] = [
        dearer if axis is replaced else known.get(axis.name, _described(axis))
        for axis in front.axes
    ]
    added: dict[str, Json] = {"rescored": {"replaces": replaced.name}}
    return {**before, **own, "objectives": objectives, **added}


def _described(axis: Axis) -> Json:
    return {"name": axis.name, "unit": axis.unit, "direction": axis.direction, "identity": {}}


@dataclass(frozen=True)
class RescoredStudy:
    """A study of re-scored members.

    Attributes:
        study: Optuna's study.
        identities: Identity of each objective.
    """

    study: optuna.Study
    identities: Mapping[str, Json]

    @classmethod
    def open(
        cls,
        storage: BaseStorage | None,
        name: str,
        *,
        axes: Sequence[Axis],
        settings: Mapping[str, Json],
    ) -> RescoredStudy:
        """Create the study, or open it and check that it was made with the same settings.

        Args:
            storage: Where it is; None keeps it in memory.
            name: Its name.
            axes: The objectives, the dearer one included.
            settings: What `rescored_settings` returned.

        Raises:
            SettingsError: The study was made with other settings.
            StorageError: The study is of something else.
        """
        study = create_study(
            storage,
            name,
            directions=[axis.direction for axis in axes],
            sampler=optuna.samplers.RandomSampler(),
        )
        records.agree_on_settings(study, settings)
        described = records.described_objectives(settings)
        return cls(study, {name: o["identity"] for name, o in described.items()})

    def known(self, name: str) -> dict[str, Measurement]:
        """Return the stored measurements of an objective, by genotype."""
        trials = self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        return {
            t.user_attrs[records.GENOTYPE]: records.read_measurements(t.user_attrs)[name]
            for t in trials
        }

    def keep(self, member: Member) -> None:
        """Store a re-scored member as a complete trial."""
        space, genotype = member.architecture.space, member.architecture.genotype
        measured = (
            records.measurement_attribute(name, m, identity=self.identities[name])
            for name, m in member.measurements.items()
        )
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                values=[float(m.value) for m in member.measurements.values()],
                params=space.read(genotype),
                distributions={g.name: CategoricalDistribution(g.choices) for g in space.genes},
                user_attrs={
                    records.GENOTYPE: genotype,
                    records.RESCORES: member.trial,
                    **dict(measured),
                },
            )
        )
