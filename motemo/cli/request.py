"""What `motemo search` was asked for, and the space and objectives that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from motemo.cli.settings import (
    create_device,
    create_objectives,
    create_space,
    deployment_shape,
    load_images,
)
from motemo.errors import DataError, SettingsError, StorageError

if TYPE_CHECKING:
    from motemo.objective import Objective
    from motemo.plan import Plan
    from motemo.space import Json, Space


@dataclass(frozen=True, kw_only=True)
class Request:
    """Names and options, as given on the command line.

    No objectives are those that are the default of the space.

    Stored with the study, so that workers on other machines can build the same from it.
    """

    space: str
    data: str
    data_classes: int | None
    images_per_class: int | None
    image_size: str | None
    objectives: tuple[str, ...]
    options: tuple[str, ...]
    constraints: tuple[str, ...]
    device: str
    threads: int | None
    train_device: str
    input_shape: str | None
    classes: int | None
    sampler: str
    population: int | None
    seed: int
    early_stopping: bool

    def create(self) -> tuple[Space, list[Objective]]:
        """Return the space and the objectives.

        Raises:
            UsageError: A setting cannot work.
            DeviceError: A device is not available.
        """
        from motemo.spaces.by_name import default_objectives

        space = create_space(self.space, self.options)
        images = load_images(
            self.data, self.data_classes, self.images_per_class, self.image_size, self.seed
        )
        objectives = create_objectives(
            self.objectives or default_objectives(space),
            self.options,
            data=images,
            device=create_device(self.device, self.threads, data=images),
            input_shape=deployment_shape(self.input_shape, self.device),
            classes=images.classes if self.classes is None else self.classes,
            seed=self.seed,
            train_device=self.train_device,
        )
        return space, objectives

    def plan(self) -> Plan:
        """Return the checked search.

        Raises:
            UsageError: A setting cannot work.
            DeviceError: A device is not available.
        """
        from motemo.plan import Plan

        space, objectives = self.create()
        return Plan.of(
            space,
            objectives,
            constraints=self.constraints,
            sampler=self.sampler,
            population=self.population,
            seed=self.seed,
            early_stopping=self.early_stopping,
        )

    def on_this_machine(
        self,
        *,
        space: str | None,
        data: str | None,
        device: str | None,
        threads: int | None,
        train_device: str | None,
    ) -> Request:
        """Return the same request with what is called otherwise on this machine.

        Raises:
            SettingsError: The space is in a file, which was not given here.
        """
        from motemo.spaces.by_name import is_file

        if space is None and is_file(self.space):
            raise SettingsError(
                f"The study searches a space of somebody's own, {self.space!r}. No file that a "
                "study names is run: give it by --space FILE.py:NAME, if you trust it."
            )
        return replace(
            self,
            space=space or self.space,
            data=data or self.data,
            device=device or self.device,
            threads=self.threads if threads is None else threads,
            train_device=train_device or self.train_device,
        )

    def check_data(self) -> None:
        """Raise if the data are a path of another machine, which this one does not have.

        Raises:
            DataError: There is nothing.
        """
        from motemo.data.pipeline import NAMES

        path = Path(self.data)
        if self.data not in NAMES and not path.exists():
            raise DataError(
                f"The study's data are at {self.data!r} where it was made; here there is no "
                f"{path.absolute()}. Give their place on this machine by --data."
            )

    def to_json(self) -> dict[str, Json]:
        """Return it as it is stored."""
        stored: dict[str, Json] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Request:
        """Read what `to_json` returned.

        Raises:
            StorageError: It is of another version of motemo.
        """
        names = {field.name for field in fields(cls)}
        if names != stored.keys():
            raise StorageError(
                "The study was made by another version of motemo. Install the same one here: "
                f"{', '.join(sorted(names ^ stored.keys()))} differ."
            )
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in stored.items()
        }
        return cls(**given)  # type: ignore[arg-type]  # checked by name; made by to_json
