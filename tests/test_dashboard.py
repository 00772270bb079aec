"""`motemo dashboard`: what it adds, that it only reads, and a real browser on it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import pytest
from browser import driven
from command_line import Run
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.trial import TrialState
from torch import nn

import motemo
from motemo.dashboard.markdown import code_block, plain
from motemo.dashboard.mirror import Mirror, StudyCopy
from motemo.dashboard.server import DashboardApp, DashboardServer
from motemo.errors import SettingsError, StorageError
from motemo.finalist import EpochResult, Finalist, finalist_folder, write_finalist
from motemo.objective import Outcome, Stage, evaluate_each
from motemo.records import settings_of
from motemo.space import Choice, Json, Shape
from motemo.storage import load_study, open_storage

EVIL = "<script>document.title = 'run'</script>"
CHOICES = (EVIL, "```\n# no head", "<img src=x onerror=alert(1)>", "a|b", "plain")


def _network(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))


SPACE = motemo.FunctionSpace(
    name="unkind",
    genes=(motemo.Gene("a", CHOICES), motemo.Gene("b", tuple(range(6)))),
    build_network=_network,
    invalid=lambda values: "b is 5" if values["b"] == 5 else None,
)


@dataclass(frozen=True, kw_only=True)
class Scored(motemo.Objective):
    """A number, with the record of a training; one value of b fails."""

    seconds: float = 0.0
    name: str = "scored"
    unit: str = ""
    direction: motemo.Direction = motemo.Direction.MAXIMIZE
    stage: Stage = Stage.TRAIN
    occupies_host: bool = field(default=False, init=False)

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> Outcome:
        time.sleep(self.seconds)
        values = architecture.space.read(architecture.genotype)
        a, b = CHOICES.index(str(values["a"])), int(values["b"])
        if b == 4:
            raise ValueError(f"no b of 4, said {EVIL}")
        score = float(10 * a + b)
        record: dict[str, Json] = {
            "epoch_losses": [2.0, 1.0 + a, 0.5],
            "landscape_losses": [2.0, 1.0, 0.5],
        }
        return motemo.Measurement(
            value=score, unit="", low=score - 1, high=score + 1, record=record
        )

    def identity(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Cost(motemo.Objective):
    """A cost that is higher where the score is, mostly."""

    name: str = "cost_ms"
    unit: str = "ms"
    direction: motemo.Direction = motemo.Direction.MINIMIZE
    stage: Stage = Stage.COUNT
    occupies_host: bool = field(default=False, init=False)

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return evaluate_each(architectures, self._measure)

    def _measure(self, architecture: motemo.Architecture) -> Outcome:
        values = architecture.space.read(architecture.genotype)
        cost = (CHOICES.index(str(values["a"])) + 2 * int(values["b"])) % 7
        return motemo.Measurement.exact(float(cost), self.unit)

    def identity(self) -> dict[str, Json]:
        return {}


def _search(url: str, trials: int, *, seconds: float = 0.0) -> motemo.Front:
    return motemo.search(
        SPACE,
        [Scored(seconds=seconds), Cost()],
        trials=trials,
        constraints=["cost_ms<=5"],
        sampler="random",
        storage=url,
        seed=1,
    )


@contextmanager
def _serving(app: DashboardApp) -> Iterator[str]:
    """Yield the address of a server."""
    server = DashboardServer.listening(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _get(address: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  (our own server)
        body: bytes = answer.read()
        return body


def _study(address: str, number: int = 1) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_get(f"{address}/api/studies/{number}"))
    return answer


def _status(address: str, method: str) -> int:
    request = urllib.request.Request(address, b"{}", method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search in SQLite, with a model beside it."""
    folder = tmp_path_factory.mktemp("run")
    _search(f"sqlite:///{folder}/study.db", 12)
    (folder / "models").mkdir()
    (folder / "models" / "trial_0003.untrained.onnx").write_bytes(b"a model")
    for trial, failure in ((3, None), (5, "the loss was <b>NaN</b>")):
        write_finalist(_finalist(folder, trial, failure), b"weights")
    return folder


def _finalist(run: Path, trial: int, failure: str | None) -> Finalist:
    return Finalist(
        trial=trial,
        genotype="any",
        space=SPACE.name,
        input_shape=(3, 32, 32),
        classes=10,
        class_names=(),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        val_accuracy=None if failure else 0.712,
        val_low=None if failure else 0.69,
        val_high=None if failure else 0.731,
        val_images=1000,
        epochs=2,
        recipe={},
        curve=() if failure else tuple(EpochResult(n, 2 / n, 2 / n, n / 3, 1.0) for n in (1, 2)),
        failure=failure,
        folder=finalist_folder(run / "trained", trial),
    )


