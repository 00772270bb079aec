"""What the stored result of every benchmark says beside its figures: date, device, versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from motemo.files import write_atomically
from motemo.host import host_identity
from motemo.space import Json


def store(
    path: Path,
    figures: Mapping[str, Json],
    *,
    packages: Sequence[str],
    device: Mapping[str, Json] | None = None,
) -> None:
    """Write figures as JSON.

    Args:
        path: Where to.
        figures: What was measured, and how.
        packages: The packages whose versions matter.
        device: What it ran on, if not on this host's processor alone.
    """
    host = {name: value for name, value in host_identity().items() if name != "host"}
    document = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": {**host, **(device or {})},
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("motemo", *packages)},
        },
        **figures,
    }
    write_atomically(path, json.dumps(document, indent=2) + "\n")
