"""What a benchmark is asked to do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motemo.errors import SettingsError
from motemo.rescoring import DEFAULT_DOUBT, LEAST_TO_PREDICT
from motemo.space import Json

DEFAULT_EVALUATIONS = 200
DEFAULT_SEEDS = 10
_CHECKPOINTS = 10
_MIN_POPULATION = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One comparison: everything that is the same for all samplers and seeds.

    Attributes:
        space: Registered name of the space.
        tables: CSV files, joined on `arch` or `index`.
        estimate: Column that the search maximises. One evaluation of it is paid.
        truth: Column that judges, higher is better. The search never sees it, unless it is the
            estimate.
        costs: Columns that the search minimises and that are known for free.
        reference: Bound of the truth; the bound of each cost is its worst value in the table.
        evaluations: Paid evaluations, those of re-scoring included.
        every: Distance of the checkpoints, in paid evaluations; None: a tenth.
        batch_size: Candidates that are asked for together.
        population: Population size of samplers that have one; None: their own default.
        rescore: Column that re-scores the best in the end, in place of the estimate, or None.
        top: How many are re-scored.
        only_rescored: Hand over only what was re-scored, the best of the search; else the front
            keeps its members and gains challengers (`motemo.rescore`, `keep_others`).
        doubt: How clearly a prediction must be better to count; see there.
        rescore_seconds: Column that says what re-scoring one costs, in seconds, or None.
    """

    space: str
    tables: tuple[Path, ...]
    estimate: str
    truth: str
    costs: tuple[str, ...]
    reference: float
    evaluations: int = DEFAULT_EVALUATIONS
    every: int | None = None
    batch_size: int = 4
    population: int | None = None
    rescore: str | None = None
    top: int = 0
    only_rescored: bool = False
    doubt: float = DEFAULT_DOUBT
    rescore_seconds: str | None = None

    def __post_init__(self) -> None:
        self._check_columns()
        self._check_numbers()

    def _check_columns(self) -> None:
        repeated = {c for c in self.costs if self.costs.count(c) > 1}
        both = {self.estimate, self.truth, self.rescore} & set(self.costs)
        for column in sorted(repeated | {c for c in both if c}):
            raise SettingsError(
                f"The cost {column!r} is given twice, or is the estimate, the truth or what "
                "re-scores as well. Give each column one part."
            )
        if (self.rescore is None) != (self.top == 0):
            raise SettingsError(
                "Re-scoring needs a column and a number: give both --rescore COLUMN and --top K, "
                "or neither."
            )
        if self.rescore is None and (self.rescore_seconds is not None or self.only_rescored):
            raise SettingsError(
                "--rescore-seconds and --only-rescored need --rescore COLUMN and --top K."
            )

    def _check_numbers(self) -> None:
        if not math.isfinite(self.reference):
            raise SettingsError(f"The reference must be a number; got {self.reference}.")
        if self.top and not self.only_rescored and self.top < LEAST_TO_PREDICT:
            raise SettingsError(
                f"--top must be at least {LEAST_TO_PREDICT}, to predict the others from; got "
                f"{self.top}. Give --only-rescored for fewer."
            )
        if not 0 <= self.doubt < math.inf:
            raise SettingsError(f"--doubt must be at least 0; got {self.doubt}.")
        if self.top < 0 or self.searched < 2:
            raise SettingsError(
                f"A benchmark needs at least 2 paid evaluations besides those of re-scoring; got "
                f"{self.evaluations} in all and {self.top} for re-scoring."
            )
        if self.every is not None and not 1 <= self.every <= self.evaluations:
            raise SettingsError(
                f"--every must be from 1 to {self.evaluations}, the evaluations; got {self.every}."
            )
        if self.batch_size < 1:
            raise SettingsError(f"A batch needs at least 1 candidate; got {self.batch_size}.")
        if self.population is not None and self.population < _MIN_POPULATION:
            raise SettingsError(
                f"The population needs at least {_MIN_POPULATION} members; got {self.population}."
            )

    @property
    def searched(self) -> int:
        """Paid evaluations of the search itself."""
        return self.evaluations - self.top

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        named = (self.estimate, self.truth, *self.costs, self.rescore, self.rescore_seconds)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def checkpoints(self) -> list[int]:
        """After how many paid evaluations of the search it is judged: half and all included."""
        step = self.every or max(1, self.evaluations // _CHECKPOINTS)
        points = {*range(step, self.searched + 1, step), self.searched, self.half}
        return sorted(points)

    @property
    def half(self) -> int:
        """Half of the budget."""
        return max(1, min(self.evaluations // 2, self.searched))

    @property
    def budgets(self) -> list[int]:
        """The budgets that the summary is about: half, before re-scoring, all."""
        return sorted({self.half, self.searched, self.evaluations})

    def settings(self) -> dict[str, Json]:
        """Return everything that makes two plans the same; tables by their contents."""
        return {
            "space": self.space,
            "tables": [_digest(file) for file in self.tables],
            "estimate": self.estimate,
            "truth": self.truth,
            "costs": list(self.costs),
            "reference": self.reference,
            "evaluations": self.evaluations,
            "checkpoints": list[Json](self.checkpoints),
            "batch_size": self.batch_size,
            "population": self.population,
            "rescore": self.rescore,
            "top": self.top,
            "only_rescored": self.only_rescored,
            "doubt": self.doubt,
            "rescore_seconds": self.rescore_seconds,
        }


def check_seeds(seeds: int) -> Sequence[int]:
    """Return the seeds 0 to n - 1.

    Raises:
        SettingsError: There is none.
    """
    if seeds < 1:
        raise SettingsError(f"A benchmark needs at least 1 seed; got {seeds}.")
    return range(seeds)


def _digest(file: Path) -> str:
    return f"{file.name} sha256:{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
