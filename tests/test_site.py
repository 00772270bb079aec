"""The documentation site: it builds without a warning, and its pages are whole."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import Page, driven

import motemo

ROOT = Path(__file__).parent.parent


class Document(HTMLParser):
    """What a page refers to, and where it can be referred to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag in ("a", "link") and "href" in found:
            (self.links if tag == "a" else self.loaded).append(found["href"])
        if "src" in found:
            self.loaded.append(found["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site once, warnings as errors, and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def documents(site: Path) -> dict[Path, Document]:
    return {page.resolve(): Document(page) for page in site.rglob("*.html")}


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Serve the site on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_links_lead_somewhere(documents: dict[Path, Document]) -> None:
    for page, document in documents.items():
        for link in document.links + document.loaded:
            path, _, anchor = unquote(link).partition("#")
            if "://" in link or path.startswith(("data:", "mailto:", "/")) or link == "#":
                continue
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page.name}: {link}"
            if anchor and target in documents and not anchor.startswith("__"):
                assert anchor in documents[target].ids, f"{page.name}: {link}"


def test_pages_load_nothing_from_elsewhere(documents: dict[Path, Document]) -> None:
    assert len(documents) > 20
    for page, document in documents.items():
        assert not [url for url in document.loaded if "://" in url or url[:2] == "//"], page.name


def test_reference_has_every_public_name(site: Path, documents: dict[Path, Document]) -> None:
    reference = (site / "reference").resolve()
    ids = {
        i for page, document in documents.items() if page.parent == reference for i in document.ids
    }
    assert not {name for name in motemo.__all__ if f"motemo.{name}" not in ids}


def test_notebook_is_a_page(site: Path) -> None:
    page = (site / "notebooks" / "first_search.html").read_text()
    assert "first_search.ipynb" in page
    assert page.count('src="data:image/') == 2


PAGES = ("index.html", "method.html", "reference/search.html", "notebooks/first_search.html")


def test_pages_in_a_browser(address: str) -> None:
    with driven() as page:
        for name in PAGES:
            for dark, phone in ((False, False), (True, True)):
                page.show_as(390 if phone else 1300, 900, dark=dark, phone=phone)
                page.open(address + name)
                scheme = page.evaluate("document.body.dataset.mdColorScheme")
                assert scheme == ("slate" if dark else "default")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)"), name
                assert all(url.startswith(address) for url in _loaded(page))
                assert not page.errors, name


def _loaded(page: Page) -> list[str]:
    urls: list[str] = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    return [url for url in urls if not url.startswith("data:")]


def test_search_finds_a_page(address: str) -> None:
    with driven() as page:
        page.show_as(1300, 900)
        page.open(address + "index.html")
        page.click("[data-md-component=search-query]")
        page.call("Input.insertText", text="landscape")
        page.wait_for("document.querySelectorAll('.md-search-result__item').length > 1")
        assert "method.html" in page.evaluate(
            "document.querySelector('.md-search-result__list').innerHTML"
        )
        assert not page.errors
