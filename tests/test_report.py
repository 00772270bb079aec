"""The report of a run, in a real browser: what it draws, how its parts are linked, what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from browser import Page, driven
from command_line import Run
from optuna.trial import FrozenTrial, TrialState, create_trial

import motemo
from motemo.drawing import Drawing
from motemo.errors import StorageError
from motemo.finalist import EpochResult, Finalist, read_finalists, write_finalist
from motemo.front import Member
from motemo.objective import Direction, Failure, Measurement, Objective, Outcome, Skipped, Stage
from motemo.pareto import hypervolume
from motemo.records import ABANDONED, DUPLICATE_OF, REASON, REQUEST, agree_on_settings, settings_of
from motemo.rendering.html import to_html
from motemo.rendering.report import Report, read_report, report_html
from motemo.rendering.report_progress import Growth
from motemo.rendering.report_trials import Outcome as Fate
from motemo.rendering.report_trials import fate_of, timing_of
from motemo.run_folder import RunFolder
from motemo.space import Architecture, Choice, Gene, Json
from motemo.spaces.function import FunctionSpace

READY = "document.documentElement.dataset.ready"
ATTACK = "</script><script>document.title='hacked'</script><img src=x onerror=alert(1)>\u2028&amp;"


@dataclass(frozen=True, kw_only=True)
class Made(Objective):
    """A value made up from the genes: their weighted sum, with a spread if it is measured."""

    name: str
    weights: tuple[float, ...]
    direction: Direction
    unit: str = ""
    spread: float = 0.0
    stage: Stage = Stage.COUNT
    fails_at: str = ""
    skips_at: str = ""
    why: str = "the loss is nan"
    batched: bool = field(default=False, init=False)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        return [self._one(architecture) for architecture in architectures]

    def identity(self) -> dict[str, Json]:
        return {"weights": list(self.weights)}

    def _one(self, architecture: Architecture) -> Outcome:
        values = list(architecture.space.read(architecture.genotype).values())
        if self.fails_at and values[0] == self.fails_at:
            return Failure(self.why)
        if self.skips_at and values[0] == self.skips_at:
            return Skipped("not in the table")
        total = sum(w * len(str(v)) for w, v in zip(self.weights, values, strict=True))
        return Measurement(
            value=total, unit=self.unit, low=total - self.spread, high=total + 2 * self.spread
        )


def nothing(values: Mapping[str, Choice], *_: object) -> Any:
    raise NotImplementedError


GENES = tuple(Gene(f"gene{k}", tuple("x" * n for n in range(1, 6))) for k in range(4))
SPACE = FunctionSpace(
    name="made",
    genes=GENES,
    build_network=nothing,
    invalid=lambda values: "too small" if all(v == "x" * 2 for v in values.values()) else None,
)
GOOD = Made(name="good", weights=(1, 0.2, 0.1, 0.05), direction=Direction.MAXIMIZE)
COSTS = (
    Made(
        name="slow_ms", weights=(1, 1, 0, 0.3), direction=Direction.MINIMIZE, unit="ms", spread=0.1
    ),
    Made(name="big", weights=(0.5, 0, 1, 0.7), direction=Direction.MINIMIZE, unit="count"),
    Made(name="hot", weights=(0.1, 0.3, 0, 1), direction=Direction.MINIMIZE, unit="mJ"),
    Made(name="fair", weights=(0, -1, 0.3, 0.6), direction=Direction.MAXIMIZE),
    Made(name="dear", weights=(1, 0.4, 0.2, -0.1), direction=Direction.MINIMIZE, unit="eur"),
)


def searched(
    objectives: Sequence[Objective],
    *constraints: str,
    trials: int = 40,
    space: FunctionSpace = SPACE,
) -> optuna.Study:
    storage = optuna.storages.InMemoryStorage()
    motemo.search(
        space,
        objectives,
        trials=trials,
        constraints=constraints,
        sampler="RandomSampler",
        storage=storage,
    )
    return optuna.load_study(study_name="motemo", storage=storage)


def reported(*objectives: Objective, **options: Any) -> Report:
    return read_report(searched(objectives, **options), space=SPACE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with driven() as page:
        page.show_as(1280, 900)
        yield page


def opened(browser: Page, report: Report, folder: Path, fragment: str = "") -> Page:
    path = folder / "report.html"
    path.write_text(report_html(report), encoding="utf-8")
    browser.open(f"{path.as_uri()}{fragment}", until=READY)
    assert browser.errors == []
    assert browser.evaluate("document.querySelectorAll('.undrawn').length") == 0
    return browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A report with three objectives, and its page."""
    report, path = reported(GOOD, *COSTS[:2]), tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_html(report), encoding="utf-8")
    return report, path


