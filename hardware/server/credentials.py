"""The token that a device and its clients share.

It lies in a file that only its owner can read, or in an environment variable; it is never given
on a command line, and stands in no study, log or message.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path

from platformdirs import user_config_path

from motemo.errors import SettingsError

VARIABLE = "MOTEMO_DEVICE_TOKEN"
SHORTEST = 16

_logger = logging.getLogger(__name__)


def default_file() -> Path:
    """Return where the token lies if nothing else is said."""
    return user_config_path("motemo") / "device_token"


def find_token(file: Path | None) -> str | None:
    """Return the token: of the file if one is given, else of the variable or the default file.

    Raises:
        SettingsError: It is malformed, or the file that is given cannot be read.
    """
    if file is None and VARIABLE in os.environ:
        return _checked(os.environ[VARIABLE], f"the environment variable {VARIABLE}")
    place = file or default_file()
    try:
        text = place.read_text()
        mode = place.stat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"Cannot read the token file {place}: {type(error).__name__}."
        ) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        _logger.warning("Other users can read the token file %s; run: chmod 600 %s", place, place)
    return _checked(text, f"the file {place}")


def make_token(file: Path) -> None:
    """Write a new token to a file that does not exist and that only its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as opened:
        opened.write(secrets.token_urlsafe(32) + "\n")


def _checked(text: str, place: str) -> str:
    token = text.strip()
    plain = token.isascii() and token.isprintable() and " " not in token
    if not plain or len(token) < SHORTEST:
        raise SettingsError(
            f"The token in {place} must be one line of at least {SHORTEST} letters, digits or "
            "signs. 'motemo serve-device' makes one if the file does not exist."
        )
    return token
