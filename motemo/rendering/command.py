"""The command that repeats a search."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from motemo.space import Json

_REPEATED = {"objectives": "--objective", "options": "--set", "constraints": "--constraint"}


def search_command(request: Mapping[str, Json], *, trials: int | None) -> str:
    """Return the shell command that `motemo search` was called by, with all of its settings.

    Args:
        request: What the study says that it was asked for (`motemo.records.read_request`).
        trials: Completed evaluations that were asked for, if known.
    """
    words = ["motemo", "search"]
    for name, value in {**request, "trials": trials}.items():
        if isinstance(value, bool):
            words += [_option(name)] if value else []
        elif isinstance(value, list):
            words += [word for item in value for word in (_option(name), str(item))]
        elif value is not None:
            words += [_option(name), str(value)]
    return shlex.join(words)


def _option(name: str) -> str:
    return _REPEATED.get(name, f"--{name.replace('_', '-')}")