@pytest.fixture
def shown(browser: Page, written: tuple[Report, Path]) -> Iterator[tuple[Page, Report]]:
    """That page, opened once, with nothing marked."""
    report, path = written
    if browser.evaluate("location.href").split("#")[0] != path.as_uri():
        browser.open(path, until=READY)
    browser.evaluate("document.activeElement.blur()")
    browser.press("Escape", code=27)
    yield browser, report
    assert browser.errors == []


def trace(page: Page, plot: str, uid: str, what: str = "customdata") -> list[Any]:
    """Return what a trace of a drawn plot has, such as the indices of its points."""
    found: list[Any] = page.evaluate(
        f"[...document.getElementById('{plot}').data.find(t => t.uid === '{uid}').{what}]"
    )
    return found


def drawn(page: Page, plot: str) -> int:
    """Return how many markers a plot really has in the document."""
    return int(page.evaluate(f"document.querySelectorAll('#{plot} .points path.point').length"))


def marked(page: Page, selector: str) -> list[str]:
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('{selector} .marked')].map(e => e.dataset.index)"
    )
    return found


def place(page: Page, plot: str, uid: str, position: int) -> tuple[float, float]:
    """Return where in the window a point of a plot is."""
    page.middle(f"#{plot}")
    x, y = page.evaluate(
        f"(() => {{ const g = document.getElementById('{plot}'), l = g._fullLayout;"
        f"const t = g.data.find(t => t.uid === '{uid}'), b = g.getBoundingClientRect();"
        f"return [b.x + l.xaxis._offset + l.xaxis.d2p(t.x[{position}]),"
        f"b.y + l.yaxis._offset + l.yaxis.d2p(t.y[{position}])]; }})()"
    )
    return x, y


# What it draws


@pytest.mark.parametrize("count", [1, 2, 6])
def test_every_part_is_drawn(browser: Page, count: int, tmp_path: Path) -> None:
    report = reported(*(GOOD, *COSTS)[:count])
    page, front = opened(browser, report, tmp_path), report.front
    assert len(trace(page, "scatter", "front")) == len(front)
    assert drawn(page, "scatter") == len(front.evaluated)
    pairs = count * (count - 1) // 2 if count > 2 else 0
    panels = page.evaluate(
        "document.querySelectorAll('#matrix .subplot.xy, #matrix g.subplot').length"
    )
    assert panels == pairs
    if count > 2:
        assert drawn(page, "matrix") == pairs * len(front.evaluated)
        assert drawn(page, "parallel") == count * len(front)
    assert isinstance(report.growth, Growth)
    assert len(trace(page, "growth-plot", "growth", "y")) == len(report.growth.steps)
    assert page.evaluate("document.querySelectorAll('#importance td.share').length") == 4 * count
    assert page.evaluate("document.querySelectorAll('figure[data-index]').length") == len(front)
    assert page.evaluate("document.querySelectorAll('#members-table tbody tr').length") == len(
        front
    )
    assert page.evaluate("document.querySelectorAll('nav a').length") >= 7
    assert page.evaluate(
        "[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))"
    )


def test_spreads_are_error_bars(shown: tuple[Page, Report]) -> None:
    page, _ = shown
    bar = page.evaluate("document.getElementById('scatter').data[3].error_x")
    assert bar["array"][0] == pytest.approx(0.2)
    assert bar["arrayminus"][0] == pytest.approx(0.1)
    assert page.evaluate("document.querySelectorAll('#scatter .xerror').length") > 0


