"""A program that tells how much memory ONNX Runtime takes for a model. Linux with glibc only.

    python footprint.py MODEL.onnx WARM_UP.onnx

It is run as a file, in a process of its own, and imports nothing of motemo: whatever a process
freed before is given out again, and would hide what the model takes. It loads and runs the
warm-up model, which sets up the runtime, then the model, and writes bytes of private memory on top
of those before the model as JSON: `loading`, at most while the session is created; `running`, at
most while it runs afterwards.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

_PROCESS = Path("/proc/self")
_RUNS = 3


def main(model: str, warm_up: str) -> None:
    """Write what a model takes to the standard output."""
    _run(_open(warm_up))
    _settle()
    before = _private_bytes()
    session = _open(model)
    loading = _peak_private_bytes() - before
    _settle()
    _run(session)
    running = _peak_private_bytes() - before
    sys.stdout.write(json.dumps({"loading": loading, "running": running}))


def _open(model: str) -> onnxruntime.InferenceSession:
    """Open a session as devices do, with one thread; more would take memory of their own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession) -> None:
    (images,) = session.get_inputs()
    zeros = np.zeros(images.shape, dtype=np.float32)
    for _ in range(_RUNS):
        session.run(None, {images.name: zeros})


def _settle() -> None:
    """Return freed memory to the system, and let the peak start from here."""
    ctypes.CDLL(None).malloc_trim(0)
    (_PROCESS / "clear_refs").write_text("5")


def _peak_private_bytes() -> int:
    """Return the most private memory since the last `_settle`; mapped files do not count."""
    memory = _memory()
    return memory["VmHWM"] - memory["RssFile"]


def _private_bytes() -> int:
    return _memory()["RssAnon"]


def _memory() -> dict[str, int]:
    """Return the process's memory in bytes, by the kernel's names."""
    lines = (_PROCESS / "status").read_text().splitlines()
    fields = (line.split() for line in lines if line.endswith("kB"))
    return {name.rstrip(":"): int(kilobytes) * 1024 for name, kilobytes, _ in fields}


if __name__ == "__main__":
    main(*sys.argv[1:])
