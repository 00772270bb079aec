"""Who is at work on a study: each process says so again and again, and others judge by that.

A process writes an attribute of its own into the study, with a counter that it raises every
quarter of its lease. Another process takes it for dead when the counter stands still for a whole
lease by the observer's own clock: clocks of different machines are never compared. On one host it
is seen at once that a process has ended.
"""

from __future__ import annotations

import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from functools import cache
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any

import optuna

from motemo.errors import SettingsError, StorageError
from motemo.storage import storage_errors

DEFAULT_LEASE_S = 60.0
_SHORTEST_LEASE_S = 1.0
_BEATS_PER_LEASE = 4
LEFT, DIED = "left", "died"
_PREFIX = "process:"
_POLL_S = 0.2

_logger = logging.getLogger(__name__)


class Role(Enum):
    """What a process does in a study."""

    SEARCH = "search"
    WORKER = "worker"


class Verdict(Enum):
    """What an observer knows of another process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Presence:
    """What a process says of itself.

    Attributes:
        id: Name of the process in the study.
        role: What it does.
        host: Name of its host, for people.
        machine: What no other running system has, nor another container; empty if unknown.
        pid: Process number.
        born: When the process started, by its system's own count; empty if unknown.
        lease_s: Seconds of silence after which it counts as dead.
        beat: The counter.
        ended: How it came to its end: `LEFT` by its own word, `DIED` by that of others; or empty.
    """

    id: str
    role: str
    host: str
    machine: str
    pid: int
    born: str
    lease_s: float
    beat: int = 0
    ended: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} ({self.role})"


def own_presence(role: Role, *, lease_s: float) -> Presence:
    """Return what this process says of itself, under a new name.

    Raises:
        SettingsError: The lease is too short.
    """
    if not _SHORTEST_LEASE_S <= lease_s < float("inf"):
        raise SettingsError(
            f"A lease needs at least {_SHORTEST_LEASE_S:g} s, so that a process can keep it; got "
            f"{lease_s:g}."
        )
    pid = os.getpid()
    return Presence(
        id=uuid.uuid4().hex[:12],
        role=role.value,
        host=platform.node(),
        machine=_machine(),
        pid=pid,
        born=_born(pid) or "",
        lease_s=lease_s,
    )


class Silence:
    """Measures how long things stay as they are, while somebody looks.

    The time between two looks counts as one beat's at most, so that an observer that was itself
    asleep takes nobody for dead.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[object, tuple[object, float, float]] = {}

    def seconds(self, thing: object, state: object, *, lease_s: float) -> float:
        """Look at a thing; return for how many seconds it has been seen in this state."""
        now = self._clock()
        old, looked, silent = self._seen.get(thing, (object(), now, 0.0))
        silent = silent + min(now - looked, lease_s / _BEATS_PER_LEASE) if old == state else 0.0
        self._seen[thing] = (state, now, silent)
        return silent


class Observer:
    """Judges which processes of a study are alive; for use by several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = Lock()
        self._silence = Silence(clock)
        self._presences: dict[str, Presence] = {}
        self._first_beats: dict[str, int] = {}
        self._silent: dict[str, float] = {}

    def look(self, study_attrs: Mapping[str, Any]) -> None:
        """Take in what the processes say of themselves in a study's user attributes."""
        with self._lock:
            for name, value in study_attrs.items():
                if name.startswith(_PREFIX):
                    self._take_in(_read(value))

    def _take_in(self, presence: Presence) -> None:
        self._presences[presence.id] = presence
        self._first_beats.setdefault(presence.id, presence.beat)
        self._silent[presence.id] = self._silence.seconds(
            presence.id, presence.beat, lease_s=presence.lease_s
        )

    def others(self, own: str) -> list[Presence]:
        """Return all processes that have not come to their end, as far as known, except one."""
        with self._lock:
            return [p for p in self._presences.values() if p.id != own and not p.ended]

    def verdict(self, id: str) -> Verdict:  # noqa: A002  (the attribute's name)
        """Judge the process of that name, by the last look."""
        with self._lock:
            presence = self._presences.get(id)
            if presence is None:
                return Verdict.UNKNOWN
            if presence.ended or self._silent[id] >= presence.lease_s:
                return Verdict.DEAD
            if presence.machine and presence.machine == _machine():
                return Verdict.ALIVE if _is_running(presence) else Verdict.DEAD
            changed = presence.beat != self._first_beats[id]
            return Verdict.ALIVE if changed else Verdict.UNKNOWN

    def end(self, id: str) -> str | None:  # noqa: A002  (the attribute's name)
        """Return how the process of that name came to its end, `LEFT` or `DIED`, or None."""
        if self.verdict(id) is not Verdict.DEAD:
            return None
        with self._lock:
            return self._presences[id].ended or DIED


