"""Writing ONNX models, and saying what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from motemo.cli.console import err_console, note

if TYPE_CHECKING:
    from motemo.front import Front
    from motemo.run_folder import RunFolder


def write_onnx(folder: RunFolder, front: Front) -> None:
    """Write the members of a front into a run folder."""
    results = folder.write_onnx(front)
    written = [result.path for result in results if result.path is not None]
    if written:
        note(
            f"wrote {written[0].parent}: {len(written)} ONNX models, untrained weights, each equal "
            "to its torch network"
        )
    for result in results:
        if result.failure is not None:
            err_console.print(
                f"[yellow]no ONNX model of trial {result.member.trial}: {escape(result.failure)}"
            )
