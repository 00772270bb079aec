"""What a benchmark says in the end: rows for files and tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields

from motemo.benchmark.problem import Problem
from motemo.benchmark.run import Checkpoint, Run
from motemo.benchmark.statistics import Mean, mean_of
from motemo.rendering.curves import Curve


@dataclass(frozen=True)
class Row:
    """One sampler at one budget.

    Attributes:
        evaluations: The budget, in paid evaluations.
        sampler: Its name.
        hypervolume: True hypervolume relative to the true front, over seeds.
        lead: By how much the first sampler is ahead, paired by seed; None of the first itself.
        duplicates: Mean number of proposals pruned as duplicates.
        paid_duplicates: Evaluations paid twice, in all runs.
        seconds: Mean wall-clock seconds of a run.
        rescore_seconds: Mean cost of re-scoring as the table states it, or None.
        short: How many runs ended before the budget.
    """

    evaluations: int
    sampler: str
    hypervolume: Mean
    lead: Mean | None
    duplicates: float
    paid_duplicates: int
    seconds: float
    rescore_seconds: float | None
    short: int


@dataclass(frozen=True)
class Report:
    """The outcome of a benchmark.

    Attributes:
        rows: One per budget and sampler.
        exhaustive: Relative true hypervolume of the front of the whole table under the estimate,
            and, if there is one, under what re-scores; by column.
    """

    rows: tuple[Row, ...]
    exhaustive: dict[str, float]


def report(problem: Problem, runs: Sequence[Run]) -> Report:
    """Sum up the runs, sampler by sampler."""
    plan = problem.plan
    rows = tuple(_rows(runs, plan.budgets))
    columns = [c for c in (plan.estimate, plan.rescore) if c is not None]
    everything = problem.everything()
    exhaustive = {c: problem.share(problem.front(everything, c)) for c in columns}
    return Report(rows, exhaustive)


def _rows(runs: Sequence[Run], budgets: Sequence[int]) -> Iterator[Row]:
    for budget in budgets:
        first: list[float] | None = None
        for sampler, own in by_sampler(runs):
            at = [run.at(budget) for run in own]
            values = [checkpoint.hypervolume for checkpoint in at]
            lead = None
            if first is None:
                first = values
            else:
                lead = mean_of([a - b for a, b in zip(first, values, strict=True)])
            yield Row(
                evaluations=budget,
                sampler=sampler,
                hypervolume=mean_of(values),
                lead=lead,
                duplicates=mean_of([c.duplicates for c in at]).value,
                paid_duplicates=sum(c.paid_duplicates for c in at),
                seconds=mean_of([c.seconds for c in at]).value,
                rescore_seconds=_mean_seconds(at),
                short=sum(run.checkpoints[-1].evaluations < budget for run in own),
            )


def _mean_seconds(at: Sequence[Checkpoint]) -> float | None:
    stated = [c.rescore_seconds for c in at if c.rescore_seconds is not None]
    return mean_of(stated).value if stated else None


def by_sampler(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Return the runs of each sampler, in the order given."""
    names = list(dict.fromkeys(run.sampler for run in runs))
    return [(name, [run for run in runs if run.sampler == name]) for name in names]


def benchmark_csv(runs: Sequence[Run]) -> str:
    """Return one line per run and checkpoint."""
    names = [f.name for f in fields(Checkpoint)]
    rows = (
        {"sampler": run.sampler, "seed": run.seed, **asdict(checkpoint)}
        for run in runs
        for checkpoint in run.checkpoints
    )
    return _csv(("sampler", "seed", *names), rows)


def fronts_jsonl(runs: Sequence[Run]) -> str:
    """Return one line per run: what it handed over."""
    return "".join(
        json.dumps(
            {
                "sampler": run.sampler,
                "seed": run.seed,
                "evaluations": run.checkpoints[-1].evaluations,
                "members": list(run.members),
            }
        )
        + "\n"
        for run in runs
    )


_SUMMARY = (
    "evaluations",
    "sampler",
    "n",
    "mean",
    "sd",
    "low",
    "high",
    "first_leads_by",
    "first_leads_by_low",
    "first_leads_by_high",
    "duplicates",
    "paid_duplicates",
    "seconds",
    "rescore_seconds",
    "short",
)


def summary(found: Report) -> list[dict[str, object]]:
    """Return a row per budget and sampler, one per exhaustive front, and the true front."""
    rows: list[dict[str, object]] = [_summary_row(row) for row in found.rows]
    for column, share in found.exhaustive.items():
        rows.append({"sampler": f"exhaustive {column}", "mean": share})
    return [*rows, {"sampler": "true front", "mean": 1.0}]


def summary_csv(found: Report) -> str:
    """Return the summary as CSV."""
    return _csv(_SUMMARY, summary(found))


def _summary_row(row: Row) -> dict[str, object]:
    mean, lead = row.hypervolume, row.lead
    plain: dict[str, object] = {
        "evaluations": row.evaluations,
        "sampler": row.sampler,
        "n": mean.n,
        "mean": mean.value,
        "sd": mean.sd,
        "low": mean.low,
        "high": mean.high,
        "duplicates": row.duplicates,
        "paid_duplicates": row.paid_duplicates,
        "seconds": row.seconds,
        "rescore_seconds": row.rescore_seconds,
        "short": row.short,
    }
    if lead is not None:
        plain |= {
            "first_leads_by": lead.value,
            "first_leads_by_low": lead.low,
            "first_leads_by_high": lead.high,
        }
    return plain


def _csv(
    names: Sequence[str], rows: Sequence[dict[str, object]] | Iterator[dict[str, object]]
) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: _plain(v) for k, v in row.items()})
    return text.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(round(value, 9))
    return "" if value is None else value


def curves(problem: Problem, runs: Sequence[Run]) -> list[Curve]:
    """Return what to draw: the mean and its interval at each checkpoint, by sampler."""
    plan = problem.plan
    points = sorted({*plan.checkpoints, plan.evaluations})
    drawn = []
    for sampler, own in by_sampler(runs):
        means = [mean_of([run.at(point).hypervolume for run in own]) for point in points]
        drawn.append(
            Curve(
                name=sampler,
                x=tuple(map(float, points)),
                mean=tuple(m.value for m in means),
                low=tuple(m.low for m in means),
                high=tuple(m.high for m in means),
            )
        )
    return drawn