# How its parts are linked


def test_a_clicked_point_is_marked_everywhere(shown: tuple[Page, Report]) -> None:
    page, report = shown
    index = trace(page, "scatter", "front")[1]
    page.click_at(*place(page, "scatter", "front", 1))
    page.wait_for("!document.getElementById('picked').hidden")
    member = report.front.evaluated[index]
    said = page.evaluate("document.getElementById('picked').textContent")
    assert f"trial {member.trial} · on the front" in said
    assert member.architecture.genotype in said
    for table in ("#members-table", "#evaluated-table", "#drawings"):
        assert marked(page, table) == [str(index)], table
    assert page.evaluate("document.querySelectorAll('figure.large').length") == 1
    assert trace(page, "scatter", "picked") == [index]
    assert trace(page, "growth-plot", "picked") == [index]
    assert set(trace(page, "parallel", "picked")) - {None} == {index}
    assert all(trace(page, "matrix", f"picked{pair}") == [index] for pair in ("01", "02", "12"))
    assert page.evaluate("location.hash") == f"#trial={member.trial}"
    page.press("Escape", code=27)
    assert page.evaluate("document.querySelectorAll('.marked').length") == 0
    assert page.evaluate("document.getElementById('picked').hidden")
    assert trace(page, "matrix", "picked01") == []


def test_a_dragged_box_marks_what_is_in_it(shown: tuple[Page, Report]) -> None:
    page, _ = shown
    page.middle("#scatter")
    box = page.evaluate(
        "(() => { const g = document.getElementById('scatter'), l = g._fullLayout, b = "
        "g.getBoundingClientRect(); return [b.x + l.xaxis._offset, b.y + l.yaxis._offset, "
        "l.xaxis._length, l.yaxis._length, l.xaxis.range, l.yaxis.range]; })()"
    )
    left, top, width, height, across, up = box
    start, end = (0.05, 0.06), (0.5, 0.6)  # the very corners of a plot stretch its axes
    page.drag(*((left + width * x, top + height * y) for x, y in (start, end)))
    page.wait_for("!document.getElementById('picked').hidden")
    x_from, x_to = (across[0] + (across[1] - across[0]) * x for x, _ in (start, end))
    y_to, y_from = (up[1] - (up[1] - up[0]) * y for _, y in (start, end))
    inside = page.evaluate(
        "JSON.parse(document.getElementById('payload').textContent).points.filter(p => "
        f"p.values[1] > {x_from} && p.values[1] < {x_to} && p.values[0] > {y_from} && "
        f"p.values[0] < {y_to}).map(p => p.index)"
    )
    assert len(inside) > 1
    assert sorted(trace(page, "scatter", "picked")) == inside
    assert sorted(map(int, set(marked(page, "#evaluated-table")))) == inside
    assert f"{len(inside)} marked" in page.evaluate("document.getElementById('picked').textContent")
    assert page.evaluate("document.getElementById('scatter').layout.selections.length") == 0


def test_the_keyboard_is_enough(shown: tuple[Page, Report]) -> None:
    page, report = shown
    index = {m.trial: str(i) for i, m in enumerate(report.front.evaluated)}
    members = [index[member.trial] for member in report.front]
    page.evaluate("document.querySelector('#members-table .pick').focus()")
    page.press("ArrowDown", code=40)
    page.press("Enter", code=13, text="\r")
    assert marked(page, "#members-table") == [members[1]]
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.evaluate("document.getElementById('scatter').focus()")
    page.press("ArrowRight", code=39)
    assert marked(page, "#members-table") == [members[2]]
    page.evaluate("document.querySelector('#picked button').focus()")
    page.press("Enter", code=13, text="\r")
    assert marked(page, "#members-table") == [members[1]]
    page.press("Escape", code=27)
    assert marked(page, "#members-table") == []


def test_trials_in_the_address_are_marked(browser: Page, tmp_path: Path) -> None:
    report = reported(GOOD, COSTS[0])
    trials = sorted(member.trial for member in report.front.members[:2])
    page = opened(browser, report, tmp_path, fragment=f"#trial={trials[0]},{trials[1]}")
    assert len(marked(page, "#members-table")) == 2
    assert len(trace(page, "scatter", "picked")) == 2


