"""Which NVIDIA GPU this host has; part of the identity of what is measured there."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from motemo.space import Json

_UNKNOWN = "unknown"


@cache
def gpu_identity() -> dict[str, Json]:
    """Return model and driver of the first GPU that this process sees, as `nvidia-smi` says."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {"gpu": _UNKNOWN, "driver": _UNKNOWN}
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() or "0"
    query = ["--query-gpu=name,driver_version", "--format=csv,noheader", f"--id={first}"]
    try:
        answer = subprocess.run(  # noqa: S603  (no shell, and nothing a user wrote but an id)
            [command, *query], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        answer = ""
    name, _, driver = answer.strip().rpartition(",")
    return {"gpu": name.strip() or _UNKNOWN, "driver": driver.strip() or _UNKNOWN}
