"""The option `stem_stride` that several spaces have."""

from __future__ import annotations

from motemo.errors import SettingsError


def check_stem_stride(stride: int, allowed: tuple[int, ...]) -> None:
    """Raise unless a stem may have a stride; the last of those allowed is the published one.

    Raises:
        SettingsError: It may not.
    """
    if stride not in allowed:
        raise SettingsError(
            f"`stem_stride` must be one of {allowed}; got {stride!r}. {allowed[-1]} is as "
            "published; lower ones suit small images."
        )
