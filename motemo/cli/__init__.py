"""The command line. Imports late, so that `--help` and `list` answer at once."""

from __future__ import annotations

from motemo.cli.app import main as main
