"""How the C library hands out memory."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, instead of giving it back each time.

    Training on the CPU frees and claims its activations in every step; glibc maps large blocks
    anew and the kernel clears them, which took up to half of the time. Return whether it could be
    set: only glibc on Linux has it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