@pytest.fixture(scope="module")
def address(run_folder: Path) -> Iterator[str]:
    """The address of a dashboard on that search."""
    storage = open_storage(f"sqlite:///{run_folder}/study.db")
    app = DashboardApp.of(storage, "motemo", space=SPACE, folder=run_folder)
    with _serving(app) as address:
        yield address


def _note(study: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> str:
    return next(str(trial["note"]["body"]) for trial in study["trials"] if wanted(trial))


def test_trials_have_notes(address: str, run_folder: Path) -> None:
    front = motemo.read_front(load_study(f"sqlite:///{run_folder}/study.db", "motemo"), space=SPACE)
    study = _study(address)
    notes = {trial["number"]: trial["note"]["body"] for trial in study["trials"]}
    members = {member.trial for member in front}
    for member in front.evaluated:
        assert ("**On the front**" in notes[member.trial]) == (member.trial in members)
        assert code_block(member.architecture.genotype) in notes[member.trial]
        assert f"of {len(front.evaluated)}" in notes[member.trial]
        score = member.measurements["scored"].value
        assert plain(f"{score:.1f} ± 1.0") in notes[member.trial]
    assert "b is 5" in _note(study, lambda t: "**Invalid**" in t["note"]["body"])
    assert "cost_ms" in _note(study, lambda t: "**Breaks a bound**" in t["note"]["body"])
    assert "no b of 4" in _note(study, lambda t: t["state"] == "Fail")
    assert f"{len(front)} of {len(front.evaluated)} evaluated" in study["note"]["body"]
    assert all(notes.values())


def test_artifacts_are_pictures_and_models(address: str) -> None:
    study = _study(address)
    trial = next(t for t in study["trials"] if t["state"] == "Complete")
    drawn, curve = trial["artifacts"][:2]
    assert [drawn["filename"], curve["filename"]] == ["architecture.svg", "training.svg"]
    place = f"{address}/artifacts/1/{trial['trial_id']}"
    assert b"&lt;script&gt;" in b"".join(
        _get(f"{address}/artifacts/1/{t['trial_id']}/0") for t in study["trials"] if t["artifacts"]
    )
    assert b"landscape" not in _get(f"{place}/{curve['artifact_id']}")
    assert b"<svg" in _get(f"{place}/{curve['artifact_id']}")
    model, weights = study["trials"][3]["artifacts"][-2:]
    assert model["filename"] == "trial_0003.untrained.onnx"
    assert weights["filename"] == "weights.safetensors"
    identity = study["trials"][3]["trial_id"]
    assert _get(f"{address}/artifacts/1/{identity}/{model['artifact_id']}") == b"a model"
    assert _status(f"{place}/ff", "GET") == 404


def test_finalists_are_told_of(address: str) -> None:
    study = _study(address)
    trained, failed = study["trials"][3], study["trials"][5]
    assert "71.2 % of 1000 validation images" in trained["note"]["body"]
    assert "![real training](" in trained["note"]["body"]
    assert code_block("the loss was <b>NaN</b>") in failed["note"]["body"]
    assert "real training" not in failed["note"]["body"]


def test_plots_show_front_and_hypervolume(address: str) -> None:
    plots = {
        p["id"]: json.loads(p["graph_object"]) for p in _study(address)["plotly_graph_objects"]
    }
    assert set(plots) == {"front-cost_ms", "hypervolume"}
    front = plots["front-cost_ms"]["data"][1]
    assert front["error_y"]["array"] == [1.0] * len(front["x"])
    shares = plots["hypervolume"]["data"][0]["y"]
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


@pytest.mark.parametrize(
    ("objectives", "bounds", "plots", "said"),
    [
        ([Cost()], [], {"best-cost_ms"}, "on the front"),
        ([Scored(), Cost()], ["cost_ms<=-1"], {"front-cost_ms"}, "Infeasible"),
    ],
)
def test_few_objectives_and_no_feasible_one(
    objectives: list[motemo.Objective], bounds: list[str], plots: set[str], said: str
) -> None:
    storage = optuna.storages.InMemoryStorage()
    motemo.search(
        SPACE, objectives, trials=4, constraints=bounds, sampler="random", storage=storage
    )
    with _serving(DashboardApp.of(storage, "motemo", space=SPACE)) as address:
        study = _study(address, 0)
    assert {plot["id"] for plot in study["plotly_graph_objects"]} == plots
    assert said in study["note"]["body"]
    assert any("**On the front**" in trial["note"]["body"] for trial in study["trials"])


def test_study_without_trials() -> None:
    study = optuna.create_study(study_name="motemo")
    study.set_user_attr("motemo", settings_of(SPACE, [Cost()], []))
    with _serving(DashboardApp.of(study._storage, "motemo", space=SPACE)) as address:
        shown = _study(address, 0)
    assert "No architecture" in shown["note"]["body"]
    assert shown["plotly_graph_objects"] == []


def test_nothing_reaches_the_study(address: str, run_folder: Path) -> None:
    before = (run_folder / "study.db").read_bytes()
    _study(address)
    assert _status(f"{address}/api/studies/1", "DELETE") == 403
    assert _status(f"{address}/api/studies/1/note", "PUT") == 403
    assert _status(f"{address}/api/studies", "POST") == 403
    assert (run_folder / "study.db").read_bytes() == before
    assert _search(f"sqlite:///{run_folder}/study.db", 12).evaluated  # continues


def test_mirror_refuses_changes(run_folder: Path) -> None:
    study = load_study(f"sqlite:///{run_folder}/study.db", "motemo")
    frozen = open_storage(f"sqlite:///{run_folder}/study.db").get_all_studies()[0]
    mirror = Mirror()
    mirror.show([StudyCopy(frozen, study.get_trials())])
    shown = optuna.load_study(study_name="motemo", storage=mirror)
    assert shown.get_trials() == study.get_trials()
    assert shown.user_attrs == study.user_attrs
    for change in (
        lambda: shown.set_user_attr("a", 1),
        lambda: shown.enqueue_trial({}),
        lambda: shown.ask(),
        lambda: optuna.delete_study(study_name="motemo", storage=mirror),
    ):
        with pytest.raises(StorageError, match="changes nothing"):
            change()


def test_browser_shows_everything_as_text(address: str) -> None:
    study = _study(address)
    number = next(
        t["number"]
        for t in study["trials"]
        if t["state"] == "Complete" and any(p["param_external_value"] == EVIL for p in t["params"])
    )
    failed = next(t["number"] for t in study["trials"] if t["state"] == "Fail")
    drawn = "[...document.images].filter(i => i.naturalWidth > 100).length >= 3"
    with driven() as page:
        page.show_as(1200, 1400)
        page.open(f"{address}/dashboard/studies/1/trials?numbers={number}", until=drawn)
        assert EVIL in page.evaluate("document.body.innerText")
        assert page.evaluate("document.querySelector('table').innerText").count("of ") == 2
        assert page.errors == []
        said = "document.body.innerText.includes('no b of 4, said')"
        page.open(f"{address}/dashboard/studies/1/trials?numbers={failed}", until=said)
        assert page.errors == []
        plots = "document.querySelectorAll('[id^=user-defined-plot] .point').length > 10"
        page.open(f"{address}/dashboard/studies/1", until=plots)
        text = page.evaluate("document.body.innerText")
        assert "cost_ms" in text
        assert "scored" in text
        assert page.errors == []
        page.open(
            f"{address}/dashboard/studies/1/note",
            until="document.body.innerText.includes('are on the front')",
        )
        assert page.evaluate("document.querySelectorAll('table a').length") > 1
        assert page.evaluate("document.title") != "run"
        assert page.errors == []


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_follows_a_search_that_writes(tmp_path: Path, kind: str) -> None:
    end = "study.db" if kind == "sqlite" else "study.log"
    url = f"{kind}:///{tmp_path}/{end}" if kind == "sqlite" else f"journal://{tmp_path}/{end}"
    fronts: list[motemo.Front] = []
    # longer than twice the time between two readings
    search = threading.Thread(target=lambda: fronts.append(_search(url, 8, seconds=0.6)))
    search.start()
    while search.is_alive() and not (tmp_path / end).exists():
        time.sleep(0.01)
    source = open_storage(url)  # at the very moment when the search makes it
    while search.is_alive() and not source.get_all_studies():
        time.sleep(0.05)
    [study] = source.get_all_studies()
    app = DashboardApp.of(source, "motemo", space=SPACE)
    seen = []
    with _serving(app) as address:
        while search.is_alive():
            answer = _study(address, study._study_id)
            seen.append(sum(trial["state"] == "Complete" for trial in answer["trials"]))
        time.sleep(2.1)  # until it reads again
        last = _study(address, study._study_id)
    search.join()
    [front] = fronts
    assert 0 <= seen[0] < len(front.evaluated)
    assert len(set(seen)) > 1
    assert all(trial["note"]["body"] for trial in last["trials"])
    assert f"of {len(front.evaluated)} evaluated" in last["note"]["body"]
    states = {
        t.state for t in load_study(url, "motemo").get_trials() if "reason" not in t.user_attrs
    }
    assert states == {TrialState.COMPLETE}


def test_what_people_add_stays(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    _search(url, 2)
    study = load_study(url, "motemo")
    optuna_dashboard.save_note(study, "my own words")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "mine.txt").write_text("my own file")
    artifact = upload_artifact(
        artifact_store=FileSystemArtifactStore(tmp_path / "artifacts"),
        file_path=str(tmp_path / "mine.txt"),
        study_or_trial=study,
    )
    app = DashboardApp.of(open_storage(url), "motemo", space=SPACE, folder=tmp_path)
    with _serving(app) as address:
        assert _study(address)["note"]["body"] == "my own words"
        assert _get(f"{address}/artifacts/1/{artifact}") == b"my own file"


def test_other_studies_and_lost_storages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    _search(url, 2)
    optuna.create_study(study_name="other", storage=url).optimize(lambda t: 1.0, n_trials=1)
    app = DashboardApp.of(open_storage(url), "motemo", space=SPACE)
    with _serving(app) as address:
        assert _study(address, 2)["trials"][0]["note"]["body"] == ""
        before = _study(address)
        assert _status(f"{address}/api/studies/3", "GET") == 404
        (tmp_path / "study.db").write_bytes(b"no database any more, " * 1000)
        time.sleep(2.1)
        assert _study(address) == before
    assert "trying again" in caplog.text


def test_command_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/run/study.db"
    motemo.search(motemo.NasBench201(), [motemo.Params(), motemo.Flops()], trials=2, storage=url)
    dashboard = subprocess.Popen(
        [sys.executable, "-m", "motemo", "dashboard", "run", "--port", "0"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert dashboard.stderr is not None
    with dashboard.stderr:
        said = dashboard.stderr.readline()
        page = next(word for word in said.split() if word.startswith("http"))
        assert b"<!doctype html>" in _get(page).lower()
        study = _study(page.split("/dashboard")[0], int(page.rsplit("/", 1)[1]))
        assert "front" in study["trials"][0]["note"]["body"]
        dashboard.send_signal(signal.SIGINT)
        assert dashboard.wait(timeout=60) == 0
        assert dashboard.stderr.read().strip() == "ended"
    assert not (tmp_path / "run" / "artifacts").exists()


def test_command_line_says_what_is_wrong(
    run: Run, run_folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = run("dashboard", "nowhere")
    assert nothing.status == 2
    assert "no motemo run" in nothing.err
    own_space = run("dashboard", str(run_folder))
    assert own_space.status == 2
    assert "unkind" in own_space.err
    port = int(address.rsplit(":", 1)[1])
    app = DashboardApp.of(optuna.storages.InMemoryStorage(), "motemo")
    with pytest.raises(SettingsError, match="--port 0"):
        DashboardServer.listening(app, "127.0.0.1", port)
    monkeypatch.delitem(sys.modules, "motemo.dashboard.server")
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    missing = run("dashboard", str(run_folder))
    assert missing.status == 2
    assert "motemo[dashboard]" in missing.err


@pytest.mark.parametrize("name", ["somebody.example", "127.0.0.1.example:80", "", "["])
def test_pages_of_others_cannot_read_it_by_a_name_of_theirs(address: str, name: str) -> None:
    for path in ("/api/studies", "/dashboard"):
        asked = urllib.request.Request(address + path, headers={"Host": name})  # noqa: S310
        with pytest.raises(urllib.error.HTTPError, match="421") as refused:
            _get(asked)
        assert b"localhost" in refused.value.read()
    port = address.rsplit(":", 1)[1]
    own = urllib.request.Request(  # noqa: S310
        f"{address}/api/studies", headers={"Host": f"localhost:{port}"}
    )
    assert b"motemo" in _get(own)


def test_processes_may_open_a_new_storage_at_once(tmp_path: Path) -> None:
    failed: list[Exception] = []

    def make(url: str) -> None:
        try:
            open_storage(url)
        except StorageError as error:
            failed.append(error)

    for number in range(3):
        url = f"sqlite:///{tmp_path}/{number}.db"
        threads = [threading.Thread(target=make, args=(url,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []


@pytest.mark.parametrize("text", ["```", "a ```` b", "`", "# x\n```\n<b>", ""])
def test_code_blocks_hold_any_text(text: str) -> None:
    fence, *inside, last = code_block(text).split("\n")
    assert "\n".join(inside) == text
    assert last == fence.removesuffix("text")
    assert not any(set(line) == {"`"} and len(line) >= len(last) for line in inside)
