"""A reduced data set as a file."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motemo.errors import DataError, OutputError
from motemo.files import require_writable, write_atomically
from motemo.reduction.held_out import HeldOut
from motemo.reduction.reduce import Reduced
from motemo.space import Json

_PROVENANCE = "provenance"


def check_output(path: str | Path, *, force: bool) -> Path:
    """Check that a reduced data set can be written there, before anything is computed.

    Folders on the way are created.

    Args:
        path: Where to.
        force: Whether a file that is there may be replaced.

    Raises:
        OutputError: The path does not end in `.npz`, is a folder, is there already, or its folder
            cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise OutputError(f"{path}: the name of a reduced data set must end in .npz.")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder. Give the path of a file.")
    if path.exists() and not force:
        raise OutputError(f"{path}: is there already. Give another path, or --force to replace it.")
    require_writable(path)
    return path


def write_reduced(
    path: str | Path, reduced: Reduced, *, held_out: HeldOut | None = None, force: bool = False
) -> dict[str, Json]:
    """Write an `.npz` file that a search reads; return the provenance that it holds.

    The file holds `x_train` `(N, H, W, C)` uint8, `y_train`, `class_names`, with test images also
    `x_test` and `y_test`, and `provenance`, a JSON text. It is written whole or not at all.

    Args:
        path: The file.
        reduced: The reduced data set.
        held_out: Test images of the source; those of the kept classes go into the file.
        force: Whether a file that is there may be replaced.

    Raises:
        OutputError: See `check_output`.
    """
    path = check_output(path, force=force)
    arrays: dict[str, NDArray[Any]] = {
        "x_train": reduced.data.images.transpose(0, 2, 3, 1),
        "y_train": reduced.data.labels,
        "class_names": np.array(reduced.data.class_names),
    }
    test = None if held_out is None else held_out.of_classes(reduced.kept)
    if test is not None and len(test.labels):
        arrays |= {"x_test": test.images.transpose(0, 2, 3, 1), "y_test": test.labels}
    provenance: dict[str, Json] = {
        **reduced.provenance,
        "images": len(reduced.data),
        "test_images": 0 if test is None else len(test.labels),
        "motemo": metadata.version("motemo"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    arrays[_PROVENANCE] = np.array(json.dumps(provenance))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomically(path, buffer.getvalue())
    return provenance


def read_provenance(path: str | Path) -> dict[str, Json]:
    """Return how a reduced data set came about.

    Raises:
        DataError: The file is not one that `write_reduced` has written.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found: dict[str, Json] = json.loads(str(archive[_PROVENANCE]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: holds no provenance of a reduced data set: {error}. Give a file that "
            "'motemo reduce' has written."
        ) from error
    return found
