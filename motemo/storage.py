"""Opening Optuna storages and studies by URL, with errors that help.

sqlite:///runs/first/study.db                 one process at a time
journal:runs/first/study.log                  several processes; journal:///folder/study.log
postgresql+psycopg://user@host/database       several processes, on any machines
mysql+pymysql://user@host/database            likewise
grpc://host:13000                             a proxy before one of the last two
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import (
    ExperimentalWarning,
    StorageInternalError,
    UpdateFinishedTrialError,
)
from optuna.storages import BaseStorage, GrpcStorageProxy, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from motemo.errors import SettingsError, StorageError
from motemo.journal import open_journal
from motemo.objective import Direction

_SQLITE_TIMEOUT_S = 60
_GRPC_TIMEOUT_S = 10
_CREATION_ATTEMPTS = 4
_JOURNAL, _GRPC = "journal:", "grpc:"
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


def journal_url(file: Path) -> str:
    """Return the URL of a journal file."""
    return f"{_JOURNAL}//{file}" if file.is_absolute() else f"{_JOURNAL}{file}"


def is_storage_url(text: str) -> bool:
    """Return whether a text is meant as a storage URL, not as a path."""
    return "://" in text or text.startswith(_JOURNAL)


def without_password(url: str) -> str:
    """Return a storage URL fit for messages and files: secrets are `***`."""
    if url.startswith(_JOURNAL):
        return url
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return re.sub(r":[^:@/]*@", ":***@", url)
    hidden = {key: "***" for key in parsed.query if _SECRET.search(key)}
    shown = parsed.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace("%2A%2A%2A", "***")


def open_storage(url: str, *, must_exist: bool = False) -> BaseStorage:
    """Open an Optuna storage; the folder of a file is created.

    Args:
        url: One of the forms above.
        must_exist: Refuse a file that does not exist, instead of creating it.

    Raises:
        StorageError: The URL is malformed, its driver missing, or it cannot be opened.
    """
    shown = without_password(url)
    try:
        if url.startswith(_JOURNAL):
            return open_journal(_journal_file(url), must_exist=must_exist)
        if url.startswith(_GRPC):
            return _open_grpc(url)
        return _open_database(url, must_exist=must_exist)
    except (SQLAlchemyError, ImportError, RuntimeError, OSError, ValueError) as error:
        raise StorageError(
            f"Cannot open the storage {shown!r}: {_sentence(error)} Give a URL such as "
            "'sqlite:///runs/first/study.db', 'journal:runs/first/study.log' or "
            "'postgresql+psycopg://user@host/database'."
        ) from error


def _open_database(url: str, *, must_exist: bool) -> RDBStorage:
    if make_url(url).get_backend_name() != "sqlite":
        return _made(url, {"pool_pre_ping": True})
    file = _sqlite_file(url)
    if file is not None:
        if must_exist and not file.exists():
            raise StorageError(
                f"The storage {without_password(url)!r} does not exist: there is no {file}."
            )
        file.parent.mkdir(parents=True, exist_ok=True)
    return _made(url, {"connect_args": {"timeout": _SQLITE_TIMEOUT_S}})


def _made(url: str, engine: Mapping[str, object]) -> RDBStorage:
    """Open a database; processes that start at once may all try to create its tables."""
    for _ in range(_CREATION_ATTEMPTS - 1):
        try:
            return RDBStorage(url, engine_kwargs=dict(engine))
        except (IntegrityError, ProgrammingError):
            time.sleep(1.0)
        except OperationalError as error:
            if "already exists" not in str(error):
                raise
            time.sleep(1.0)
    return RDBStorage(url, engine_kwargs=dict(engine))


def _open_grpc(url: str) -> BaseStorage:
    parsed = urlsplit(url)
    if parsed.hostname is None or parsed.port is None:
        raise ValueError("a gRPC proxy is named by host and port, as in 'grpc://host:13000'.")
    try:
        import grpc  # noqa: F401  (Optuna would import it late, and fail with less to say)
    except ImportError as error:
        raise StorageError(
            "A grpc:// storage needs the package grpcio: install motemo[grpc]."
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=parsed.hostname, port=parsed.port)
    proxy.wait_server_ready(timeout=_GRPC_TIMEOUT_S)
    return proxy


def _journal_file(url: str) -> Path:
    path = url.removeprefix(_JOURNAL)
    if path.startswith("//") and not path.startswith("///"):
        raise ValueError("write journal:relative/path, or journal:///absolute/path.")
    if not path.strip("/"):
        raise ValueError("the URL names no file.")
    return Path(path.removeprefix("//"))


def serves_several(storage: BaseStorage | None) -> bool:
    """Return whether several processes may work on a storage at once: not in memory, not SQLite."""
    if isinstance(storage, RDBStorage):
        return str(storage.engine.dialect.name) != "sqlite"
    return storage is not None and not isinstance(storage, InMemoryStorage)


def check_serves_several(storage: str | BaseStorage) -> None:
    """Raise unless several workers can share a storage, given open or by its URL.

    Raises:
        StorageError: It serves one process only.
    """
    if isinstance(storage, str):
        several, shown = not storage.startswith("sqlite"), without_password(storage)
    else:
        several, shown = serves_several(storage), type(storage).__name__
    if several:
        return
    raise StorageError(
        f"The storage {shown!r} serves one process at a time. For several workers on one machine "
        "give a journal file, as in 'journal:runs/first/study.log'; on several machines, a server, "
        "as in 'postgresql+psycopg://user@host/database'."
    )


@contextmanager
def opened(storage: str | BaseStorage | None) -> Iterator[BaseStorage | None]:
    """Open a storage that is given by its URL, and close it in the end; leave others as they are.

    Raises:
        StorageError: It cannot be opened.
    """
    if not isinstance(storage, str):
        yield storage
        return
    own = open_storage(storage)
    try:
        yield own
    finally:
        if isinstance(own, RDBStorage):
            own.remove_session()
            own.engine.dispose()
        elif isinstance(own, GrpcStorageProxy):
            own.close()


def storage_errors() -> tuple[type[Exception], ...]:
    """Return what a storage raises when it is damaged, full, locked or gone."""
    return (*_server_errors(), OSError, StorageError)


def _server_errors() -> tuple[type[Exception], ...]:
    errors: tuple[type[Exception], ...] = (StorageInternalError, SQLAlchemyError)
    if "grpc" in sys.modules:
        from grpc import RpcError

        errors = (*errors, RpcError)
    return errors


def _reason(error: BaseException) -> str:
    """Return what matters of an error's text."""
    text = str(error).strip()
    details = re.search(r'details = "(.*)"', text)  # of gRPC
    return details[1] if details else (text.splitlines() or [repr(error)])[0]


def _sentence(error: BaseException) -> str:
    """Return what matters of an error's text, with a full stop."""
    reason = _reason(error)
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a storage raises while it is used into an error that helps.

    Raises:
        StorageError: The storage is damaged, full, locked or gone.
    """
    try:
        yield
    except _server_errors() as error:
        reason = _sentence(error.__cause__ or error)
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
            f"Another motemo search is at work on {file}, or 'motemo train' on its finalists. One "
            "process at a time works on a study in SQLite: wait for it, or choose another storage "
            "or --out folder."
        ) from error


def _sqlite_file(url: str) -> Path | None:
    if not url.startswith("sqlite"):
        return None
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
