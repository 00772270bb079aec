"""Everything that motemo raises on purpose.

    MotemoError
    ├── UsageError                  a setting that cannot work; the command line exits with status 2
    │   ├── UnknownNameError        a space, objective, sampler or device that is not registered
    │   ├── GenotypeError           a genotype that is malformed
    │   ├── InvalidArchitectureError  a well-formed genotype whose network computes nothing
    │   ├── DataError               images or labels that are missing, corrupt or too few
    │   ├── ConstraintError         a malformed constraint, or one on an objective not measured
    │   ├── StorageError            a storage URL or study that cannot be opened or used
    │   ├── SettingsError           settings that contradict each other or a stored study
    │   └── OutputError             an output folder that holds something else
    ├── DeviceError                 a device that is not available here
    └── EvaluationError             one evaluation that went wrong; it becomes a Failure

Messages say what was wrong, what was given, what is allowed, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MotemoError(Exception):
    """Base class of every error that motemo raises on purpose."""


class UsageError(MotemoError):
    """A setting that cannot work, found before anything was computed or written."""


class UnknownNameError(UsageError):
    """A name that is not registered.

    Attributes:
        name: What was asked for.
        available: The names that exist.
    """

    def __init__(self, kind: str, name: str, available: Iterable[str]) -> None:
        self.name = name
        self.available = tuple(sorted(available))
        close = difflib.get_close_matches(name, self.available, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listing = ", ".join(self.available) or "none"
        super().__init__(f"Unknown {kind} {name!r}.{hint} Available: {listing}.")


class GenotypeError(UsageError):
    """A genotype that the space cannot read."""


class InvalidArchitectureError(UsageError):
    """A genotype whose network computes nothing, such as one without a path to the output."""


class DataError(UsageError):
    """Images or labels that are missing, corrupt or too few."""


class ConstraintError(UsageError):
    """A constraint that is malformed or names an objective that is not measured."""


class StorageError(UsageError):
    """A storage that cannot be opened, or a study in it that cannot be used."""


class SettingsError(UsageError):
    """Settings that contradict each other or those of a stored study."""


class OutputError(UsageError):
    """An output folder that holds something else."""


class DeviceError(MotemoError):
    """A device that is not available on this machine."""


class EvaluationError(MotemoError):
    """One evaluation that went wrong; objectives turn it into a `Failure`."""
