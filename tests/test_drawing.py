"""Pictures of architectures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import dump_dom
from command_line import Run

from motemo.drawing import Block, Chain, Drawing, Edge, Graph, Node, Operation, Stage
from motemo.registry import SPACES
from motemo.rendering.drawing import architecture_svg, drawing_svg
from motemo.rendering.layers import Link, layers_of, place
from motemo.space import Architecture, Gene, Space
from motemo.spaces.function import FunctionSpace

NAMES = [entry.name for entry in SPACES.builtin]
ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
FIXED = ("plain", "node")
HOSTILE = "</title><script>alert('&')</script>\x00\ud800"
SHOWN = HOSTILE.replace("\x00", "�").replace("\ud800", "�")
"""What becomes of it: XML has no such characters."""
OWN = FunctionSpace(
    name=HOSTILE,
    genes=(Gene("long name " * 12, (1, 2)), Gene("plain", (HOSTILE, 'a"b', *range(20)))),
    build_network=lambda values, shape, classes: pytest.fail("nothing is built"),
)


def valid(space: Space, seed: int) -> Architecture:
    rng = np.random.default_rng(seed)
    drawn = (space.sample(rng) for _ in range(1000))
    return next(architecture for architecture in drawn if architecture.invalid_reason is None)


def parsed(svg: str) -> Any:
    return ElementTree.fromstring(svg)  # noqa: S314  (our own text)


def visible(architecture: Architecture) -> str:
    """Return a picture without its tooltips and its description, which hold the genotype."""
    return re.sub("<(title|desc)>.*?</\\1>", "", architecture_svg(architecture))


def operations(svg: str) -> Counter[str | None]:
    """Return the names of the operations that are searched, by the pictures' tooltips."""
    boxes = [g for g in parsed(svg).iter(f"{SVG}g") if g.get("class", "").startswith("box ")]
    names = [b.findtext(f"{SVG}title") for b in boxes if b.get("class").split()[1] not in FIXED]
    return Counter(names)


# What a picture says


