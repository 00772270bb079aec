"""Measured costs of single networks in a file that grows, so that measuring them can be resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from motemo.errors import DataError
from motemo.evaluation import undisturbed
from motemo.objective import Measurement, Objective
from motemo.space import Architecture, Json

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with how many are measured, and how many there will be."""


@dataclass(frozen=True)
class CostSample:
    """A measured network.

    Attributes:
        genotype: The network, as written.
        value: Its cost.
    """

    genotype: str
    value: float


def measure_samples(
    objective: Objective,
    architectures: Sequence[Architecture],
    path: Path,
    *,
    on_progress: OnProgress = lambda _done, _wanted: None,
) -> tuple[list[CostSample], list[str]]:
    """Measure networks one after the other; what the file holds is not measured again.

    Args:
        objective: What to measure, such as `Latency`.
        architectures: The networks, measured as written.
        path: File of samples; one line for each, written at once.
        on_progress: Called at the start and after every network.

    Returns:
        The samples, in order, and why others could not be measured.

    Raises:
        DataError: The file holds something else.
    """
    known = _open(path, objective.identity())
    found: list[CostSample] = []
    failures: list[str] = []
    on_progress(0, len(architectures))
    for done, architecture in enumerate(architectures, start=1):
        genotype = architecture.genotype
        if genotype in known:
            found.append(known[genotype])
        else:
            outcome = _measure(objective, architecture)
            if isinstance(outcome, CostSample):
                found.append(outcome)
                _append(path, vars(outcome))
            else:
                failures.append(f"{genotype}: {outcome}")
        on_progress(done, len(architectures))
    return found, failures


def _measure(objective: Objective, architecture: Architecture) -> CostSample | str:
    """Return the cost of a network, or why there is none."""
    with undisturbed(objective):
        [outcome] = objective.evaluate([architecture])
    if not isinstance(outcome, Measurement):
        return outcome.reason
    if not (math.isfinite(outcome.value) and outcome.value > 0):
        return f"the value is {outcome.value}"
    return CostSample(architecture.genotype, outcome.value)


def read_samples(path: Path) -> list[CostSample]:
    """Return the samples in a file.

    Raises:
        DataError: It holds something else.
    """
    return list(_parse(path, _text(path).splitlines())[1].values())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} holds no samples of costs: {error}. Give a new file.") from error


def _open(path: Path, identity: Mapping[str, Json]) -> dict[str, CostSample]:
    """Return what the file holds, by genotype; begin it if there is none.

    Raises:
        DataError: It holds something else, or was measured otherwise.
    """
    lines = _text(path).splitlines(keepends=True) if path.exists() else []
    if lines and not lines[-1].endswith("\n"):  # a torn last line, by a process that was killed
        lines.pop()
        path.write_text("".join(lines))
    if not lines:
        path.parent.mkdir(parents=True, exist_ok=True)
        _append(path, {"measured": dict(identity)})
        return {}
    before, samples = _parse(path, lines)
    if before != json.loads(json.dumps(identity)):
        raise DataError(
            f"The samples in {path} were measured otherwise: {differences(before, identity)}. "
            "Give another file, or measure as before."
        )
    return samples


def _parse(path: Path, lines: Sequence[str]) -> tuple[dict[str, Json], dict[str, CostSample]]:
    try:
        header, *rows = map(json.loads, lines)
        samples = [CostSample(**row) for row in rows]
        return header["measured"], {sample.genotype: sample for sample in samples}
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} holds no samples of costs: {error}. Give a new file, or one that this command "
            "has written."
        ) from error


def _append(path: Path, row: Mapping[str, object]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def differences(before: Mapping[str, Json], now: Mapping[str, Json]) -> str:
    """Return in which entries two identities differ, for messages."""
    flat_before, flat_now = dict(_flat(before)), dict(_flat(now))
    names = sorted(flat_before.keys() | flat_now.keys())
    return "; ".join(
        f"{name} was {flat_before.get(name)!r} and is {flat_now.get(name)!r}"
        for name in names
        if flat_before.get(name) != flat_now.get(name)
    )


def _flat(identity: Mapping[str, Json], prefix: str = "") -> list[tuple[str, Json]]:
    found: list[tuple[str, Json]] = []
    for name, value in identity.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", list(value) if isinstance(value, tuple) else value))
    return found
