"""Following the storage of a search: reading what is new, and showing a copy of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage

from motemo.dashboard.mirror import Mirror, StudyCopy
from motemo.storage import storage_errors

_SECONDS = 2.0
_SHARE = 10
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Followed:
    """One study that somebody has looked at.

    Attributes:
        study: The study in its own storage, which reads from it only what is new.
        copy: What it held when it was read.
        again_at: When it may be read again, in seconds of the monotonic clock.
    """

    study: optuna.Study
    copy: StudyCopy
    again_at: float


class Follower:
    """Keeps a mirror up to date while somebody looks at it, and only then.

    A storage is read every two seconds at most, however many clients ask, by one thread at a time
    and for a tenth of the time at most. What cannot be read stays as it was.

    Attributes:
        mirror: The copies.
        lock: To hold from `look_at` until what it showed has been used.
    """

    def __init__(self, source: BaseStorage) -> None:
        self.mirror = Mirror()
        self.lock = threading.RLock()
        self._source = source
        self._listed: dict[int, StudyCopy] = {}
        self._list_at = 0.0
        self._followed: dict[int, _Followed] = {}
        self._in_trouble = False

    def look(self) -> None:
        """Bring the list of studies up to date."""
        with self.lock:
            if time.monotonic() >= self._list_at:
                self._try(self._list)

    def look_at(self, study_id: int) -> StudyCopy | None:
        """Bring a study up to date, and return it; None if there is none of this number."""
        with self.lock:
            self.look()
            known = self._followed.get(study_id)
            if known is None or time.monotonic() >= known.again_at:
                self._try(lambda: self._read(study_id))
            known = self._followed.get(study_id)
            return None if known is None else known.copy

    def _try(self, read: Callable[[], None]) -> None:
        try:
            read()
        except storage_errors() as error:
            if not self._in_trouble:
                _logger.warning("The storage cannot be read, trying again: %s", error)
            self._in_trouble = True
        except KeyError:  # deleted meanwhile
            self._list_at = 0.0
        else:
            self._in_trouble = False

    def _list(self) -> None:
        begin = time.monotonic()
        studies = self._source.get_all_studies()
        self._listed = {study._study_id: StudyCopy(study) for study in studies}
        self._followed = {i: known for i, known in self._followed.items() if i in self._listed}
        self._list_at = _later(begin)
        self._show()

    def _read(self, study_id: int) -> None:
        if study_id not in self._listed:
            return
        begin = time.monotonic()
        listed, known = self._listed[study_id].study, self._followed.get(study_id)
        study = known.study if known else self._open(listed.study_name)
        trials = study.get_trials(deepcopy=False)
        if known is None or (known.copy.study, known.copy.trials) != (listed, trials):
            copy = StudyCopy(listed, trials)
        else:
            copy = known.copy
        self._followed[study_id] = _Followed(study, copy, _later(begin))
        self._show()

    def _open(self, name: str) -> optuna.Study:
        return optuna.load_study(study_name=name, storage=self._source)

    def _show(self) -> None:
        copies = {i: known.copy for i, known in self._followed.items()}
        self.mirror.show([copies.get(i, listed) for i, listed in self._listed.items()])


def _later(begin: float) -> float:
    """Return when to read again, by when the reading that has just ended began."""
    now = time.monotonic()
    return now + max(_SECONDS, _SHARE * (now - begin))
