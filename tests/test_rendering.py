from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import dump_dom, require_browser, screenshot
from PIL import Image
from rich.console import Console

from motemo.constraint import Constraint
from motemo.front import Axis, Front, Member
from motemo.objective import Direction, Measurement
from motemo.rendering.files import to_csv, to_frame, to_json
from motemo.rendering.html import to_html
from motemo.rendering.page import TRIAL
from motemo.rendering.png import to_png
from motemo.rendering.quantities import Scale, fold, label
from motemo.rendering.summary import all_settings, best_so_far, facts, staircase, view
from motemo.rendering.table import front_table, print_front
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.nasbench201 import NasBench201

ACCURACY = Axis("accuracy", "%", Direction.MAXIMIZE)
LATENCY = Axis("latency_ms", "ms", Direction.MINIMIZE)
PARAMS = Axis("params", "count", Direction.MINIMIZE)
FLOPS = Axis("flops", "multiply-adds", Direction.MINIMIZE)
AXES = (ACCURACY, LATENCY, PARAMS, FLOPS)
SETTINGS: dict[str, Json] = {
    "space": {"name": "nasbench201", "channels": 16, "cells": 5},
    "data": {"name": "cifar100", "shape": [5000, 3, 32, 32]},
    "sampler": "nsga2",
    "seed": 7,
    "trials": 12,
    "constraints": [],
    "versions": {"motemo": "0.1.0"},
}

# Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3 (3: 3x3 convolution, 1: 1x1, p: pooling, s: skip, -: none),
# accuracy (%), latency (ms), thousands of parameters, millions of multiply-adds. The last two
# members are dominated everywhere, the very last one never learnt anything.
_OPERATIONS = {
    "3": "nor_conv_3x3",
    "1": "nor_conv_1x1",
    "p": "avg_pool_3x3",
    "s": "skip_connect",
    "-": "none",
}
_CELLS: tuple[tuple[str, float, float, int, float], ...] = (
    ("333333", 93.50, 18.40, 1532, 220.1),
    ("3-3313", 93.30, 14.06, 1074, 153.3),
    ("1s1313", 92.80, 13.10, 802, 114.0),
    ("ps13-1", 92.50, 12.28, 372, 51.0),
    ("1-13s-", 92.20, 9.44, 372, 51.0),
    ("pp-3--", 92.10, 7.92, 316, 43.2),
    ("s-ss-3", 92.00, 6.61, 316, 43.2),
    ("1-psp-", 89.80, 7.00, 101, 11.7),
    ("-ss1ps", 89.40, 5.22, 101, 11.7),
    ("ps--sp", 73.70, 4.57, 73, 7.8),
    ("13ps31", 88.10, 15.30, 855, 120.4),
    ("1p1p11", 10.00, 9.90, 157, 19.9),
)
_ON_FRONT_OF_TWO = {0, 1, 2, 3, 4, 5, 6, 8, 9}


def front_of(
    axes: tuple[Axis, ...],
    *constraints: str,
    count: int = len(_CELLS),
    settings: Mapping[str, Json] | None = SETTINGS,
) -> Front:
    members = [
        Member(trial, NasBench201().architecture(_genotype(cell)), _measured(axes, *numbers))
        for trial, (cell, *numbers) in enumerate(_CELLS[:count])
    ]
    bounds = [Constraint.parse(text) for text in constraints]
    return Front.of(members, axes=axes, constraints=bounds, settings=settings)


def _genotype(cell: str) -> str:
    genes = NasBench201().genes
    return NasBench201().write({g.name: _OPERATIONS[c] for g, c in zip(genes, cell, strict=True)})


def _measured(
    axes: tuple[Axis, ...], accuracy: float, latency: float, kparams: float, mflops: float
) -> dict[str, Measurement]:
    found = {
        "accuracy": Measurement(value=accuracy, unit="%", low=accuracy - 0.2, high=accuracy + 0.2),
        "latency_ms": Measurement(value=latency, unit="ms", low=latency - 0.05, high=latency + 0.3),
        "params": Measurement.exact(round(kparams * 1000) + 546, "count"),
        "flops": Measurement.exact(mflops * 1e6, "multiply-adds"),
    }
    return {axis.name: found[axis.name] for axis in axes}


