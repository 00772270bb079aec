"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let torch compute on one thread inside the block.

    The order of sums, and so the last digits of a result, depend on the number of threads. One is
    also the number that a busy neighbour harms least: two threads wait for the slower of them.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