@pytest.mark.parametrize("name", NAMES)
def test_picture_is_one_element_for_everyone(name: str) -> None:
    architecture = valid(SPACES.create(name), 1)
    svg = architecture_svg(architecture)
    root = parsed(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert architecture.genotype in root.findtext(f"{SVG}title")
    assert len(root.findtext(f"{SVG}desc")) > 20
    assert all(text.text for text in root.iter(f"{SVG}text"))
    assert svg == architecture_svg(architecture)


@pytest.mark.parametrize(
    "name", ["nasbench201", "transnas_micro", "darts", "nasbench301", "fbnet", "nasbench_macro"]
)
def test_picture_holds_the_operations_as_often_as_the_genotype(name: str) -> None:
    for seed in range(5):
        architecture = valid(SPACES.create(name), seed)
        values = architecture.space.read(architecture.genotype)
        wanted = Counter(value for gene, value in values.items() if not gene.endswith("_sources"))
        assert operations(architecture_svg(architecture)) == wanted


def test_picture_of_nasbench101_holds_the_pruned_cell() -> None:
    space = SPACES.create("nasbench101")
    matrix = [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    ops = ["input", "conv3x3-bn-relu", "maxpool3x3", "conv1x1-bn-relu", "output"]
    svg = architecture_svg(space.architecture(json.dumps({"matrix": matrix, "ops": ops})))
    assert operations(svg) == Counter(["conv3x3-bn-relu"])


def test_invalid_architectures_have_pictures() -> None:
    empty = '{"matrix":[[0,0],[0,0]],"ops":["input","output"]}'
    parsed(architecture_svg(SPACES.create("nasbench101").architecture(empty)))
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    svg = architecture_svg(SPACES.create("nasbench201").architecture(cell))
    assert operations(svg) == Counter({"none": 6})


@pytest.mark.parametrize("name", NAMES)
def test_neighbours_with_other_keys_look_different(name: str) -> None:
    architecture = valid(SPACES.create(name), 2).canonical
    rng = np.random.default_rng(0)
    others = [
        other
        for other in architecture.space.neighbours(architecture)
        if other.key != architecture.key and other.invalid_reason is None
    ]
    assert others
    picture = visible(architecture)
    for number in rng.permutation(len(others))[:25]:
        assert visible(others[number]) != picture, others[number].genotype


def test_genes_of_ones_own_space_are_escaped() -> None:
    architecture = OWN.sample(np.random.default_rng(1))
    for choice in OWN.genes[1].choices[:2]:
        values = OWN.read(architecture.genotype) | {"plain": choice}
        svg = architecture_svg(OWN.architecture(OWN.write(values)))
        assert "<script" not in svg
        assert str(choice).replace(HOSTILE, SHOWN) in [
            text.text for text in parsed(svg).iter(f"{SVG}text")
        ]


def test_operations_of_ones_own_drawing_are_escaped() -> None:
    nodes = (Node((Operation(HOSTILE, name=HOSTILE),)), Node((Operation("b"),), HOSTILE))
    svg = drawing_svg(Drawing((Graph(HOSTILE, nodes, (Edge(0, 1),)),)), title=HOSTILE)
    assert "<script" not in svg
    assert operations(svg) == Counter()
    assert parsed(svg).findtext(f"{SVG}title") == SHOWN


def test_stages_without_blocks_are_left_out() -> None:
    stages = (Stage((), "empty"), Stage((Block(Operation("b")),), "full"), Stage(()))
    svg = drawing_svg(Drawing((Chain("network", stages),)), title="t")
    assert [text.text for text in parsed(svg).iter(f"{SVG}text")] == ["network", "full", "b"]


# Where things stand


def test_layers() -> None:
    links = [Link(0, 1), Link(1, 2), Link(2, 4), Link(0, 3), Link(3, 4)]
    assert layers_of(5, links) == [0, 1, 2, 1, 3]


def test_nodes_of_a_layer_keep_apart_and_edges_pass_them() -> None:
    heights = [26.0, 60.0, 26.0, 26.0]
    placed = place(heights, [Link(0, 1), Link(1, 3), Link(0, 2), Link(2, 3), Link(0, 3)])
    assert [len(path) for path in placed.paths] == [2, 2, 2, 2, 3]
    (bend,) = placed.paths[4][1:-1]
    assert {1, 2, bend} == set(placed.layers[1])
    middles = sorted((placed.middles[n], (*heights, 8.0)[n] / 2) for n in placed.layers[1])
    for (one, half), (other, other_half) in pairwise(middles):
        assert other - other_half - (one + half) >= 15.9


def test_cell_without_need_for_crossings_has_none() -> None:
    links = [Link(0, 1), Link(1, 3), Link(0, 2), Link(2, 4), Link(3, 5), Link(4, 5), Link(0, 5)]
    placed = place([26.0] * 6, links)
    rank = {n: place for layer in placed.layers for place, n in enumerate(layer)}
    assert (rank[1] < rank[2]) == (rank[3] < rank[4])


CHECK = """
<script>
const inside = (a, b, slack) => a.left >= b.left - slack && a.right <= b.right + slack &&
  a.top >= b.top - slack && a.bottom <= b.bottom + slack;
const meet = (a, b) => a.left < b.right - 0.5 && b.left < a.right - 0.5 &&
  a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;
const wrong = [];
let texts_seen = 0, points_seen = 0;
for (const svg of document.querySelectorAll('svg')) {
  const paper = svg.getBoundingClientRect(), name = svg.parentNode.id;
  const texts = [...svg.querySelectorAll('text')];
  const boxes = [...svg.querySelectorAll('.box > rect')];
  const where = new Map([...texts, ...boxes].map(e => [e, e.getBoundingClientRect()]));
  texts.forEach((text, n) => {
    texts_seen += 1;
    const own = text.parentNode.querySelector(':scope > rect');
    const a = where.get(text), home = text.parentNode.classList.contains('box');
    if (!inside(a, home ? where.get(own) : paper, home ? -1 : 0))
      wrong.push([name, 'sticks out', text.textContent]);
    texts.slice(n + 1).filter(other => meet(a, where.get(other)))
      .forEach(other => wrong.push([name, 'texts meet', text.textContent, other.textContent]));
    boxes.filter(box => !(home && box === own) && meet(a, where.get(box)))
      .forEach(box => wrong.push([name, 'text on a box', text.textContent]));
  });
  boxes.forEach((box, n) => boxes.slice(n + 1).filter(
    other => meet(where.get(box), where.get(other))).forEach(
    other => wrong.push([name, 'boxes meet', box.parentNode.textContent])));
  for (const path of svg.querySelectorAll('.lines > path:not(.arrow)')) {
    const length = path.getTotalLength(), to_screen = path.getScreenCTM();
    for (let at = 0; at <= length; at += 4) {
      const p = path.getPointAtLength(at).matrixTransform(to_screen);
      points_seen += 1;
      for (const element of [...boxes, ...texts]) {
        const b = where.get(element);
        if (p.x > b.left + 2 && p.x < b.right - 2 && p.y > b.top + 2 && p.y < b.bottom - 2)
          wrong.push([name, 'line across', element.parentNode.textContent]);
      }
    }
  }
}
document.body.textContent = '';
document.body.dataset.found = JSON.stringify({wrong, texts_seen, points_seen});
</script>
"""


def test_nothing_overlaps_in_a_browser(tmp_path: Path) -> None:
    pictures = [
        f'<div id="{name} {seed}">{architecture_svg(valid(SPACES.create(name), seed))}</div>'
        for name in NAMES
        for seed in range(6)
    ]
    own = OWN.sample(np.random.default_rng(1))
    pictures.append(f'<div id="own">{architecture_svg(own)}</div>')
    genes = tuple(Gene(f"gene_{n}", (*range(2 + n % 12),)) for n in range(40))
    many = replace(OWN, genes=genes).sample(np.random.default_rng(1))
    pictures.append(f'<div id="many">{architecture_svg(many)}</div>')
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{''.join(pictures)}{CHECK}")
    found = re.search('data-found="(.*?)"', dump_dom(page))
    assert found is not None
    seen = json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))
    assert seen["wrong"] == []
    assert seen["texts_seen"] > 1000
    assert seen["points_seen"] > 1000


