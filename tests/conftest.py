"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import run as run


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what motemo remembers of this machine's devices apart from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published records, or skip; with MOTEMO_REQUIRE_DATA=1, fail."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MOTEMO_SHARED_DATA", beside))
    if not folder.is_dir():
        message = f"no published records at {folder}; set MOTEMO_SHARED_DATA to their folder"
        if os.environ.get("MOTEMO_REQUIRE_DATA") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder
