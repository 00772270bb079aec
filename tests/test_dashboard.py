"""Optuna Dashboard on a study of motemo, in a real browser."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import dump_dom, require_browser

import motemo


@pytest.fixture(scope="module")
def front_and_dashboard(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[motemo.Front, str]]:
    """A study on SQLite, and the address of a dashboard that shows it."""
    require_browser()
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard')}/study.db"
    front = motemo.search(
        motemo.NasBench201(),
        [motemo.Params(), motemo.Latency(device=motemo.cpu())],
        trials=4,
        storage=url,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "optuna-dashboard")
    server = subprocess.Popen(
        [program, url, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield front, _wait_for(f"http://127.0.0.1:{port}/dashboard")
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str) -> str:
    for _ in range(240):
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310  (our own server)
                return address
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"the dashboard did not answer at {address}")


def test_pareto_plot_has_named_metrics(front_and_dashboard: tuple[motemo.Front, str]) -> None:
    _, address = front_and_dashboard
    page = dump_dom(f"{address}/studies/1")
    assert "Pareto Front" in page
    assert ">params<" in page
    assert ">latency_ms<" in page


def test_trials_show_genotype_and_measurements(
    front_and_dashboard: tuple[motemo.Front, str],
) -> None:
    front, address = front_and_dashboard
    member = front.evaluated[0]
    page = dump_dom(f"{address}/studies/1/trials?numbers={member.trial}")
    assert member.architecture.genotype in page
    assert "measurement:latency_ms" in page
    assert str(int(member.measurements["params"].value)) in page