@dataclass(frozen=True)
class Anything(Space):
    """A space in which any text is a genotype."""

    name: str = "anything"

    @property
    def genes(self) -> tuple[Gene, ...]:
        return (Gene("text", ("a",)),)

    def write(self, values: Mapping[str, Choice]) -> str:
        return str(values["text"])

    def read(self, genotype: str) -> dict[str, Choice]:
        return {"text": genotype}

    def canonical(self, genotype: str) -> str:
        return genotype

    def invalid_reason(self, genotype: str) -> str | None:
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> Any:
        raise NotImplementedError

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> Any:
        raise NotImplementedError

    def identity(self) -> dict[str, Json]:
        return {"name": self.name}


ATTACK = "</script><script>document.title='hacked';alert(1)</script>"
IMAGE = "<img src=https://example.org/x.png onerror=\"document.title='hacked'\">\u2028&amp;$x$"


def hostile_front() -> Front:
    axes = (
        Axis(f"acc{ATTACK}", "%<b>", Direction.MAXIMIZE),
        Axis(f"cost'\"{IMAGE}", ATTACK, Direction.MINIMIZE),
        Axis("[red]size[/red]", "$", Direction.MINIMIZE),
    )
    values = ((90.0, 5.0, 1.0), (80.0, 3.0, 2.0), (70.0, 4.0, 3.0))
    members = [
        Member(
            trial,
            Anything().architecture(f"{ATTACK}{IMAGE}{trial}"),
            {a.name: Measurement.exact(v, a.unit) for a, v in zip(axes, row, strict=True)},
        )
        for trial, row in enumerate(values)
    ]
    settings: dict[str, Json] = {"space": ATTACK, ATTACK: IMAGE, "data": {"name": IMAGE}}
    return Front.of(members, axes=axes, settings=settings)


def printed(front: Front, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    console.print(front_table(front))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_said_below_a_narrow_table_is_not_narrow() -> None:
    console = Console(width=60, file=io.StringIO(), color_system=None, legacy_windows=False)
    print_front(front_of((ACCURACY,)), console)
    assert isinstance(console.file, io.StringIO)
    assert "on the front. Best of" in console.file.getvalue()


# Numbers


def scale_of(axis: Axis, *values: float, half: float = 0.0) -> Scale:
    return Scale.of(
        axis,
        [Measurement(value=v, unit=axis.unit, low=v - half, high=v + half) for v in values],
    )


def test_numbers_are_written_for_people() -> None:
    scale = scale_of(PARAMS, 1_531_546, 344_346)
    assert scale.full(Measurement.exact(1_531_546, "count")) == "1.53 M"
    scale = scale_of(FLOPS, 220_119_150, 7_783_500)
    assert scale.full(Measurement.exact(220_119_150, "multiply-adds")) == "220.1 M multiply-adds"
    scale = scale_of(LATENCY, 4.2123, 9.1, half=0.05)
    assert scale.full(Measurement(value=4.21, unit="ms", low=4.16, high=4.26)) == "4.21 ms ± 0.05"
    assert scale.text(Measurement(value=4.21, unit="ms", low=4.1, high=4.5)) == "4.21 +0.29 -0.11"
    assert (
        scale.text(Measurement(value=4.21, unit="ms", low=4.2099, high=4.2101)) == "4.21 ± 0.0001"
    )


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((3.0, 12.0), ["3", "12"]),
        ((0.00001, 0.0002), ["1.000e-05", "2.000e-04"]),
        ((1e40, 2.5e38), ["1.000e+40", "2.500e+38"]),
        ((8.05, 8.0512, 7.0), ["8.050", "8.051", "7.000"]),
        ((0.0, 0.0), ["0", "0"]),
        ((-1.5, math.inf), ["-1.50", "inf"]),
        ((12_000.0, 3.0), ["12.000", "0.003"]),
    ],
)
def test_decimals_follow_the_values(values: tuple[float, ...], texts: list[str]) -> None:
    scale = scale_of(Axis("score", "", Direction.MAXIMIZE), *values)
    assert [scale.number(value) for value in values] == texts


