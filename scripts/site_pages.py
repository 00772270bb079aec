"""Hooks of the documentation site: what pages link to outside docs/, and notebooks, become pages.

A document links to `../examples/own_loss.py`, and that works where the repository is read. The
site has no such file, so it gets one: below `repository/`, sources as pages with their text, other
files as they are, folders as lists. A notebook `NAME.ipynb` is also a page `NAME.md`.
"""

from __future__ import annotations

import json
import posixpath
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
_ELSEWHERE = "repository"
_LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "bash"}
_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each notebook and for each file of the repository that pages link to."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text = notebook_page(notebook.content_string, Path(notebook.src_uri).name)
        uri = site_uri(f"docs/{notebook.src_uri}")
        files.append(File.generated(config, uri, content=text))
    wanted = ["CONTRIBUTING.md", "CHANGELOG.md"]
    wanted += [link for file in files.documentation_pages() for link in _outside(file)]
    while wanted:
        path = wanted.pop()
        if files.get_file_from_path(site_uri(path)) is None:
            files.append(_copy(path, config))
            wanted += _outside(files.src_uris[site_uri(path)]) if path.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where their targets are in the site."""
    source = _source(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        target = _target(source, match[2])
        if source.endswith(".ipynb") or target is None:
            return match[0]
        return match[1] + posixpath.relpath(site_uri(target), here or ".") + match[3]

    return _LINK.sub(led, markdown)


def site_uri(path: str) -> str:
    """Return where a file or folder of the repository is among the sources of the site."""
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    if (ROOT / path).is_dir():
        return f"{_ELSEWHERE}/{path}/index.md"
    return f"{_ELSEWHERE}/{path}" + (".md" if Path(path).suffix in {*_LANGUAGES, ""} else "")


def notebook_page(text: str, name: str) -> str:
    """Return a notebook as Markdown: its text, its code, and what its code gave."""
    parts = [f"*This page is a notebook: [{name}]({name}).*"]
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """Return an output of a notebook's cell as Markdown: a picture, or text."""
    data = output.get("data", {})
    for kind in ("image/png", "image/svg+xml"):
        if kind in data:
            held = "".join(data[kind])
            code = held.strip() if kind == "image/png" else b64encode(held.encode()).decode()
            return f"![What the code above shows](data:{kind};base64,{code})"
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return f"```text\n{text.rstrip()}\n```"


def _source(uri: str) -> str:
    """Return the path in the repository of a page's source."""
    if not uri.startswith(f"{_ELSEWHERE}/"):
        notebook = f"docs/{uri.removesuffix('.md')}.ipynb"
        return notebook if (ROOT / notebook).exists() else f"docs/{uri}"
    path = uri.removeprefix(f"{_ELSEWHERE}/")
    return path if (ROOT / path).exists() else path.removesuffix(".md")


def _target(source: str, link: str) -> str | None:
    """Return the path in the repository that a link of a document leads to, None if none."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return target if not target.startswith("..") and (ROOT / target).exists() else None


def _outside(file: File) -> Iterator[str]:
    """Yield the paths in the repository, outside docs/, that a page links to."""
    for match in _LINK.finditer(_FENCE.sub("", file.content_string)):
        target = _target(_source(file.src_uri), match[2])
        if target is not None and not target.startswith("docs/"):
            yield target


def _copy(path: str, config: MkDocsConfig) -> File:
    """Return a file or folder of the repository as a file of the site."""
    origin, uri = ROOT / path, site_uri(path)
    if origin.is_dir():
        names = sorted(entry.name for entry in origin.iterdir() if entry.name[0] not in "._")
        listed = "\n".join(f"* `{name}`" for name in names)
        return File.generated(config, uri, content=f"# {path}\n\n{listed}\n")
    if not uri.endswith(".md") or path.endswith(".md"):
        return File.generated(config, uri, abs_src_path=str(origin))
    fence = f"```{_LANGUAGES.get(origin.suffix, 'text')}"
    return File.generated(config, uri, content=f"# {path}\n\n{fence}\n{origin.read_text()}\n```\n")
