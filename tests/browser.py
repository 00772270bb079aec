"""A headless Chromium for tests: what a page's document is after its scripts ran."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_TIMEOUT_SECONDS = 120


def find_browser() -> str | None:
    """Return the path of a Chromium or Chrome, None if there is none."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def require_browser() -> str:
    """Return the path of a browser; without one skip, or fail if MOTEMO_REQUIRE_BROWSER=1."""
    browser = find_browser()
    if browser is not None:
        return browser
    message = f"none of {', '.join(_NAMES)} is on PATH"
    if os.environ.get("MOTEMO_REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


def dump_dom(path_or_url: str | Path, *, virtual_time_ms: int = 20_000) -> str:
    """Return the document as HTML text after its scripts ran."""
    return _run(path_or_url, "--dump-dom", f"--virtual-time-budget={virtual_time_ms}")


def screenshot(path_or_url: str | Path, out: Path, size: tuple[int, int] = (1400, 1600)) -> Path:
    """Write a PNG of the page in a window of `size` (width, height) pixels; return its path.

    Chromium lays out no window narrower than 500 pixels: put a page into a frame to see it there.
    """
    width, height = size
    _run(
        path_or_url,
        f"--screenshot={out}",
        f"--window-size={width},{height}",
        "--virtual-time-budget=20000",
    )
    return out


def _run(path_or_url: str | Path, *arguments: str) -> str:
    is_path = isinstance(path_or_url, Path) or "://" not in path_or_url
    url = Path(path_or_url).resolve().as_uri() if is_path else str(path_or_url)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [require_browser(), *_FLAGS, f"--user-data-dir={profile}", *arguments, url],
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    return done.stdout.decode()
