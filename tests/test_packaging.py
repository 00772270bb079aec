"""What is installed is what stands in the tree, under one name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOMES = {"objectives": "motemo/objectives", "samplers": "motemo/samplers"} | {
    "hardware": "motemo/hardware"
}


@pytest.mark.slow
def test_the_wheel_holds_exactly_the_modules_of_the_tree(tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    leftovers = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, clean, symlinks=True, ignore=leftovers)
    command = ["pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(clean)]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {"motemo/py.typed"}
    for folder in ("motemo", *HOMES):
        home = HOMES.get(folder, folder)
        for path in _modules(ROOT / folder):
            expected.add(f"{home}/{path}")
    assert held == expected


def _modules(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if not any((folder / part).is_symlink() for part in path.relative_to(folder).parts[:1])
    ]


def test_every_dependency_is_used_somewhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    modules = {"pillow": "PIL", "scikit-learn": "sklearn", "onnxscript": ""}
    source = "\n".join(
        path.read_text() for folder in ("motemo", *HOMES) for path in (ROOT / folder).rglob("*.py")
    )
    for requirement in project["dependencies"]:
        name = requirement.replace("<", ">").split(">")[0]
        assert f"import {modules.get(name, name)}" in source or (
            f"from {modules.get(name, name)}" in source
        )


def test_the_middle_folders_are_no_packages_of_their_own() -> None:
    program = "import sys, motemo.objectives.mote; assert 'objectives' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