def test_small_values_keep_the_digits_of_their_spread() -> None:
    pairs = ((1.933, 0.058), (0.224, 0.004))
    measured = [Measurement(value=v, unit="ms", low=v - h, high=v + h) for v, h in pairs]
    texts = [Scale.of(LATENCY, measured).text(one) for one in measured]
    assert texts == ["1.933 ± 0.058", "0.224 ± 0.004"]


def test_labels_carry_the_unit_once() -> None:
    assert label(LATENCY, scale_of(LATENCY, 4.5)) == "latency (ms)"
    assert label(PARAMS, scale_of(PARAMS, 1_500_000)) == "params (M)"
    assert label(Axis("mote", "", Direction.MAXIMIZE), Scale(1.0, "", 2)) == "mote"


@pytest.mark.parametrize("text", ["", "|", "||||||", "x" * 30, "a b,c", _genotype("333333")])
@pytest.mark.parametrize("width", [1, 4, 16, 40])
def test_folding_keeps_every_character(text: str, width: int) -> None:
    lines = fold(text, width)
    assert "".join(lines) == text
    assert max(map(len, lines)) <= width


def test_folding_breaks_between_operations() -> None:
    assert fold("|nor_conv_3x3~0|+|none~0|none~1|", 20) == ["|nor_conv_3x3~0|+|", "none~0|none~1|"]


# Summaries


def test_the_staircase_is_the_front_of_the_plane() -> None:
    front = front_of(AXES)
    assert 7 in {member.trial for member in front}
    steps = [member.trial for member in staircase(front.members, LATENCY, ACCURACY)]
    assert steps == [9, 8, 6, 5, 4, 3, 2, 1, 0]
    assert [m.trial for m in staircase(front.members, ACCURACY, LATENCY)] == steps[::-1]


def test_best_so_far_is_over_trials() -> None:
    front = front_of(AXES, "latency_ms<=13")
    assert [member.trial for member in best_so_far(front, ACCURACY)] == [3]
    assert [m.trial for m in best_so_far(front_of(AXES), LATENCY)] == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_a_view_leaves_out_only_what_would_squeeze_the_front() -> None:
    values = [90.0 + i / 20 for i in range(60)]
    assert view([10.0, *values], front=[93.0])[0] > 85  # type: ignore[index]
    assert view([88.5, *values], front=[93.0])[0] < 88.5  # type: ignore[index]
    assert view([10.0, *values], front=[10.0])[0] < 10  # type: ignore[index]
    assert view([], front=[]) is None
    low, high = view([5.0], front=[5.0])  # type: ignore[misc]
    assert low < 5 < high


def test_settings_are_optional_and_become_text() -> None:
    assert facts(None) == []
    assert facts(SETTINGS)[0] == ("space", "nasbench201")
    assert ("space.channels", "16") in all_settings(SETTINGS)
    assert ("data.shape", "5000, 3, 32, 32") in all_settings(SETTINGS)
    assert ("constraints", "none") in all_settings(SETTINGS)
    assert all_settings({"resume": True, "limit": None}) == [("resume", "yes"), ("limit", "none")]


# Table


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_table_fits_and_shows_every_value(width: int, objectives: int) -> None:
    front = front_of(AXES[:objectives])
    text = printed(front, width)
    assert max(map(len, text.splitlines())) <= width
    assert f"{len(front)} of 12 evaluated architectures" in text
    assert "93.5 ± 0.2" in text
    assert "1.533" in text or objectives < 3
    assert "multiply-adds" in text or objectives < 4
    assert "nor_conv_3x3~0|" in text
    for member in front:
        assert re.search(rf"^ +{member.trial}  ", text, re.MULTILINE)


def test_the_table_shows_whole_genotypes_where_they_fit() -> None:
    front = front_of((ACCURACY, LATENCY))
    wide = printed(front, 160)
    assert all(member.architecture.genotype in wide for member in front)
    assert "…" not in printed(front, 80)


def test_the_best_values_are_highlighted() -> None:
    table = front_table(front_of((ACCURACY, LATENCY)))
    best = {
        str(cell)
        for column in table.columns
        for cell in column.cells
        if getattr(cell, "style", "") == "bold green"
    }
    assert best == {"93.5 ± 0.2", "4.57 +0.30 -0.05"}


