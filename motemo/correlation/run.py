"""`motemo.correlate`: how well estimates rank the architectures of a table."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

from motemo.correlation.estimates import (
    COLUMN,
    Column,
    Estimate,
    MeanRank,
    Scored,
    as_estimates,
    check_estimates,
)
from motemo.correlation.few_labels import DEFAULT_DRAWS, check_labels, learned
from motemo.correlation.folder import CorrelationFolder
from motemo.correlation.picture import picture
from motemo.correlation.report import (
    FLOPS,
    Correlation,
    Correlations,
    Cost,
    Difference,
    report,
    rows_csv,
    scores_csv,
)
from motemo.correlation.sample import DEFAULT_CELLS, Cells, Sample, draw, sha256_of
from motemo.correlation.scoring import DEFAULT_BATCH_SIZE, Job, Report, score_all
from motemo.errors import SettingsError
from motemo.hardware.flops import Flops
from motemo.hardware.params import Params
from motemo.host import host_identity
from motemo.objective import Objective
from motemo.objectives.hybrid import Hybrid
from motemo.objectives.table import TableLookup
from motemo.rank_correlation import CONFIDENCE
from motemo.space import Json, Space

PARAMS = "params"
_PACKAGES = ("motemo", "torch", "numpy", "scipy", "onnxruntime")

OnStart: TypeAlias = Callable[[Sample], None]
"""Called with the sample, before anything is scored."""


def correlate(
    space: Space,
    tables: str | Path | Sequence[str | Path],
    *,
    truths: Sequence[str],
    estimates: Mapping[str, Objective | str] | Sequence[Objective | str],
    out: str | Path,
    cells: Cells = DEFAULT_CELLS,
    against: Sequence[str] = (),
    labels: Sequence[int] = (),
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    processes: int | None = 1,
    batch_size: int = DEFAULT_BATCH_SIZE,
    records: bool = False,
    retry_failed: bool = False,
    on_start: OnStart = lambda _sample: None,
    on_progress: Report = lambda _done, _all: None,
) -> Correlations:
    """Correlate estimates with the true accuracies of a table, on a random sample of its cells.

    Cells are as written in the table. Scores are of the canonical form, so cells that compute the
    same share one. Each score is kept in `out` as it comes: after a crash the same call goes on,
    and more cells, estimates or truths reuse what is there. Parameters and multiply-adds stand
    beside, as estimates that take more for more accurate.

    Args:
        space: Space of the cells.
        tables: One CSV file, or several that are joined on `arch` or `index`.
        truths: Columns of true accuracies, higher is better; the sample has cells with all.
        estimates: Objectives, `column:NAME` for a column of the tables, or `rank(A,B)` for the
            mean rank of other estimates; by label, or in a sequence, where an objective is called
            by its name and a text may begin with `LABEL=`.
        out: Folder for scores and results.
        cells: Size of the sample, or `all`; samples of growing size are nested.
        against: Labels of estimates that the others are compared with, pairwise.
        labels: Numbers of true accuracies that a predictor learns from, with all estimates among
            its features but what is read from the table; each adds the rows `predictor(N)`.
        draws: Draws of these labels that the figures of `predictor(N)` are averaged over.
        seed: Seed of the sample and of the bootstrap.
        processes: Scores so many at a time, each in a process on one thread; None: one per core.
            From 2 on, the calling script must be importable (`if __name__ == "__main__":`).
        batch_size: Networks that a batched objective gets at once.
        records: Keep what explains each score, such as a trace, in `scores.jsonl`.
        retry_failed: Score again what failed in an earlier run.
        on_start: Called with the sample, before anything is scored.
        on_progress: Called with how many scores there are and how many there will be.

    Returns:
        What was found; the same stands in the folder.

    Raises:
        UsageError: A setting cannot work, or does not agree with what the folder holds.
        DeviceError: A device is not available.
        EvaluationError: A process died.
    """
    given = [tables] if isinstance(tables, str | Path) else tables
    paths = [Path(path) for path in given]
    asked = with_baselines(as_estimates(estimates))
    _check_labels(truths, against, asked)
    folder = CorrelationFolder(Path(out), _fixed(space, paths, seed, asked))
    folder.check()
    sample = draw(
        paths,
        space=space,
        truths=truths,
        columns=[e.column for e in asked if isinstance(e, Column)],
        cells=cells,
        seed=seed,
    )
    check_labels(labels, len(sample), draws=draws)
    on_start(sample)
    with folder.claimed():
        scores = score_all(
            Job(space, _distinct(asked), records),
            sample.networks,
            file=folder.scores,
            known=folder.scores.read(failures=not retry_failed),
            processes=processes,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        found = report(sample, asked, scores, truths=truths, against=against, seed=seed)
        _write(found, folder, paths, asked)
        if labels:  # may fail, on networks that cannot be described: the rest is written by then
            rows = learned(found, labels, seed=seed, draws=draws, without=_read_from_table(asked))
            found = replace(found, learned=rows)
            _write(found, folder, paths, asked)
    return found


def with_baselines(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return the estimates, and parameters and multiply-adds if they are not among them."""
    labels = {estimate.label for estimate in estimates}
    beside = [Scored(PARAMS, Params()), Scored(FLOPS, Flops())]
    return [*estimates, *(e for e in beside if e.label not in labels)]


