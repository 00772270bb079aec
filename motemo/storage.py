"""Opening Optuna storages and studies by URL, with errors that help."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from motemo.errors import SettingsError, StorageError
from motemo.objective import Direction

_SQLITE_TIMEOUT_S = 60
_SECRET = re.compile("pass|pwd|secret|token|key", re.IGNORECASE)


def sqlite_url(file: Path) -> str:
    """Return the URL of an SQLite file.

    Raises:
        StorageError: The path has characters that a URL would read otherwise.
    """
    url = f"sqlite:///{file}"
    if make_url(url).database != str(file) or "%" in url:
        raise StorageError(
            f"No storage URL can name {str(file)!r}: it has a '?' or a '%'. Choose another folder."
        )
    return url


def without_password(url: str) -> str:
    """Return a storage URL fit for messages and files: secrets are `***`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return re.sub(r":[^:@/]*@", ":***@", url)
    hidden = {key: "***" for key in parsed.query if _SECRET.search(key)}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def open_storage(url: str, *, must_exist: bool = False) -> BaseStorage:
    """Open an Optuna RDB storage; the folder of an SQLite file is created.

    Args:
        url: Such as `sqlite:///runs/first/study.db` or `postgresql+psycopg://...`.
        must_exist: Refuse an SQLite file that does not exist, instead of creating it.

    Raises:
        StorageError: The URL is malformed, its driver missing, or it cannot be opened.
    """
    shown = without_password(url)
    try:
        sqlite = make_url(url).get_backend_name() == "sqlite"
        file = _sqlite_file(url)
        if file is not None:
            if must_exist and not file.exists():
                raise StorageError(f"The storage {shown!r} does not exist: there is no {file}.")
            file.parent.mkdir(parents=True, exist_ok=True)
        arguments = {"connect_args": {"timeout": _SQLITE_TIMEOUT_S}} if sqlite else {}
        return RDBStorage(url, engine_kwargs=arguments)
    except (SQLAlchemyError, ImportError, RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise StorageError(
            f"Cannot open the storage {shown!r}: {reason} Give a URL such as "
            "'sqlite:///runs/first/study.db' or 'postgresql+psycopg://user@host/database'."
        ) from error


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a storage raises while it is used into an error that helps.

    Raises:
        StorageError: The storage is damaged, full, locked or gone.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise StorageError(
            f"The storage cannot be used: {reason} What had been stored before is kept. Check that "
            "it is whole, that there is space, and that no other program holds it."
        ) from error
    except UpdateFinishedTrialError as error:
        raise StorageError(
            "Another process works on the same study and has finished a trial of this one. One "
            "process at a time searches a study."
        ) from error


@contextmanager
def exclusive(storage: str | BaseStorage | None) -> Iterator[None]:
    """Keep a second search out of an SQLite file that is given by its URL.

    Two searches would each take the trials of the other for those of a dead process. Other
    storages are not guarded.

    Raises:
        StorageError: Another search is at work on the file.
    """
    file = _sqlite_file(storage) if isinstance(storage, str) else None
    if file is None:
        yield
        return
    try:
        with FileLock(f"{file}.lock", timeout=0):
            yield
    except Timeout as error:
        raise StorageError(
            f"Another motemo search is at work on {file}. One process at a time searches a study: "
            "wait for it, or choose another storage or --out folder."
        ) from error


def _sqlite_file(url: str) -> Path | None:
    parsed = make_url(url)
    in_file = parsed.get_backend_name() == "sqlite" and parsed.database not in (None, ":memory:")
    return Path(str(parsed.database)) if in_file else None


def load_study(storage: str | BaseStorage, study_name: str) -> optuna.Study:
    """Open a study that exists.

    Raises:
        StorageError: The storage cannot be opened, or has no such study.
    """
    if isinstance(storage, str):
        storage = open_storage(storage, must_exist=True)
    try:
        with explained():
            return optuna.load_study(study_name=study_name, storage=storage)
    except KeyError as error:
        names = [study.study_name for study in storage.get_all_studies()]
        raise StorageError(
            f"The storage has no study {study_name!r}. Studies in it: {', '.join(names) or 'none'}."
        ) from error


def create_study(
    storage: BaseStorage | None,
    study_name: str,
    *,
    directions: Sequence[Direction],
    sampler: optuna.samplers.BaseSampler,
) -> optuna.Study:
    """Create a study, or open the one of that name; None as storage means in memory.

    Raises:
        SettingsError: The study exists with other directions.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=study_name,
        directions=[StudyDirection[direction.name] for direction in directions],
        sampler=sampler,
        load_if_exists=True,
    )
    check_directions(study, directions)
    return study


def check_directions(study: optuna.Study, directions: Sequence[Direction]) -> None:
    """Raise unless a study optimises in these directions.

    Raises:
        SettingsError: It does not.
    """
    stored = [direction.name.lower() for direction in study.directions]
    if stored != list(directions):
        raise SettingsError(
            f"The study {study.study_name!r} has the directions {', '.join(stored)}; the "
            f"objectives need {', '.join(directions)}. Create it with these, or choose another "
            "study name."
        )