# Tables


def column(page: Page, table: str, number: int) -> list[str]:
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('#{table} tbody tr')].map(r => "
        f"r.cells[{number}].firstChild.textContent)"
    )
    return found


def test_tables_sort_search_and_grow(browser: Page, tmp_path: Path) -> None:
    report = reported(GOOD, COSTS[0])
    page = opened(browser, report, tmp_path)
    for table in ("members-table", "evaluated-table"):
        head = f"#{table} th:nth-child(3)"
        page.click(f"{head} button")
        assert page.evaluate(f"document.querySelector('{head}').ariaSort") == "ascending"
        up = [float(text) for text in column(page, table, 2)]
        assert up == sorted(up)
        page.click(f"{head} button")
        down = [float(text) for text in column(page, table, 2)]
        assert down == sorted(down, reverse=True)
    values = [m.measurements["slow_ms"].value for m in report.front.evaluated]
    assert down[0] == pytest.approx(max(values))
    assert len(down) == 12
    page.click("#evaluated-table-more")
    assert len(column(page, "evaluated-table", 0)) == len(report.front.evaluated)
    genotype = report.front.evaluated[-1].architecture.genotype
    page.evaluate("document.getElementById('evaluated-find').focus()")
    page.call("Input.insertText", text=genotype.upper())
    assert column(page, "evaluated-table", 3)
    assert all(
        genotype
        in page.evaluate(f"document.querySelectorAll('#evaluated-table tbody tr')[{k}].textContent")
        for k in range(len(column(page, "evaluated-table", 0)))
    )


def test_what_was_left_out_is_counted_and_listed(browser: Page, tmp_path: Path) -> None:
    failing = Made(
        name="good",
        weights=GOOD.weights,
        direction=Direction.MAXIMIZE,
        fails_at="xxxx",
        skips_at="xxxxx",
        stage=Stage.TRAIN,
    )
    study = searched((failing, COSTS[0]), "slow_ms<=8", trials=25)
    study.enqueue_trial({gene.name: "xx" for gene in GENES})
    report = read_report(study, space=SPACE)
    counts = {outcome: sum(f.outcome is outcome for f in report.fates) for outcome in Fate}
    kinds = (Fate.FAILED, Fate.SKIPPED, Fate.INFEASIBLE, Fate.DUPLICATE, Fate.UNFINISHED)
    assert all(counts[kind] for kind in kinds), counts
    page = opened(browser, report, tmp_path)
    text = page.evaluate("document.getElementById('left-out').textContent")
    assert all(f"{counts[kind]}{kind.value}" in text for kind in kinds)
    assert f"{counts[Fate.FAILED]} × failed: good: the loss is nan" in text
    assert "infeasible: slow_ms is" in text
    page.evaluate(
        "(() => { const s = document.getElementById('others-kind'); s.value = 'failed'; "
        "s.dispatchEvent(new Event('input')); })()"
    )
    assert set(column(page, "others-table", 1)) == {"failed"}
    assert page.evaluate("document.getElementById('others-table-count').textContent").startswith(
        f"{counts[Fate.FAILED]} of "
    )
    page.click("#others-table th:nth-child(1) button")
    shown = [int(text) for text in column(page, "others-table", 0)]
    assert shown == sorted(f.trial for f in report.fates if f.outcome is Fate.FAILED)[:12]


