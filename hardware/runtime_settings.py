"""What the settings of a runtime may be."""

from __future__ import annotations

import os
from collections.abc import Sequence

from motemo.errors import SettingsError


def check_threads_and_batch(threads: int, batch: int) -> None:
    """Raise unless every thread can have a core of its own, and a batch has an image.

    Raises:
        SettingsError: They do not.
    """
    cores = os.cpu_count() or 1
    if not 1 <= threads <= cores:
        raise SettingsError(
            f"A device needs at least one thread and at most one per core, here {cores}; "
            f"got {threads}."
        )
    if batch < 1:
        raise SettingsError(f"A device needs a batch of at least one image; got {batch}.")


def check_choice(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise unless a value is among the allowed ones.

    Raises:
        SettingsError: It is not.
    """
    if value not in allowed:
        raise SettingsError(f"Unknown {what} {value!r}. Allowed: {', '.join(allowed)}.")