def test_the_table_says_that_nothing_was_feasible() -> None:
    assert "none keeps latency_ms<=1" in " ".join(
        printed(front_of(AXES, "latency_ms<=1"), 80).split()
    )
    assert "Infeasible" not in printed(front_of(AXES, "latency_ms<=10"), 80)


def test_markup_in_a_genotype_is_text() -> None:
    assert "[red]size[/red]" in printed(hostile_front(), 400)


# Files


def test_csv_reads_back_with_full_precision() -> None:
    front = front_of(AXES)
    frame = pd.read_csv(io.StringIO(to_csv(front)))
    assert list(frame.columns) == ["trial", "arch", "accuracy", "latency_ms", "params", "flops"]
    pd.testing.assert_frame_equal(frame, to_frame(front))
    assert frame["arch"].tolist() == [member.architecture.genotype for member in front]
    for axis in AXES:
        assert frame[axis.name].tolist() == [m.measurements[axis.name].value for m in front]
    assert frame["params"].dtype == np.int64
    assert frame["accuracy"].dtype == np.float64


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_json_is_strict_and_complete() -> None:
    front = front_of((ACCURACY, LATENCY), "latency_ms<=13.5")
    content = json.loads(to_json(front), parse_constant=refuse)
    assert content["format"] == "motemo.front"
    assert content["format_version"] == 1
    assert content["settings"] == SETTINGS
    assert content["axes"][1] == {"name": "latency_ms", "unit": "ms", "direction": "minimize"}
    assert content["constraints"] == [
        {"objective": "latency_ms", "operator": "<=", "bound": 13.5},
    ]
    assert content["feasible"] is True
    assert content["evaluated_count"] == len(content["evaluated"]) == 12
    first, expected = content["members"][0], front.members[0]
    assert (first["trial"], first["arch"]) == (expected.trial, expected.architecture.genotype)
    assert first["key"] == expected.architecture.key
    assert first["measurements"]["latency_ms"] == {
        "value": 13.1,
        "unit": "ms",
        "low": 13.049999999999999,
        "high": 13.4,
    }
    assert content["evaluated"][11]["values"] == {"accuracy": 10, "latency_ms": 9.9}


def test_json_has_no_number_that_json_cannot_write() -> None:
    measurement = Measurement(value=5.0, unit="ms", low=-math.inf, high=math.nan)
    member = Member(0, NasBench201().architecture(_genotype("333333")), {"latency_ms": measurement})
    front = Front.of([member], axes=[LATENCY], settings={"budget": math.inf, "list": [math.nan]})
    content = json.loads(to_json(front), parse_constant=refuse)
    assert content["settings"] == {"budget": None, "list": [None]}
    assert content["members"][0]["measurements"]["latency_ms"]["high"] is None
    assert to_html(front)
    assert to_png(front)


# Picture


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 0])
def test_the_picture_decodes_and_is_not_blank(objectives: int) -> None:
    axes = AXES[: objectives or 3]
    front = front_of(axes, "latency_ms<=14") if objectives > 1 else front_of(axes)
    image = Image.open(io.BytesIO(to_png(front))).convert("RGB")
    assert image.width >= 1000
    pixels = np.asarray(image).reshape(-1, 3)
    blue = (np.abs(pixels.astype(int) - (0, 114, 178)).sum(axis=1) < 12).sum()
    assert blue > 50 * len(front)
    assert (pixels == 255).all(axis=1).mean() > 0.5


def test_the_picture_takes_any_text() -> None:
    assert to_png(hostile_front()).startswith(b"\x89PNG")


# Page


