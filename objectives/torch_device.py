"""Where torch computes, and that it computes the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from motemo.errors import DeviceError
from motemo.threads import single_threaded


def torch_device(name: str) -> torch.device:
    """Return the torch device of that name.

    Raises:
        DeviceError: torch does not know it, or it is not available here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        cuda = "cuda is available" if torch.cuda.is_available() else "cuda is not available"
        raise DeviceError(
            f"Cannot train on device {name!r}. Here, {cuda}; 'cpu' always is. "
            f"torch says: {str(error).splitlines()[0]}"
        ) from error
    return device


@contextmanager
def deterministic() -> Iterator[None]:
    """Compute on one thread, and with cuDNN's deterministic algorithms, inside the block."""
    cudnn = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with single_threaded(), cudnn:
        yield
