"""Steps that a GPU replays from a recording, a CUDA graph, without waiting for Python.

A short training of a small network launches hundreds of small kernels a step; launching them from
Python takes longer than the kernels do. A recorded step is launched as one.

Reference: *CUDA semantics: CUDA Graphs*, PyTorch's notes, for what a recording may contain.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch

Step: TypeAlias = Callable[[torch.Tensor], None]
"""Takes a batch, `(n,)` row numbers on the device."""

Recorder: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]
"""From an action to its replay. The action is carried out some times on the way."""


class CannotRecordError(RuntimeError):
    """A step would not be the same when replayed."""


class Replayed:
    """A step that is replayed from recordings, one for each size of batch."""

    def __init__(self, step: Step, batches: Sequence[torch.Tensor], recorder: Recorder) -> None:
        self._recordings: dict[int, tuple[torch.Tensor, Callable[[], None]]] = {}
        for batch in {len(batch): batch for batch in batches}.values():
            rows = batch.clone()
            self._recordings[len(rows)] = rows, recorder(partial(step, rows))

    def __call__(self, batch: torch.Tensor) -> None:
        """Put the rows where the recording reads them, and replay it."""
        rows, replay = self._recordings[len(batch)]
        rows.copy_(batch)
        replay()


def cuda_recorder(optimizer: torch.optim.Optimizer) -> Recorder:
    """Return what records on the current stream, which must not be the default one.

    Its recordings share their memory: they are replayed one after the other on one stream, and
    whatever outlives a step, such as weights, has its own memory already.

    Args:
        optimizer: The optimizer whose steps are recorded.
    """
    pool = torch.cuda.graph_pool_handle()
    begun = False

    def record(action: Callable[[], None]) -> Callable[[], None]:
        nonlocal begun
        if not begun:
            action()  # libraries are loaded, moments allocated
            begun = True
        with _no_waiting():
            action()
        graph = torch.cuda.CUDAGraph()
        with (
            _capturable(optimizer),
            torch.cuda.graph(graph, pool=pool, stream=torch.cuda.current_stream()),
        ):
            action()
        return graph.replay

    return record


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Raise RuntimeError where the device is waited for, which no recording can contain.

    A capture that fails midway leaves torch's generator unusable for what comes after; this finds
    out before.
    """
    mode: Any = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the mode experimental
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(mode)


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Declare that an optimizer keeps its state on the device, as fused ones do."""
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
