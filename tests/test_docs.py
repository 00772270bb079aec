"""What the documents show works: code, commands, links, the notebook."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import subprocess
import sys
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import typer.main
from command_line import Run
from nbclient import NotebookClient
from typer.core import TyperCommand

import motemo
from motemo.cli.app import app
from motemo.testing import check_device, check_objective, check_sampler, check_space

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_search.ipynb"
DIGITS = motemo.load_data("digits", images_per_class=5)
CELLS = [motemo.NasBench201().sample(np.random.default_rng(seed)).canonical for seed in range(3)]
NOT_RUN = re.compile(r"<!-- not run: [^>]+ -->\n\Z")


def blocks(document: Path, language: str) -> list[tuple[str, bool]]:
    """Return the blocks of a language, and whether each is to be run.

    A block that cannot run here stands behind a line `<!-- not run: the reason -->`.
    """
    text = document.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(block[1], not NOT_RUN.search(text[: block.start()])) for block in found]


def runnable(document: Path) -> list[str]:
    return [code for code, is_run in blocks(document, "python") if is_run]


def commands(document: Path) -> list[list[str]]:
    """Return the words after `motemo` of each command line in a document's bash blocks."""
    text = "\n".join(block for block, _ in blocks(document, "bash")).replace("\\\n", " ")
    text = re.sub(r"\$\(.*\)", "", text)
    found = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [list(takewhile(_is_no_operator, w[1:])) for w in found if w[:1] == ["motemo"]]


def _is_no_operator(word: str) -> bool:
    return word not in ("|", "&", "&&", ">", ">>", "<")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(runnable(README))))
def test_readme_code_runs(number: int, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(runnable(README)[number])
    command = [sys.executable, "-W", "error", "block.py"]
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", [*filter(runnable, PAGES)], ids=lambda page: page.stem)
def test_code_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run all blocks as one script; one that begins with its file name is a file beside it."""
    script = []
    for code in runnable(page):
        name = re.match(r'"""(\w+)\.py"""\n', code)
        if name:
            (tmp_path / f"{name[1]}.py").write_text(code)
            monkeypatch.delitem(sys.modules, name[1], raising=False)
        else:
            script.append(code)
    (tmp_path / "page.py").write_text("\n".join(script))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    runpy.run_path("page.py")


RECIPES = {
    "WeightsMb": lambda made: check_objective(made(), CELLS),
    "Confidence": lambda made: check_objective(made(data=DIGITS), CELLS),
    "Plain": lambda made: check_space(made()),
    "local_search": lambda made: check_sampler(lambda seed: made(seed=seed)),
    "TorchPlain": lambda made: check_device(made()),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_contributing_keep_their_contracts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = next(c for c in runnable(CONTRIBUTING) if re.search(rf"^(class|def) {name}\b", c, re.M))
    (tmp_path / f"recipe_{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    RECIPES[name](getattr(import_module(f"recipe_{name}"), name))


def test_documents_have_code_and_commands() -> None:
    assert len(runnable(README)) >= 3
    assert sum(len(runnable(page)) for page in PAGES) >= 5
    assert sum(len(commands(page)) for page in PAGES) >= 20


@pytest.mark.parametrize("document", [README, *PAGES], ids=lambda path: path.stem)
def test_names_in_code_exist(document: Path) -> None:
    for code, _ in blocks(document, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("motemo"):
                module = import_module(str(node.module))
                assert all(getattr(module, alias.name) for alias in node.names)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "motemo":
                assert getattr(motemo, node.attr)


@pytest.mark.parametrize("document", [README, *PAGES], ids=lambda path: path.stem)
def test_options_in_commands_exist(document: Path) -> None:
    for words in commands(document):
        command, rest = typer.main.get_command(app), words
        while rest and (inner := getattr(command, "commands", {}).get(rest[0])):
            command, rest = inner, rest[1:]
        assert isinstance(command, TyperCommand) or rest == ["--help"], f"motemo {words}"
        context = command.context_class(command, info_name="motemo")
        command.make_parser(context).parse_args(list(rest))  # an unknown option raises


def test_cheap_commands_run(run: Run) -> None:
    every = {tuple(words) for document in [README, *PAGES] for words in commands(document)}
    cheap = sorted(words for words in every if words[0] in ("list", "devices"))
    cheap = [words for words in cheap if "--check" not in words and ".py" not in str(words)]
    assert len(cheap) >= 3
    for words in cheap:
        result = run(*words)
        assert result.status == 0, result.err
        assert result.out


def test_notebook_runs_and_is_small(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 200_000
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    assert len(list(tmp_path.glob("deployed/*/*.onnx"))) == 1


def test_links_in_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *PAGES]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_tables_of_estimates_are_as_stored() -> None:
    script = ROOT / "scripts" / "tables.py"
    command = [sys.executable, str(script), "check"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
