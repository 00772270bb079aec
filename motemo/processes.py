"""Pools of worker processes that compute on one thread each and never outlive their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from motemo.allocator import keep_freed_memory
from motemo.errors import EvaluationError

T = TypeVar("T")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def nothing() -> None:
    """Do nothing; a worker that needs no preparation."""


@contextmanager
def worker_pool(
    processes: int, *, begin: Callable[[], None] = nothing
) -> Iterator[ProcessPoolExecutor]:
    """Offer a pool of processes; an exception inside the block ends them at once.

    Ctrl-C reaches the parent only, and a worker whose parent was killed ends itself.

    Args:
        processes: How many.
        begin: Called in each before its first task; can be pickled.
    """
    before = {p.pid for p in multiprocessing.active_children()}
    with _one_thread_each():
        pool = ProcessPoolExecutor(
            processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(begin,),
        )
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                if process.pid not in before:
                    process.terminate()
            raise
        pool.shutdown()


def as_finished(futures: Sequence[Future[T]], *, of: str, kept: str) -> Iterator[T]:
    """Yield the result of each as it is there.

    Args:
        futures: What a pool was asked for.
        of: What they are a part of, for messages.
        kept: What is not lost if a process dies, for messages.

    Raises:
        EvaluationError: A process died.
    """
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise EvaluationError(
            f"A process of the {of} died, perhaps for want of memory. {kept} are kept: run the "
            "same command again, with fewer --processes."
        ) from error


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started inside the block compute on one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(begin: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    begin()


def _end_with_parent() -> None:
    """Wait for the parent to die; a worker would wait for its next task for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