def _check_labels(
    truths: Sequence[str], against: Sequence[str], estimates: Sequence[Estimate]
) -> None:
    check_estimates(estimates)
    if isinstance(truths, str) or not truths or len(set(truths)) < len(truths):
        raise SettingsError(
            "Give at least one column of true accuracies, and each once; got "
            f"{truths if isinstance(truths, str) else ', '.join(truths) or 'none'}."
        )
    labels = [estimate.label for estimate in estimates]
    for other in against:
        if other not in labels or list(against).count(other) > 1:
            raise SettingsError(
                f"Cannot compare with {other!r}: give one of the estimates, and each once. "
                f"Estimates: {', '.join(labels)}."
            )


def _read_from_table(estimates: Sequence[Estimate]) -> set[str]:
    """Return the labels of what holds columns of a table: no features, they may tell the truth.

    A truth under another name, its value of another epoch, or what others have computed.
    """
    columns = {
        e.label
        for e in estimates
        if isinstance(e, Column) or (isinstance(e, Scored) and _looks_up(e.objective))
    }
    return columns | {
        e.label for e in estimates if isinstance(e, MeanRank) and columns.intersection(e.members)
    }


def _looks_up(objective: Objective) -> bool:
    parts = objective.parts if isinstance(objective, Hybrid) else ()
    return isinstance(objective, TableLookup) or any(map(_looks_up, parts))


def _distinct(estimates: Sequence[Estimate]) -> tuple[Scored, ...]:
    """Return what is to be scored, each identity once."""
    scored = [estimate for estimate in estimates if isinstance(estimate, Scored)]
    return tuple({estimate.identity: estimate for estimate in reversed(scored)}.values())[::-1]


def _fixed(
    space: Space, paths: Sequence[Path], seed: int, estimates: Sequence[Estimate]
) -> dict[str, Json]:
    found = [e.objective.identity().get("data") for e in estimates if isinstance(e, Scored)]
    data: list[Json] = []
    for one in found:
        if one is not None and one not in data:
            data.append(one)
    return {
        "space": {"name": space.name, **space.identity()},
        "tables_sha256": [sha256_of(path) for path in paths],
        "data": data,
        "seed": seed,
    }


def _write(
    found: Correlations,
    folder: CorrelationFolder,
    paths: Sequence[Path],
    estimates: Sequence[Estimate],
) -> None:
    folder.write("correlate.csv", rows_csv((*found.rows, *found.learned), Correlation))
    folder.write("costs.csv", rows_csv(found.costs, Cost))
    folder.write("differences.csv", rows_csv(found.differences, Difference))
    folder.write("scores.csv", scores_csv(found))
    folder.write("correlate.png", picture(found))
    folder.write_settings(
        {
            "tables": [str(path.absolute()) for path in paths],
            "truths": list[Json](found.truths),
            "cells": len(found.sample),
            "networks": len(found.sample.networks),
            "estimates": {estimate.label: _named(estimate) for estimate in estimates},
            "bootstrap_resamples": found.resamples,
            "confidence": CONFIDENCE,
            "host": host_identity(),
            "versions": _versions(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
        identities={e.identity: e.described for e in estimates if isinstance(e, Scored)},
    )


def _named(estimate: Estimate) -> Json:
    """Return what an estimate is: the identity of its scores, a column, or other estimates."""
    match estimate:
        case Scored():
            return estimate.identity
        case Column(column=column):
            return f"{COLUMN}{column}"
        case MeanRank(members=members):
            return list[Json](members)


def _versions() -> dict[str, Json]:
    packages: dict[str, Json] = {package: metadata.version(package) for package in _PACKAGES}
    return {"python": platform.python_version(), **packages}
