"""Storages by URL: journal files that survive kills, gRPC proxies, and what is said of the rest."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

import motemo
from motemo.errors import StorageError
from motemo.journal import JournalLock
from motemo.run_folder import RunFolder
from motemo.storage import (
    check_serves_several,
    journal_url,
    load_study,
    open_storage,
    serves_several,
    without_password,
)

SPACE = motemo.NasBench201(cells=1)
PARAMS = [motemo.Params()]


def _search(url: str, trials: int) -> motemo.Front:
    return motemo.search(SPACE, PARAMS, trials=trials, sampler="random", storage=url)


@pytest.mark.parametrize("form", ["journal:deep/er/study.log", "journal://{folder}/study.log"])
def test_a_journal_file_is_named_by_a_relative_or_an_absolute_path(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = form.format(folder=tmp_path)
    front = _search(url, trials=2)
    assert list(tmp_path.rglob("study.log"))
    assert motemo.read_front(load_study(url, "motemo")) == front
    [file] = tmp_path.rglob("study.log")
    assert motemo.read_front(load_study(journal_url(file), "motemo")) == front


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("journal:", "names no file"),
        ("journal:///", "names no file"),
        ("journal://runs/study.log", "journal:relative/path"),
        ("journal:/proc/no/study.log", "Cannot open the storage"),
        ("journal:text.txt", "not a journal file"),
        ("journal:study.db", "not a journal file"),
        ("journal:damaged.log", "Cannot open the storage"),
        ("grpc://nowhere", "host and port"),
        ("grpc://host:many", "Cannot open the storage"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "Cannot open the storage"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_left_alone(
    url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("a thesis\nwithout a last line end")
    Path("study.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    Path("damaged.log").write_bytes(b'{"op_code":0,\n{"op_code":4}\n')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StorageError, match=message) as caught:
        open_storage(url)
    assert "hunter2" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_journal_file_must_exist_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no journal file"):
        load_study(f"journal://{tmp_path}/study.log", "motemo")
    assert not list(tmp_path.iterdir())


def test_a_line_that_a_killed_process_left_in_part_is_cut(tmp_path: Path) -> None:
    url, file = f"journal://{tmp_path}/study.log", tmp_path / "study.log"
    front = _search(url, trials=2)
    whole = file.read_bytes()
    storage = open_storage(url)
    for torn in (b'{"op_code":8,"wor', b"{" * 100_000):
        file.write_bytes(whole + torn)
        assert motemo.read_front(load_study(url, "motemo")) == front
        assert file.read_bytes() == whole
    file.write_bytes(whole + b'{"op_code":8,"wor')  # torn while it is open
    study = optuna.load_study(study_name="motemo", storage=storage)
    study.set_user_attr("note", "after")
    assert file.read_bytes().startswith(whole + b'{"op_code":2,')
    assert load_study(url, "motemo").user_attrs["note"] == "after"


def test_a_journal_of_which_only_part_of_the_first_line_was_written(tmp_path: Path) -> None:
    file = tmp_path / "study.log"
    file.write_bytes(b'{"op_')
    assert len(_search(journal_url(file), trials=1).evaluated) >= 1


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    file = tmp_path / "study.log"
    file.touch()
    program = (
        "import sys, time; from pathlib import Path; from motemo.journal import JournalLock; "
        "JournalLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        file.write_bytes(b'{"op_code":0}\n{"op_')
        holder.send_signal(signal.SIGKILL)
    lock = JournalLock(file)
    assert lock.acquire()
    assert file.read_bytes() == b'{"op_code":0}\n'
    lock.release()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("journal:runs/a:b@c.log", "journal:runs/a:b@c.log"),
        ("grpc://me:hunter2@host:13000", "grpc://me:***@host:13000"),
        ("mysql+pymysql://me:hunter2@host/db", "mysql+pymysql://me:***@host/db"),
        (
            "postgresql+psycopg://me@host/db?password=hunter2",
            "postgresql+psycopg://me@host/db?password=***",
        ),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_one_process_is_told_from_several(tmp_path: Path) -> None:
    several = f"journal://{tmp_path}/study.log"
    one = (f"sqlite:///{tmp_path}/study.db", optuna.storages.InMemoryStorage())
    assert serves_several(open_storage(several))
    check_serves_several(several)
    for storage in one:
        with pytest.raises(StorageError, match=r"one process at a time.*journal:.*postgresql"):
            check_serves_several(storage)
    assert not serves_several(open_storage(f"sqlite:///{tmp_path}/study.db"))
    assert not serves_several(None)


def test_a_run_folder_knows_its_journal(tmp_path: Path) -> None:
    shared = RunFolder(tmp_path / "run", shared=True)
    assert shared.storage_url == journal_url(tmp_path / "run/study.log")
    with shared.claimed():
        _search(shared.storage_url, trials=1)
    assert RunFolder.open(tmp_path / "run").storage_url == shared.storage_url
    RunFolder(tmp_path / "run").check()
    RunFolder(tmp_path / "run", shared.storage_url).check()
    single = RunFolder(tmp_path / "other", shared=True)
    _search(f"sqlite:///{tmp_path}/other/study.db", trials=1)
    assert single.storage_url.startswith("sqlite"), "what is there is continued"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a gRPC proxy before a journal file, in a process of its own."""
    pytest.importorskip("grpc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (
        "import sys, warnings; warnings.simplefilter('ignore'); import optuna; "
        "from motemo.storage import open_storage; optuna.storages.run_grpc_proxy_server("
        "open_storage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    )
    url = f"journal://{tmp_path}/study.log"
    with subprocess.Popen([sys.executable, "-c", program, url, str(port)]) as server:
        try:
            yield f"grpc://127.0.0.1:{port}"
        finally:
            server.kill()


def test_a_grpc_proxy_serves_search_and_workers(proxy: str) -> None:
    front = _search(proxy, trials=2)
    assert motemo.read_front(load_study(proxy, "motemo")) == front
    more = motemo.work(SPACE, PARAMS, storage=proxy, trials=6, sampler="random")
    assert len(more.evaluated) == 6


def test_grpc_without_its_package_or_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motemo.storage._GRPC_TIMEOUT_S", 0.5)
    with pytest.raises(StorageError, match="Cannot open the storage 'grpc:"):
        open_storage("grpc://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(StorageError, match=r"install motemo\[grpc\]"):
        open_storage("grpc://127.0.0.1:1")
