"""What host this is; part of the identity of everything measured."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from motemo.space import Json


@cache
def processor() -> str:
    """Return the processor's model name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def host_identity() -> dict[str, Json]:
    """Return host name, processor and operating system."""
    return {
        "host": platform.node(),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
    }
