"""How fast a device was when it was first used: the speed that its figures are scaled to.

Kept in a file of the user's cache, one per device identity, so that figures of different days and
processes are figures of one scale. Without the file (it may be deleted) the scale is set anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from motemo.files import write_atomically
from motemo.space import Json

_NO_MATTER = ("name", "calibration")
_REFERENCE = 1
"""Version of the reference network: another one has a scale of its own."""
_logger = logging.getLogger(__name__)


def nominal_reference_ms(identity: Mapping[str, Json], measure: Callable[[], float]) -> float:
    """Return the stored milliseconds of the reference network, measured now if there are none.

    Args:
        identity: What device it is.
        measure: Measures the reference network, milliseconds.
    """
    file = nominal_file(identity)
    stored = _read(file)
    if stored is not None:
        return stored
    measured = measure()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps({"device": dict(identity), "reference_ms": measured}))
    except OSError as error:
        _logger.info("The speed of the device cannot be kept for the next time: %s", error)
    return measured


def nominal_file(identity: Mapping[str, Json]) -> Path:
    """Return where the speed of a device is kept, whatever it is called."""
    kept = {key: value for key, value in identity.items() if key not in _NO_MATTER}
    text = json.dumps({**kept, "reference": _REFERENCE}, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("motemo")) / "devices" / f"{name}.json"


def _read(file: Path) -> float | None:
    try:
        value = json.loads(file.read_text())["reference_ms"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, float) and 0 < value < math.inf else None
