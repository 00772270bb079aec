"""The run that the user means, and the fronts of its studies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from motemo.cli.console import note_console
from motemo.finalist import FOLDER, read_finalists

if TYPE_CHECKING:
    from motemo.data.dataset import ImageData
    from motemo.front import Front, Member
    from motemo.run_folder import RunFolder
    from motemo.space import Space


def opened_run(run: str, *, storage: str | None = None, study_name: str | None = None) -> RunFolder:
    """Return the folder and study that the user means by a folder or a storage URL.

    Args:
        run: Folder of a run, or a storage URL; a URL has no folder, `path` is then empty.
        storage: Storage URL, if the run's has a password.
        study_name: Study in the storage; None for the run's own.

    Raises:
        OutputError: There is no run in the folder.
        StorageError: The run's storage URL is needed.
    """
    from motemo.run_folder import RunFolder
    from motemo.storage import is_storage_url

    if is_storage_url(run):
        return RunFolder(Path(), run, study_name or "motemo")
    opened = RunFolder.open(Path(run), storage=storage)
    return replace(opened, study_name=study_name) if study_name else opened


def searched_front(run: RunFolder, *, space: Space | None = None) -> Front:
    """Return the front of the search itself, under its estimate.

    Args:
        run: The run.
        space: Its space, where that is not a registered one.

    Raises:
        StorageError: The study cannot be read.
        SettingsError: The space is not registered and not given, or another one is given.
    """
    import optuna

    from motemo.records import read_front
    from motemo.storage import explained, load_study

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with note_console.status("reading the study"), explained():
        return read_front(load_study(run.storage_url, run.study_name), space=space)


def trained_front(run: RunFolder, searched: Front, *, name: str = FOLDER) -> Front | None:
    """Return the front of the trained finalists, None where none was trained.

    Args:
        run: The run.
        searched: The front of the search, whose trial numbers the finalists get.
        name: What the finalists are called, as in `motemo train --name`.

    Raises:
        StorageError: The study cannot be read.
    """
    from motemo.records import read_front
    from motemo.storage import explained, load_study, open_storage

    study_name = f"{run.study_name}-{name}"
    with explained():
        storage = open_storage(run.storage_url, must_exist=True)
        if study_name not in {study.study_name for study in storage.get_all_studies()}:
            return None
        front = read_front(load_study(storage, study_name), space=_space(searched))
    if not front.evaluated:
        return None
    trials = {m.architecture.genotype: m.trial for m in searched.evaluated}
    return replace(
        front,
        members=_numbered(front.members, trials),
        evaluated=_numbered(front.evaluated, trials),
    )


def check_finalists(run: RunFolder, name: str) -> None:
    """Refuse a name that no finalists have, so that a slip does not read as "none is trained".

    Args:
        run: The run.
        name: What the user says that the finalists are called. The usual name is always right.

    Raises:
        OutputError: A finalist's file is damaged.
        SettingsError: None are called so.
        StorageError: The storage cannot be read.
    """
    from motemo.errors import SettingsError
    from motemo.storage import explained, open_storage

    if name == FOLDER:
        return
    prefix = f"{run.study_name}-"
    with explained():
        studies = open_storage(run.storage_url, must_exist=True).get_all_studies()
    names = [s.study_name.removeprefix(prefix) for s in studies if s.study_name.startswith(prefix)]
    if name not in names and not read_finalists(run.path, name=name):
        raise SettingsError(
            f"No finalists of this run are called {name!r}. Called otherwise: "
            f"{', '.join(sorted(names)) or 'none'}. 'motemo train --name {name}' trains some."
        )


def _numbered(members: tuple[Member, ...], trials: dict[str, int]) -> tuple[Member, ...]:
    """Return members with the trial numbers of the search."""
    return tuple(
        replace(member, trial=trials.get(member.architecture.genotype, member.trial))
        for member in members
    )


def _space(front: Front) -> Space | None:
    """Return the space of a front; None, for the registered one, if nothing was evaluated."""
    return front.evaluated[0].architecture.space if front.evaluated else None


def measured_elsewhere(run: RunFolder, searched: Front) -> list[Front]:
    """Return the fronts of a search that 'motemo front --device' has measured on other devices.

    Args:
        run: The run.
        searched: The front of the search.

    Raises:
        StorageError: A study cannot be read.
    """
    from motemo.records import read_front
    from motemo.storage import explained, load_study, open_storage

    with explained():
        storage = open_storage(run.storage_url, must_exist=True)
        names = [study.study_name for study in storage.get_all_studies()]
        ours = [name for name in names if name.startswith(f"{run.study_name} on ")]
        studies = [load_study(storage, name) for name in sorted(ours)]
        return [read_front(study, space=_space(searched)) for study in studies]


def stored_command(run: RunFolder) -> list[str]:
    """Return the command that a search was made by; nothing if another program made it.

    Raises:
        StorageError: The study cannot be read.
    """
    from motemo.records import REQUEST, read_request, wanted
    from motemo.rendering.command import search_command
    from motemo.storage import explained, load_study

    with explained():
        study = load_study(run.storage_url, run.study_name)
        if REQUEST not in study.user_attrs:
            return []
        return [search_command(read_request(study), trials=wanted(study))]


def stored_images(run: RunFolder) -> ImageData:
    """Return the images that a search was made on, as it saw them.

    Raises:
        DataError: They are not here.
        StorageError: The study does not say which they are.
    """
    from motemo.cli.request import Request
    from motemo.cli.settings import load_images
    from motemo.records import read_request
    from motemo.storage import explained, load_study

    with explained():
        study = load_study(run.storage_url, run.study_name)
    request = Request.from_json(read_request(study))
    request.check_data()
    return load_images(
        request.data,
        request.data_classes,
        request.images_per_class,
        request.image_size,
        request.seed,
    )
