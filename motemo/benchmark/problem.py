"""What a benchmark knows of its tables: objectives for the search, and the truth to judge by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from motemo.benchmark.plan import Plan
from motemo.errors import DataError
from motemo.objective import Direction, Stage
from motemo.objectives.table import TableLookup
from motemo.pareto import hypervolume, non_dominated
from motemo.space import Space
from motemo.spaces.by_name import space_by_name
from motemo.tables import Table, read_table

Rows = NDArray[np.intp]
"""Positions of networks in the table of a problem."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A plan with its tables read.

    Only rows with a number in every column are used; to the search, the others are not there.

    Attributes:
        plan: The plan.
        space: Its space.
        rows: How many rows the joined tables have.
        table: One row per network that can be searched and has a number in every column.
        reference: Bounds of truth and costs.
    """

    plan: Plan
    space: Space
    rows: int
    table: Table
    reference: tuple[float, ...]

    @classmethod
    def load(cls, plan: Plan) -> Problem:
        """Read the tables.

        Raises:
            DataError: They cannot be read, lack a column, or nothing lies inside the reference.
            UnknownNameError: There is no such space.
        """
        space = space_by_name(plan.space)
        read = read_table(plan.tables, columns=plan.columns, space=space)
        written = read.complete()
        networks = written.networks().valid()
        if not len(networks):
            raise DataError(
                f"No row of the tables has a valid architecture and a number in each of "
                f"{', '.join(plan.columns)}."
            )
        worst = (float(written.columns[cost].max()) for cost in plan.costs)
        problem = cls(plan, space, len(read), networks, (plan.reference, *worst))
        if problem.best <= 0:
            raise DataError(
                f"No architecture in the tables is better than the reference: {plan.truth} above "
                f"{plan.reference} and costs below their worst. The highest {plan.truth} is "
                f"{networks.columns[plan.truth].max():.6g}."
            )
        return problem

    @property
    def objectives(self) -> tuple[TableLookup, ...]:
        """What the search optimises: the estimate, then the costs."""
        return (
            self._lookup(self.plan.estimate, Direction.MAXIMIZE, Stage.TRAIN),
            *(self._lookup(cost, Direction.MINIMIZE, Stage.MEASURE) for cost in self.plan.costs),
        )

    def dearer_objective(self, column: str) -> TableLookup:
        """Return what re-scores in place of the estimate."""
        return self._lookup(column, Direction.MAXIMIZE, Stage.TRAIN)

    def _lookup(self, column: str, direction: Direction, stage: Stage) -> TableLookup:
        return TableLookup.of(self.table, column=column, direction=direction, stage=stage)

    def find(self, genotypes: Iterable[str]) -> Rows:
        """Return the rows of canonical genotypes."""
        return np.array([self._places[genotype] for genotype in genotypes], dtype=np.intp)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {a.genotype: row for row, a in enumerate(self.table.architectures)}

    def front(self, rows: Rows, column: str) -> Rows:
        """Return those rows that no other one dominates in a column (maximised) and the costs."""
        return rows[non_dominated(self._values(rows, column), self._directions)]

    def everything(self) -> Rows:
        """Return all rows."""
        return np.arange(len(self.table), dtype=np.intp)

    def share(self, rows: Rows) -> float:
        """Return the hypervolume under the truth, relative to that of the true front."""
        return self._volume(rows) / self.best

    @cached_property
    def best(self) -> float:
        """Hypervolume of the true front of the whole table."""
        return self._volume(self.everything())

    def _volume(self, rows: Rows) -> float:
        return hypervolume(self._values(rows, self.plan.truth), self._directions, self.reference)

    def _values(self, rows: Rows, column: str) -> NDArray[np.float64]:
        return np.stack([self.table.columns[c][rows] for c in (column, *self.plan.costs)], axis=1)

    @property
    def _directions(self) -> Sequence[Direction]:
        return (Direction.MAXIMIZE, *(Direction.MINIMIZE for _ in self.plan.costs))
