"""The worker processes that `motemo search --workers` starts on this host, and looks after."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from motemo.cli.console import note
from motemo.errors import DeviceError, EvaluationError

_MOST_RESTARTS = 5
"""Restarts between two completed evaluations; more, and something is wrong with all of them."""
_PATIENCE_S = 20.0
_TAIL = 2000
_UNUSABLE = 2  # the status of a command whose settings cannot work


@dataclass
class Crew:
    """A number of processes that run one command, each on its share of the cores or GPUs.

    A context manager: at its end, those that still run are asked to leave, then killed.

    Attributes:
        count: How many.
        command: What each runs.
        logs: Folder for what each says.
        gpus: GPUs to share out in turn; empty for none.
        environment: Variables that they get on top of those of this process.
    """

    count: int
    command: Sequence[str]
    logs: Path
    gpus: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)
    _started_at: dict[int, int] = field(default_factory=dict, init=False)
    _restarts: int = field(default=0, init=False)
    _completed: int = field(default=0, init=False)
    _failed: int | None = field(default=None, init=False)

    def __enter__(self) -> Crew:
        self.logs.mkdir(parents=True, exist_ok=True)
        for place in range(self.count):
            self._log(place).unlink(missing_ok=True)
            self._start(place)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tend(self, completed: int) -> bool:
        """Start again what has died; return whether anyone is at work.

        Args:
            completed: Evaluations that the study has by now.

        Raises:
            EvaluationError: The last one could not work, or died too often.
        """
        if completed > self._completed:
            self._completed, self._restarts = completed, 0
        for place, process in list(self._running.items()):
            status = process.poll()
            if status is None:
                continue
            del self._running[place]
            idle = self._started_at[place] == completed
            if status and self._restarts < _MOST_RESTARTS and not (status == _UNUSABLE and idle):
                self._restarts += 1
                note(f"worker {place} ended with status {status}; it is started again")
                self._start(place)
            elif status:
                self._failed = place
        if not self._running and self._failed is not None:
            log = self._log(self._failed)
            said = log.read_text(errors="replace")[-_TAIL:].strip()
            raise EvaluationError(f"The workers could not go on. The last said, in {log}:\n{said}")
        return bool(self._running)

    def _log(self, place: int) -> Path:
        return self.logs / f"worker-{place}.log"

    def _start(self, place: int) -> None:
        cores = _share(place, self.count)
        environment = {**os.environ, **self.environment, "OMP_NUM_THREADS": str(len(cores) or 1)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        with self._log(place).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  (this very program)
                self.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which ends the others
            )
        if cores:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, cores)
        self._running[place], self._started_at[place] = process, self._completed


def worker_command(study_name: str, *, space: str | None = None) -> list[str]:
    """Return the command of a worker that leaves when this process is gone.

    The storage is handed over by the environment, where a password is not seen by other users.

    Args:
        study_name: The study.
        space: The space, if it is in a file: workers run no file that a study names.
    """
    program = [sys.executable, "-m", "motemo", "worker"]
    own = [] if space is None else ["--space", space]
    return [*program, "--study-name", study_name, *own, "--parent", str(os.getpid())]


def gpus_for(train_device: str) -> list[str]:
    """Return the GPUs that workers share out: all visible ones if any GPU will do, else none.

    Raises:
        DeviceError: There is no GPU.
    """
    if train_device != "cuda":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named:
        return [name.strip() for name in named.split(",")]
    import torch

    count = torch.cuda.device_count()
    if not count:
        raise DeviceError("torch sees no CUDA device here. Train on the cpu, or on another host.")
    return [str(number) for number in range(count)]


def _share(place: int, count: int) -> list[int]:
    """Return the cores of one of several workers; empty where cores cannot be shared out."""
    if sys.platform != "linux":
        return []
    cores = sorted(os.sched_getaffinity(0))
    if count > len(cores):
        return [cores[place % len(cores)]]
    return cores[place * len(cores) // count : (place + 1) * len(cores) // count]