@pytest.mark.parametrize(
    ("state", "attributes", "outcome", "reason"),
    [
        (TrialState.PRUNED, {REASON: "invalid: no path"}, Fate.INVALID, "no path"),
        (TrialState.PRUNED, {REASON: "infeasible: params"}, Fate.INFEASIBLE, "params"),
        (TrialState.PRUNED, {"stopped:a": {}, REASON: "stopped: a"}, Fate.STOPPED, "stopped: a"),
        (TrialState.PRUNED, {"skipped:a": {}, REASON: "skipped: a"}, Fate.SKIPPED, "a"),
        (TrialState.PRUNED, {DUPLICATE_OF: 3, REASON: "duplicate"}, Fate.DUPLICATE, "duplicate"),
        (TrialState.PRUNED, {}, Fate.PRUNED, ""),
        (TrialState.FAIL, {REASON: "a: invalid: b"}, Fate.FAILED, "a: invalid: b"),
        (TrialState.FAIL, {ABANDONED: "died"}, Fate.ABANDONED, ""),
        (TrialState.WAITING, {}, Fate.UNFINISHED, ""),
    ],
)
def test_the_fate_of_a_trial(
    state: TrialState, attributes: dict[str, Any], outcome: Fate, reason: str
) -> None:
    fate = fate_of(create_trial(state=state, user_attrs=attributes), SPACE)
    assert (fate.outcome, fate.reason, fate.genotype) == (outcome, reason, "")


def test_time_is_counted_once_where_trials_overlap() -> None:
    def trial(start: int, end: int) -> FrozenTrial:
        made = create_trial(state=TrialState.PRUNED)
        made.datetime_start = datetime(2026, 1, 1, 0, 0, start)
        made.datetime_complete = datetime(2026, 1, 1, 0, 0, end)
        return made

    timing = timing_of([trial(20, 24), trial(0, 10), trial(5, 8), trial(9, 12)])
    assert timing is not None
    assert timing.busy_seconds == 16
    assert (timing.end - timing.start).total_seconds() == 24
    assert timing_of([]) is None


# Whatever the study holds


