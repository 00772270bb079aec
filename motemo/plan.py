"""What a search was asked for, checked before anything runs and against what a study holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from motemo import records
from motemo.constraint import Constraint, check_constraints
from motemo.early_stopping import EarlyStopping, rule_of
from motemo.errors import SettingsError
from motemo.objective import Objective
from motemo.registry import SAMPLERS
from motemo.space import Json, Space
from motemo.storage import create_study

DEFAULT_TRIALS = 40
DEFAULT_BATCH_SIZE = 4
DEFAULT_SAMPLER = "motemo"


@dataclass(frozen=True)
class Plan:
    """What a search needs.

    Attributes:
        space: Where to search.
        objectives: What to evaluate.
        constraints: The bounds.
        sampler: Who proposes candidates.
        driver: What the study remembers of the sampler, its seed and early stopping.
        early_stopping: When a training is stopped; None for never.
    """

    space: Space
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    sampler: BaseSampler
    driver: Mapping[str, Json]
    early_stopping: EarlyStopping | None = None

    @classmethod
    def of(
        cls,
        space: Space,
        objectives: Sequence[Objective],
        *,
        constraints: Sequence[str] = (),
        sampler: str | BaseSampler = DEFAULT_SAMPLER,
        population: int | None = None,
        seed: int = 0,
        early_stopping: bool | EarlyStopping = False,
    ) -> Plan:
        """Check what is asked for.

        Raises:
            SettingsError: Settings are out of range.
            ConstraintError: A constraint is malformed or on something that is not measured.
            UnknownNameError: There is no such sampler.
        """
        objectives = tuple(objectives)
        check_names(objectives)
        bounds = parse_constraints(constraints, objectives)
        created, described = _create_sampler(sampler, space, seed=seed, population=population)
        driver: dict[str, Json] = {"sampler": described, "seed": seed}
        rule = rule_of(early_stopping, objectives)
        if rule is not None:
            driver["early_stopping"] = rule.identity()
        return cls(space, objectives, bounds, created, driver, rule)

    def create_study(
        self, storage: BaseStorage | None, study_name: str, *, batch_size: int | None = None
    ) -> optuna.Study:
        """Create the study, or open it and check that it was made with the same settings.

        Args:
            storage: Where it is; None means in memory.
            study_name: Its name.
            batch_size: Candidates that are asked for together; None leaves it to the study.

        Raises:
            SettingsError: It was made with other settings; the message names each.
            StorageError: It holds trials of something else.
        """
        study = create_study(
            storage,
            study_name,
            directions=[objective.direction for objective in self.objectives],
            sampler=self.sampler,
        )
        if batch_size is None:
            batch_size = batch_size_of(study)
        settings = records.settings_of(
            self.space,
            self.objectives,
            self.constraints,
            **self.driver,
            batch_size=batch_size,
        )
        records.agree_on_settings(study, settings)
        return study


def batch_size_of(study: optuna.Study) -> int:
    """Return the batch size that a study was made with, or the default."""
    stored = (records.read_settings(study) or {}).get("batch_size")
    return stored if isinstance(stored, int) else DEFAULT_BATCH_SIZE


def parse_constraints(
    constraints: Sequence[str], objectives: Sequence[Objective]
) -> tuple[Constraint, ...]:
    """Read bounds on objectives.

    Raises:
        ConstraintError: One is malformed or on something that is not measured.
    """
    texts = [constraints] if isinstance(constraints, str) else constraints
    bounds = tuple(Constraint.parse(text) for text in texts)
    check_constraints(bounds, [objective.name for objective in objectives])
    return bounds


def check_counts(*, trials: int, batch_size: int = 1) -> None:
    """Raise unless there is something to do.

    Raises:
        SettingsError: There is not.
    """
    if trials < 1:
        raise SettingsError(f"A search needs at least 1 trial; got {trials}.")
    if batch_size < 1:
        raise SettingsError(f"A batch needs at least 1 candidate; got {batch_size}.")


def check_names(objectives: Sequence[Objective]) -> None:
    """Raise unless there is an objective and no name stands twice.

    Raises:
        SettingsError: There is none, two have one name, or a name is no word.
    """
    if not objectives:
        raise SettingsError("A search needs at least one objective; got none.")
    for objective in objectives:
        if not (isinstance(objective.name, str) and objective.name.isidentifier()):
            raise SettingsError(
                f"The name of an objective must be a word of letters, digits and _; "
                f"got {objective.name!r}."
            )
    repeated = [n for n, c in Counter(o.name for o in objectives).items() if c > 1]
    if repeated:
        raise SettingsError(
            f"The objective {repeated[0]!r} is given more than once. Give it once, or give each "
            "a name of its own."
        )


def _create_sampler(
    sampler: str | BaseSampler, space: Space, *, seed: int, population: int | None
) -> tuple[BaseSampler, Json]:
    """Return the sampler and what the study remembers of it."""
    options = {} if population is None else {"population": population}
    if isinstance(sampler, BaseSampler):
        if options:
            raise SettingsError(
                "The population is a setting of samplers by name. Give it to the sampler itself."
            )
        return sampler, {"name": type(sampler).__name__}
    offered = {"seed": seed, "space": space}
    created = SAMPLERS.create(sampler, offered=offered, options=options)
    defaults = {k: v for k, v in SAMPLERS.defaults(sampler).items() if k not in offered}
    return created, {"name": SAMPLERS.entry(sampler).name, **defaults, **options}