class Heartbeat:
    """Says in a study that this process is at work on it, until the block ends.

    Attributes:
        own: What it says.
        observer: Judges the others; looks at every beat.
    """

    def __init__(self, study: optuna.Study, role: Role, *, lease_s: float) -> None:
        self.own = own_presence(role, lease_s=lease_s)
        self.observer = Observer()
        self._study = study
        self._stop = Event()
        self._thread = Thread(target=self._beat, name="motemo-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._say(self.own)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            orderly = error is None or isinstance(error, KeyboardInterrupt | SystemExit)
            self.own = replace(self.own, ended=LEFT if orderly else DIED)
            self._say(self.own)
        except storage_errors() as failure:
            _logger.warning("Could not sign off from the study: %s", failure)

    def look(self) -> dict[str, Any]:
        """Look at the study's user attributes, and return them.

        Whose death is found out is declared dead, so that nobody has to find it out again.
        """
        attributes: dict[str, Any] = self._study.user_attrs
        self.observer.look(attributes)
        for other in self.observer.others(self.own.id):
            if self.observer.verdict(other.id) is Verdict.DEAD:
                self._say(replace(other, ended=DIED))
        return attributes

    def keep_out(self, *roles: Role) -> None:
        """Make sure that no living process has one of these roles in the study.

        Where that cannot be seen at once, it is waited for, up to a lease.

        Raises:
            StorageError: One has.
        """
        told: set[str] = set()
        while True:
            self.look()
            unknown = []
            for other in self.observer.others(self.own.id):
                if Role(other.role) not in roles:
                    continue
                verdict = self.observer.verdict(other.id)
                if verdict is Verdict.ALIVE:
                    raise StorageError(
                        f"The {other} is at work on the study {self._study.study_name!r}. One "
                        "search, or any number of workers, may be at work on a study: wait for "
                        "it to end, or join workers by 'motemo worker'."
                    )
                if verdict is Verdict.UNKNOWN:
                    unknown.append(other)
            if not unknown:
                return
            for other in unknown:
                if other.id not in told:
                    told.add(other.id)
                    _logger.warning(
                        "The %s has not signed off from the study. Watching for up to %.0f s "
                        "whether it is still at work.",
                        other,
                        other.lease_s,
                    )
            time.sleep(_POLL_S)

    def _beat(self) -> None:
        while not self._stop.wait(self.own.lease_s / _BEATS_PER_LEASE):
            try:
                self.own = replace(self.own, beat=self.own.beat + 1)
                self._say(self.own)
                self.look()
            except storage_errors() as error:
                _logger.warning("The study could not be reached: %s", error)

    def _say(self, presence: Presence) -> None:
        self._study.set_user_attr(f"{_PREFIX}{presence.id}", asdict(presence))


def _read(value: Mapping[str, Any]) -> Presence:
    return Presence(**{field.name: value[field.name] for field in fields(Presence)})


def _is_running(presence: Presence) -> bool:
    """Whether a process of this machine still runs."""
    born = _born(presence.pid)
    if born is not None:
        return born == presence.born
    try:
        os.kill(presence.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user, whose processes this system hides
    return False  # it has ended, and its parent has not taken notice yet


def _born(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if it has ended or is unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X", "x") else fields[19]


@cache
def _machine() -> str:
    """Name this boot of this system and the processes that it shows; empty if there is no way."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        processes = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{platform.node()} {boot} {processes}"
