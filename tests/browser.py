"""A headless Chromium for tests: a page's document after its scripts ran, and a hand on the page.

`dump_dom` and `screenshot` start a browser each. `driven()` starts one that stays: it clicks and
types as a user would, and hears what the page complains of. It speaks the DevTools protocol over
two pipes.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_TIMEOUT_SECONDS = 120


def find_browser() -> str | None:
    """Return the path of a Chromium or Chrome, None if there is none."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def require_browser() -> str:
    """Return the path of a browser; without one skip, or fail if MOTEMO_REQUIRE_BROWSER=1."""
    browser = find_browser()
    if browser is not None:
        return browser
    message = f"none of {', '.join(_NAMES)} is on PATH"
    if os.environ.get("MOTEMO_REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


def dump_dom(path_or_url: str | Path, *, virtual_time_ms: int = 20_000) -> str:
    """Return the document as HTML text after its scripts ran."""
    return _run(path_or_url, "--dump-dom", f"--virtual-time-budget={virtual_time_ms}")


def screenshot(path_or_url: str | Path, out: Path, size: tuple[int, int] = (1400, 1600)) -> Path:
    """Write a PNG of the page in a window of `size` (width, height) pixels; return its path.

    Chromium lays out no window narrower than 500 pixels: put a page into a frame to see it there.
    """
    width, height = size
    _run(
        path_or_url,
        f"--screenshot={out}",
        f"--window-size={width},{height}",
        "--virtual-time-budget=20000",
    )
    return out


@contextmanager
def driven() -> Iterator[Page]:
    """Start a browser with one empty page, and end it."""
    browser = require_browser()
    to_browser, from_browser = _pipe(), _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [browser, *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        process = os.posix_spawn(
            browser,
            [*arguments, "about:blank"],
            os.environ,
            setpgroup=0,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, to_browser[0], 3),
                (os.POSIX_SPAWN_DUP2, from_browser[1], 4),
            ],
        )
        try:
            os.close(to_browser[0])
            os.close(from_browser[1])
            page = Page(_Pipe(to_browser[1], from_browser[0]))
            page.attach()
            yield page
        finally:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(to_browser[1])
            os.close(from_browser[0])


def _pipe() -> tuple[int, int]:
    """Return both ends of a pipe, under numbers that stay clear of those the browser wants."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


@dataclass
class _Pipe:
    """Messages as JSON, each ended by a zero byte."""

    write_end: int
    read_end: int
    _buffer: bytes = b""

    def send(self, message: dict[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self.write_end, data) :]

    def receive(self) -> dict[str, Any]:
        end = time.monotonic() + _TIMEOUT_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self.read_end], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self.read_end, 1 << 20) if ready else b""
            if not data:
                pytest.fail("the browser ended or does not answer")
            self._buffer += data
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message


@dataclass
class Page:
    """One page in a browser that runs.

    Attributes:
        errors: What scripts threw, what was logged as an error or a warning, since `open`.
    """

    pipe: _Pipe
    errors: list[str] = field(default_factory=list)
    _session: str | None = None
    _calls: int = 0

    def attach(self) -> None:
        """Take the first page of the browser, and listen to it."""
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol; return its result."""
        self._calls += 1
        message: dict[str, Any] = {"id": self._calls, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self.pipe.send(message)
        while (answer := self.pipe.receive()).get("id") != self._calls:
            self._hear(answer)
        if "error" in answer:
            pytest.fail(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self, event: dict[str, Any]) -> None:
        found, about = event.get("method"), event.get("params", {})
        if found == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", str(details)))
        elif found == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.errors.append(str([a.get("value", a.get("description")) for a in about["args"]]))
        elif found == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.errors.append(about["entry"]["text"])

    def open(self, path_or_url: str | Path, *, until: str = "true") -> None:
        """Open a file or an address, and wait until it is loaded and a JavaScript condition holds.

        Args:
            path_or_url: What to open.
            until: The condition.
        """
        self.errors.clear()
        self.call("Page.navigate", url="about:blank")
        self.wait_for("location.href === 'about:blank'")
        self.call("Page.navigate", url=_url(path_or_url))
        self.wait_for(
            "location.href !== 'about:blank' && document.readyState === 'complete' && "
            f"Boolean({until})"
        )

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            pytest.fail(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript condition holds."""
        end = time.monotonic() + _TIMEOUT_SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > end:
                pytest.fail(f"never came true: {condition}; {self.errors}")
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element, which is scrolled to."""
        self.click_at(*self.middle(selector))

    def middle(self, selector: str) -> tuple[float, float]:
        """Return the middle of an element in the window, after scrolling to it."""
        found = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "if (!e) return null; e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); "
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        if found is None:
            pytest.fail(f"nothing on the page is {selector}")
        return found[0], found[1]

    def click_at(self, x: float, y: float) -> None:
        """Press and release the mouse at a place in the window."""
        self.drag((x, y), (x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Move the mouse to a place in the window, press, move to another and release."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        path = [middle, end] if start != end else []
        self._mouse("mouseMoved", start, held=False)
        self._mouse("mousePressed", start, held=True)
        for place in path:
            self._mouse("mouseMoved", place, held=True)
        self._mouse("mouseReleased", end, held=False)

    def _mouse(self, kind: str, place: tuple[float, float], *, held: bool) -> None:
        button = "left" if held or kind == "mouseReleased" else "none"
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=place[0],
            y=place[1],
            button=button,
            buttons=int(held),
            clickCount=int(button == "left"),
        )

    def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """Press and release a key, such as `Enter` (code 13, text "\\r") or `Escape` (27)."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code},
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def show_as(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window in pixels, and the colour scheme the user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, out: Path, *, whole: bool = False) -> Path:
        """Write a PNG of the window, or of the whole page; return its path."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        out.write_bytes(base64.b64decode(taken["data"]))
        return out

    def print_to(self, out: Path) -> Path:
        """Write the page as a PDF, as it would be printed; return its path."""
        printed = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        out.write_bytes(base64.b64decode(printed["data"]))
        return out


def _url(path_or_url: str | Path) -> str:
    is_path = isinstance(path_or_url, Path) or "://" not in path_or_url
    return Path(path_or_url).resolve().as_uri() if is_path else str(path_or_url)


def _run(path_or_url: str | Path, *arguments: str) -> str:
    url = _url(path_or_url)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [require_browser(), *_FLAGS, f"--user-data-dir={profile}", *arguments, url],
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    return done.stdout.decode()
