"""A process that can import ONNX Runtime, numpy and pillow, and neither motemo nor torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("numpy", "onnxruntime", "PIL", "google", "flatbuffers", "packaging")
"""The runtime, pillow, and what these import themselves."""
_LIBRARIES = {"PIL": "pillow.libs", "numpy": "numpy.libs"}
_PROGRAM = """
import runpy, sys
from importlib.util import find_spec
sys.path.append(sys.argv.pop(1))
assert find_spec("onnxruntime") and not any(map(find_spec, ("motemo", "torch", "onnx", "optuna")))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def runtime_packages(folder: Path) -> Path:
    """Make a folder with the runtime's packages alone."""
    for name in _PACKAGES:
        spec = find_spec(name)
        for place in list((spec.submodule_search_locations if spec else None) or ())[:1]:
            (folder / name).symlink_to(place)
            libraries = Path(place).parent / _LIBRARIES.get(name, "none")
            if libraries.exists():
                (folder / libraries.name).symlink_to(libraries)
    return folder


def run_model(
    folder: Path, packages: Path, *arguments: str | Path
) -> list[tuple[str, list[float]]]:
    """Run the program of a deployment folder: the class and the logits of each image."""
    completed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, packages, folder / "run.py", *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    lines = [line.partition(" [") for line in completed.stdout.splitlines()]
    return [(name, json.loads(f"[{numbers}")) for name, _, numbers in lines]