# The command line


def test_draw_command(run: Run, tmp_path: Path) -> None:
    arguments = ("draw", "--space", "nats_size", "--arch", "8:16:24:32:40")
    printed = run(*arguments)
    assert printed.status == 0
    assert run(*arguments, "--out", "new/picture.svg").status == 0
    assert (tmp_path / "new" / "picture.svg").read_text() == printed.out
    assert "24 channels" in [text.text for text in parsed(printed.out).iter(f"{SVG}text")]


def test_draw_command_draws_ones_own_space(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import motemo\n"
        "def build(values, shape, classes): raise RuntimeError('nothing is built')\n"
        "GENES = (motemo.Gene('depth', (1, 2)), motemo.Gene('kernel', (3, 5)))\n"
        "SPACE = motemo.FunctionSpace(name='mine', genes=GENES, build_network=build)\n"
    )
    result = run("draw", "--space", "mine.py:SPACE", "--arch", '{"depth":2,"kernel":5}')
    texts = [text.text for text in parsed(result.out).iter(f"{SVG}text")]
    assert texts == ["mine", "depth", "2", "kernel", "5"]


def test_draw_command_draws_what_the_options_make(run: Run) -> None:
    arguments = ("draw", "--space", "nats_size", "--arch", "8:16:24:32:40", "--set")
    assert ">64 channels<" in run(*arguments, "space.width=2").out
    assert "space.NAME" in run(*arguments, "mote.width=2").err


def test_draw_command_says_what_is_wrong(run: Run) -> None:
    result = run("draw", "--space", "nats_size", "--arch", "8")
    assert result.status == 2
    assert "8:16:24:32:40" in result.err


# The documents


def test_pictures_in_the_documents_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "draw_spaces.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_documents_explain_and_show_every_space(name: str) -> None:
    overview = (ROOT / "docs" / "spaces.md").read_text()
    row = re.search(rf"^\| \[`{name}`\]\(([\w.]+)(?:#([\w-]+))?\) \|(.*)$", overview, re.MULTILINE)
    assert row is not None
    page, section, cells = row[1], row[2], [cell.strip() for cell in row[3].split("|")]
    assert SPACES.entry(name).page == f"docs/{page}" + (f"#{section}" if section else "")
    space = SPACES.create(name)
    size = f"{space.size:,}" if space.size < 10**12 else f"{space.size:.1e}"
    assert cells[1:3] == [str(len(space.genes)), size]
    text = (ROOT / "docs" / page).read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
    assert section is None or section in slugs
    assert f"](images/{name}.svg)" in text
    assert f"`{name}`" in text or f"--space {name}" in text