def test_hostile_text_stays_text(browser: Page, tmp_path: Path) -> None:
    space = FunctionSpace(
        name=ATTACK,
        genes=(Gene(f"g{ATTACK}", (f"a{ATTACK}", "bb", "ccc")), Gene("h", ("x", "yy", "zzz"))),
        build_network=nothing,
    )
    objectives = (
        Made(
            name="up",
            weights=(1, 2),
            direction=Direction.MAXIMIZE,
            unit=ATTACK,
            fails_at="bb",
            why=ATTACK,
        ),
        Made(name="down", weights=(0.1, 2), direction=Direction.MINIMIZE),
        Made(name="left", weights=(-1, 2), direction=Direction.MINIMIZE),
    )
    study = searched(objectives, trials=6, space=space)
    study.set_user_attr(REQUEST, {"data": ATTACK})
    page = opened(
        browser,
        read_report(study, space=space, storage=ATTACK),
        tmp_path,
        fragment="#trial=0,1,2,3,4,5,6,7",
    )
    assert page.evaluate("document.title") == "Search report: up, down, left"
    assert page.evaluate("document.scripts.length") == 3
    assert page.evaluate(
        "[...document.images].every(i => i.getAttribute('src').startsWith('data:image/svg'))"
    )
    assert page.evaluate("document.body.innerText").count("</script>") > 8
    outside = "[...document.querySelectorAll('a')].filter(a => !a.hash).length"
    assert page.evaluate(outside) == 0
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_a_study_without_answers_says_so(browser: Page, tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    agree_on_settings(study, settings_of(SPACE, [GOOD], []))
    page = opened(browser, read_report(study, space=SPACE), tmp_path)
    assert "No architecture has been evaluated yet" in page.evaluate("document.body.innerText")
    everything = Made(name="good", weights=GOOD.weights, direction=Direction.MAXIMIZE, fails_at="x")
    one = FunctionSpace(name="made", genes=(Gene("g", ("x",)), *GENES[1:]), build_network=nothing)
    study = searched((everything,), trials=1, space=one)
    page = opened(browser, read_report(study, space=one), tmp_path)
    text = page.evaluate("document.body.innerText")
    assert "No architecture has been evaluated yet" in text
    assert "good: the loss is nan" in text


def test_nothing_feasible_is_said(browser: Page, tmp_path: Path) -> None:
    report = read_report(searched((GOOD, *COSTS[:2]), "slow_ms<=0.5", trials=8), space=SPACE)
    assert not report.front.feasible
    page = opened(browser, report, tmp_path)
    text = page.evaluate("document.body.innerText")
    assert "Infeasible: none keeps slow_ms<=0.5" in text
    assert "No architecture keeps the constraints" in text
    assert drawn(page, "scatter") == len(report.front.evaluated)


def test_a_plot_that_fails_leaves_the_others_alone(browser: Page, tmp_path: Path) -> None:
    report = reported(GOOD, *COSTS[:2])
    path = tmp_path / "report.html"
    text = report_html(report)
    path.write_text(re.sub(r'"growth":\{.*?\}', '"growth":{}', text), encoding="utf-8")
    browser.open(path, until=READY)
    assert browser.evaluate("[...document.querySelectorAll('.undrawn')].map(e => e.id)") == [
        "growth-plot"
    ]
    assert drawn(browser, "scatter") == len(report.front.evaluated)
    assert drawn(browser, "matrix") == 3 * len(report.front.evaluated)
    browser.click("#members-table tbody tr:nth-child(2) .pick")
    assert len(trace(browser, "matrix", "picked01")) == 1


class Undrawable(FunctionSpace):
    def drawing(self, genotype: str) -> Drawing:
        raise ValueError("no picture <b>")


def test_a_space_that_cannot_be_drawn_leaves_the_page_alone(browser: Page, tmp_path: Path) -> None:
    space = Undrawable(name="made", genes=GENES, build_network=nothing)
    report = read_report(searched((GOOD, COSTS[0]), trials=6), space=space)
    path = tmp_path / "report.html"
    path.write_text(report_html(report), encoding="utf-8")
    browser.open(path, until=READY)
    said = browser.evaluate("[...document.querySelectorAll('.undrawn')].map(e => e.textContent)")
    assert said == ["This could not be drawn: no picture <b>"] * len(report.front)
    assert drawn(browser, "scatter") == len(report.front.evaluated)
    assert browser.errors == []


# Trained finalists


def finalist(member: Member, folder: Path, accuracy: float | None) -> Finalist:
    reached = accuracy if accuracy is not None else 0.0
    return Finalist(
        trial=member.trial,
        genotype=member.architecture.genotype,
        space="made",
        input_shape=(3, 32, 32),
        classes=10,
        class_names=("a",) * 10,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        val_accuracy=accuracy,
        val_low=None if accuracy is None else accuracy - 0.02,
        val_high=None if accuracy is None else accuracy + 0.02,
        val_images=500,
        epochs=2,
        recipe={},
        curve=tuple(EpochResult(k, 1.0, 1.0, reached * k / 2, 1.0) for k in (1, 2)),
        failure=None if accuracy is not None else f"the loss is nan {ATTACK}",
        folder=folder / "trained" / f"trial_{member.trial:04d}",
    )


def test_trained_accuracy_stands_beside_the_estimate(browser: Page, tmp_path: Path) -> None:
    study = searched((GOOD, COSTS[0]), trials=20)
    front = motemo.read_front(study, space=SPACE)
    best_first = sorted(front.members, key=lambda m: -m.measurements["good"].value)[:4]
    accuracies = (0.91, 0.92, 0.88, None)
    for member, accuracy in zip(best_first, accuracies, strict=True):
        made = finalist(member, tmp_path, accuracy)
        made.folder.mkdir(parents=True)
        write_finalist(made, None if accuracy is None else b"weights")
    report = read_report(study, space=SPACE, finalists=read_finalists(tmp_path))
    assert report.trained is not None
    assert report.trained.axis.name == "good"
    assert report.trained.agreement.tau == pytest.approx(1 / 3)
    page = opened(browser, report, tmp_path)
    assert column(page, "trained-table", 3)[:3] == ["92.0 ", "91.0 ", "88.0 "]
    assert column(page, "trained-table", 2)[:3] == ["2", "1", "3"]
    said = page.evaluate("document.getElementById('trained').textContent")
    assert "Kendall's tau of the two is 0.33 (n = 3)" in said
    assert f"failed: the loss is nan {ATTACK}" in said
    assert len(trace(page, "trained-plot", "trained", "y")) == 3
    ticks = "[...document.querySelectorAll('#curves-plot .xtick text')].map(e => e.textContent)"
    assert page.evaluate(ticks) == ["1", "2"]
    page.click("#trained-table tbody tr:nth-child(1) .pick")
    [index] = marked(page, "#trained-table")
    assert trace(page, "trained-plot", "picked") == [int(index)]
    assert marked(page, "#members-table") == [index]
    assert page.errors == []


def test_finalists_of_another_search_are_left_out(tmp_path: Path) -> None:
    study = searched((GOOD, COSTS[0]), trials=6)
    first, second, *_ = motemo.read_front(study, space=SPACE).evaluated
    own = finalist(first, tmp_path, 0.9)
    others = replace(finalist(second, tmp_path, 0.8), genotype=own.genotype)
    report = read_report(study, space=SPACE, finalists=[own, others])
    assert report.trained is not None
    assert [row.finalist for row in report.trained.rows] == [own]
    assert read_report(study, space=SPACE, finalists=[others]).trained is None


def test_without_finalists_nothing_is_said_of_training(tmp_path: Path) -> None:
    assert 'id="trained"' not in report_html(reported(GOOD, COSTS[0], trials=6))


# For everyone

CONTRAST = """(() => {
  const linear = (c) => (c /= 255, c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = numbers(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    if (!e.checkVisibility() || e.closest('script, style')) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    const ink = numbers(svg ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push([e.tagName, e.textContent.slice(0, 40)]);
  }
  return low; })()"""


def test_text_can_be_read_in_both_colour_schemes(shown: tuple[Page, Report]) -> None:
    page, _ = shown
    paper = "document.getElementById('scatter').layout.paper_bgcolor"
    page.click("#members-table .pick")
    assert page.evaluate(paper) == "#ffffff"
    assert page.evaluate(CONTRAST) == []
    try:
        page.show_as(1280, 900, dark=True)
        page.wait_for(f"{paper} !== '#ffffff'")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", ground))) < 200
        assert page.evaluate(CONTRAST) == []
    finally:
        page.show_as(1280, 900)


def test_paper_is_light_and_shows_what_is_folded(
    shown: tuple[Page, Report], tmp_path: Path
) -> None:
    page, _ = shown
    paper = "document.getElementById('scatter').layout.paper_bgcolor"
    try:
        page.show_as(1280, 900, dark=True)
        page.wait_for(f"{paper} !== '#ffffff'")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.wait_for(f"{paper} === '#ffffff'")
        assert page.evaluate("document.querySelector('details').open")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.wait_for(f"{paper} !== '#ffffff'")
        assert not page.evaluate("document.querySelector('details').open")
        printed = page.print_to(tmp_path / "printed.pdf")
        assert printed.read_bytes().startswith(b"%PDF")
    finally:
        page.show_as(1280, 900)


def test_it_is_labelled_for_screen_readers(shown: tuple[Page, Report]) -> None:
    page, _ = shown
    assert page.evaluate("document.documentElement.lang") == "en"
    for unlabelled in (
        "[...document.querySelectorAll('table')].filter(t => !t.caption)",
        "[...document.querySelectorAll('input, select')].filter(e => !e.labels.length)",
        "[...document.querySelectorAll('button:not([hidden])')].filter(e => "
        "!(e.textContent.trim() || e.ariaLabel))",
        "[...document.images].filter(i => !i.alt)",
        "[...document.querySelectorAll('th')].filter(h => !h.scope)",
        "[...document.querySelectorAll('[id]')].filter((e, k, all) => "
        "all.findIndex(o => o.id === e.id) !== k)",
    ):
        assert page.evaluate(f"{unlabelled}.map(e => e.outerHTML.slice(0, 99))") == []


def test_a_phone_shows_it_without_scrolling_sideways(browser: Page, tmp_path: Path) -> None:
    browser.show_as(390, 844, phone=True)
    try:
        report = reported(GOOD, *COSTS)
        page = opened(browser, report, tmp_path, fragment="#trial=0,1,2,3")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.getElementById('scatter').layout.dragmode") is False
        (tmp_path / "front.html").write_text(to_html(report.front), encoding="utf-8")
        page.open(tmp_path / "front.html", until=READY)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    finally:
        browser.show_as(1280, 900)


# What it computes


def test_the_hypervolume_grows_to_that_of_the_front() -> None:
    report = reported(GOOD, *COSTS[:2])
    growth, front = report.growth, report.front
    assert isinstance(growth, Growth)
    shares = [step.share for step in growth.steps]
    assert shares == sorted(shares)
    assert growth.steps[-1].evaluations == len(front.evaluated)
    names = [axis.name for axis in front.axes]
    values = np.array([[m.measurements[n].value for n in names] for m in front])
    directions = [axis.direction for axis in front.axes]
    volume = hypervolume(values, directions, [growth.reference[n] for n in names])
    box = np.prod([abs(growth.reference[n] - growth.best[n]) for n in names])
    assert shares[-1] == pytest.approx(volume / box)
    alone = reported(GOOD).growth
    assert isinstance(alone, Growth)
    assert alone.steps[-1].share == pytest.approx(1.0)


def test_the_gene_that_decides_is_the_most_important() -> None:
    importance = reported(GOOD, COSTS[3], trials=60).importance
    assert next(iter(importance["good"].shares)) == "gene0"
    assert next(iter(importance["fair"].shares)) == "gene1"
    assert sum(importance["good"].shares.values()) == pytest.approx(1)
    few = reported(GOOD, trials=8).importance["good"]
    assert not few.shares
    assert "needs 20 evaluated architectures" in few.reason
    flat = Made(name="flat", weights=(0, 0, 0, 0), direction=Direction.MINIMIZE)
    assert "the same value" in reported(flat, trials=24).importance["flat"].reason


def test_a_study_of_something_else_is_refused() -> None:
    with pytest.raises(StorageError, match="holds no motemo settings"):
        read_report(optuna.create_study())


# The command


def test_the_command_writes_a_page_that_tells_how_to_make_it_again(run: Run, browser: Page) -> None:
    asked = ("--objective", "params", "--objective", "flops", "--trials", "4", "--seed", "3")
    assert run("search", *asked, "--out", "runs/a", "--constraint", "params<=2M").status == 0
    made = run("report", "runs/a")
    assert made.status == 0
    assert "wrote runs/a/report.html" in made.err
    assert made.out == ""
    browser.open(Path("runs/a/report.html"), until=READY)
    assert browser.errors == []
    command = browser.evaluate("document.querySelector('#reproduce pre').textContent")
    words = shlex.split(command)
    assert words[:2] == ["motemo", "search"]
    again = run(*words[1:], "--out", "runs/a")
    assert again.status == 0, again.err
    quiet = run("report", "runs/a", "--quiet", "--out", "elsewhere/page.html")
    assert (quiet.status, quiet.err) == (0, "")
    assert Path("elsewhere/page.html").stat().st_size > 4e6


OWN = """
import motemo
GENES = (motemo.Gene("depth", (1, 2, 3)), motemo.Gene("width", (8, 16)))
SPACE = motemo.FunctionSpace(name="mine", genes=GENES, build_network=None)
"""


def test_a_space_of_ones_own_is_given_by_its_file(run: Run) -> None:
    Path("mine.py").write_text(OWN)
    space = FunctionSpace(
        name="mine",
        genes=(Gene("depth", (1, 2, 3)), Gene("width", (8, 16))),
        build_network=nothing,
    )
    folder = RunFolder(Path("runs/mine"))
    with folder.claimed():
        good = replace(GOOD, weights=(1, 0.2))
        motemo.search(space, [good], trials=4, storage=folder.storage_url)
    refused = run("report", "runs/mine")
    assert refused.status == 2
    assert "--space FILE.py:NAME" in refused.err
    assert run("report", "runs/mine", "--space", "mine.py:SPACE").status == 0
    assert "depth" in Path("runs/mine/report.html").read_text()[:50_000]


def test_the_command_says_what_is_wrong(run: Run) -> None:
    missing = run("report", "runs/none")
    assert missing.status == 2
    assert "There is no motemo run" in missing.err
    Path("empty.db").touch()
    homeless = run("report", "sqlite:///empty.db")
    assert homeless.status == 2
    assert "Give --out FILE" in homeless.err
