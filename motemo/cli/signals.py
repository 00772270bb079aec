"""Ending on Ctrl-C and SIGTERM, whenever they come, and saying how to go on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from motemo.cli.console import err_console


@contextmanager
def hint_when_interrupted() -> Iterator[None]:
    """Say, where Ctrl-C ends the block, that the same command goes on from there."""
    try:
        yield
    except KeyboardInterrupt:
        err_console.print("Interrupted. Run the same command again to continue.")
        raise


@contextmanager
def ended_in_order() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM end the block as exceptions, so that everything is left in order.

    Yields:
        A function to call now and then. Python drops what a signal raises while garbage is being
        collected; this raises it again.
    """
    raised: list[BaseException] = []

    def leave(number: int, frame: FrameType | None) -> None:
        interrupted = number == signal.SIGINT
        raised.append(KeyboardInterrupt() if interrupted else SystemExit(128 + number))
        raise raised[0]

    def check() -> None:
        if raised:
            raise raised[0]

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, leave)
    try:
        yield check
    finally:
        for number in heeded:
            signal.signal(number, before[number])
