"""Measuring and training keep apart, between processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from motemo import host_lock
from motemo.data.digits import load_digits
from motemo.data.pipeline import take
from motemo.evaluation import undisturbed
from motemo.objectives.proxies.synflow import SynFlow

pytest.importorskip("fcntl")

HOLD = (
    "import sys, tempfile; tempfile.tempdir = sys.argv[2]; from motemo import host_lock; "
    "lock = getattr(host_lock, sys.argv[1])(); lock.__enter__(); print('held', flush=True); "
    "sys.stdin.readline(); lock.__exit__(None, None, None); print('free', flush=True); "
    "sys.stdin.readline()"
)


class Holder:
    """A process that measures or trains until it is told to stop."""

    def __init__(self, what: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, what, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for locks that no other program uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def trainer(folder: Path) -> Iterator[Holder]:
    """Another process that trains."""
    holder = Holder("training", folder)
    holder.wait_for("held")
    yield holder
    holder.process.kill()
    holder.process.communicate()


def _measure(done: list[str]) -> Thread:
    def measure() -> None:
        with host_lock.measuring():
            done.append("measured")

    thread = Thread(target=measure, daemon=True)
    thread.start()
    return thread


def test_training_goes_on_beside_training(trainer: Holder) -> None:
    with host_lock.training():
        pass


def test_measuring_waits_for_training_and_goes_first(trainer: Holder, folder: Path) -> None:
    done: list[str] = []
    measuring = _measure(done)
    measuring.join(0.2)
    assert measuring.is_alive(), "another process trains"
    second = Holder("training", folder)
    try:
        trainer.stop()
        trainer.wait_for("free")
        measuring.join()
        assert done == ["measured"]
        second.wait_for("held")
    finally:
        second.process.kill()
        second.process.communicate()


def test_scores_of_untrained_networks_do_not_disturb_measuring_either(folder: Path) -> None:
    done: list[str] = []
    proxy = SynFlow(data=take(load_digits(), classes=2, images_per_class=2))
    with undisturbed(proxy):
        measuring = _measure(done)
        measuring.join(0.2)
        assert not done
    measuring.join()
    assert done == ["measured"]


def test_the_lock_of_a_killed_process_is_free(trainer: Holder) -> None:
    trainer.process.send_signal(signal.SIGKILL)
    trainer.process.wait()
    with host_lock.measuring():
        pass


def test_a_long_wait_is_explained(
    trainer: Holder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_lock, "PATIENCE_SECONDS", 0.1)
    done: list[str] = []
    measuring = _measure(done)
    measuring.join(1.0)
    assert "Waiting for other motemo processes" in caplog.text
    assert not done
    trainer.stop()
    measuring.join(10)
    assert done == ["measured"]