class _Page(HTMLParser):
    """Collects what a document refers to, its scripts and its table rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        names = {"src", "href", "xlink:href", "action", "data", "poster"}
        self.references += [value or "" for name, value in attrs if name in names]

    def count(self, tag: str, **attributes: str) -> int:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return sum(t == tag and wanted.items() <= a.items() for t, a in self.tags)

    def classes(self, tag: str) -> list[str]:
        return [a.get("class") or "" for t, a in self.tags if t == tag]


def saved(front: Front, folder: Path) -> Path:
    path = folder / "front.html"
    path.write_text(to_html(front), encoding="utf-8")
    return path


def opened(front: Front, folder: Path, *, fragment: str = "") -> tuple[str, _Page]:
    """Return the document after its scripts ran, without its two long scripts, and its parts."""
    require_browser()
    dom = dump_dom(f"{saved(front, folder).as_uri()}{fragment}")
    assert 'data-ready="true"' in dom[:500], dom[:500]
    text = re.sub(r"<script>.*?</script>", "<script></script>", dom, flags=re.DOTALL)
    return text, _Page(text)


def trace_points(dom: str, uid: str) -> int:
    """Return how many markers a trace of the drawn scatter plot has."""
    start = dom.index(f'class="trace scatter trace{uid}"')
    end = dom.find('class="trace scatter', start + 10)
    return dom[start:end].count('<path class="point')


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_page_draws_itself_in_a_browser(objectives: int, tmp_path: Path) -> None:
    front = front_of(AXES[:objectives])
    dom, page = opened(front, tmp_path)
    assert trace_points(dom, "front") == len(front)
    assert trace_points(dom, "kept") == 12 - len(front)
    assert ("tracemember" in dom) == (objectives > 2)
    assert page.count("option") == 3 * (objectives + 1) + 1
    assert sum("data-index" in attributes for tag, attributes in page.tags if tag == "tr") == len(
        front
    )
    assert page.references == []
    assert "nasbench201" in dom


def test_a_trial_in_the_address_is_marked(tmp_path: Path) -> None:
    dom, page = opened(front_of(AXES[:3]), tmp_path, fragment="#trial=6")
    assert page.classes("tr").count("marked") == 1
    assert "<strong>trial 6</strong>" in dom
    assert dom.count("<code>") == len(front_of(AXES[:3])) + 1
    assert trace_points(dom, "picked") == 1


def test_the_page_marks_constraints(tmp_path: Path) -> None:
    dom, _ = opened(front_of((ACCURACY, LATENCY), "latency_ms<=13"), tmp_path)
    assert trace_points(dom, "broken") == 4
    assert 'class="broken"' in dom
    assert "Constraints: latency_ms&lt;=13." in dom
    assert dom.count('data-index="0" fill-rule') == 1


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    dom, page = opened(hostile_front(), tmp_path)
    assert page.count("script") == 3
    assert page.count("img") == 0
    assert page.count("b") == 0
    assert [r for r in page.references if not r.startswith("#")] == []
    assert "<title>hacked" not in dom
    assert not any(name.startswith("on") for _, found in page.tags for name in found)


def test_a_script_that_was_not_there_from_the_start_does_not_run(tmp_path: Path) -> None:
    require_browser()
    path = saved(front_of((ACCURACY, LATENCY)), tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<main>", "<main><script>document.title='hacked'</script>"))
    assert "<title>Pareto front" in dump_dom(path)[:3000]


def test_the_page_without_a_browser() -> None:
    text = to_html(hostile_front())
    payload = re.search(r'id="payload">(.*?)</script>', text, re.DOTALL)
    assert payload is not None
    assert not set("<>&\u2028") & set(payload[1])
    content = json.loads(payload[1], parse_constant=refuse)
    assert content["points"][0]["arch"] == f"{ATTACK}{IMAGE}0"
    assert content["trial"] == TRIAL
    assert text.count("</script>") == 3
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_the_screenshot_is_not_blank(tmp_path: Path) -> None:
    require_browser()
    path = saved(front_of(AXES), tmp_path)
    shot = screenshot(path, tmp_path / "page.png", (1000, 1200))
    pixels = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 100


# Nothing evaluated


def test_every_rendering_of_nothing_says_so(tmp_path: Path) -> None:
    front = front_of(AXES, "latency_ms<=5", count=0, settings=None)
    assert "No architecture has been evaluated yet" in printed(front, 80)
    assert "No architecture has been evaluated yet" in to_html(front)
    assert to_csv(front) == "trial,arch,accuracy,latency_ms,params,flops\n"
    assert to_frame(front).empty
    assert json.loads(to_json(front))["evaluated_count"] == 0
    assert Image.open(io.BytesIO(to_png(front))).width > 500
    require_browser()
    assert 'data-ready="true"' in dump_dom(saved(front, tmp_path))[:500]


def test_heavy_libraries_load_only_where_they_are_needed() -> None:
    code = (
        "import sys, motemo.rendering.table;"
        "sys.exit(bool({'plotly', 'matplotlib', 'pandas', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
