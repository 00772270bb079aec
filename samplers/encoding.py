"""Optuna's parameters as genomes, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from motemo.genome import Bounds, Row

_Number: TypeAlias = FloatDistribution | IntDistribution


@dataclass(frozen=True, eq=False)
class Encoding:
    """Writes the values of a search space as a genome.

    A categorical parameter is the index of its choice. A number is itself, or its logarithm where
    the distribution is logarithmic; where values have a step, each has an equal share of the range.

    Attributes:
        search_space: The distribution of each parameter, in order.
        bounds: What the genes may be.
    """

    search_space: Mapping[str, BaseDistribution]
    bounds: Bounds = field(init=False)

    def __post_init__(self) -> None:
        low, high = np.array([_range(d) for d in self.search_space.values()]).T
        unordered = [_number(d) is None for d in self.search_space.values()]
        object.__setattr__(self, "bounds", Bounds(low, high, np.array(unordered)))

    def covers(self, params: Mapping[str, Any]) -> bool:
        """Return whether there is a value for every parameter, within its distribution."""
        return all(
            name in params and d._contains(d.to_internal_repr(params[name]))
            for name, d in self.search_space.items()
        )

    def encode(self, params: Mapping[str, Any]) -> Row:
        """Return the genome of these values."""
        return np.array([_to_gene(d, params[name]) for name, d in self.search_space.items()])

    def decode(self, row: Row) -> dict[str, Any]:
        """Return the values that a genome stands for."""
        genes = zip(self.search_space.items(), row.tolist(), strict=True)
        return {name: _to_value(d, gene) for (name, d), gene in genes}


def _number(distribution: BaseDistribution) -> _Number | None:
    return distribution if isinstance(distribution, FloatDistribution | IntDistribution) else None


def _range(distribution: BaseDistribution) -> tuple[float, float]:
    if isinstance(distribution, CategoricalDistribution):
        return 0.0, len(distribution.choices) - 1.0
    number = _number(distribution)
    if number is None:
        raise TypeError(f"No distribution of numbers or choices: {distribution!r}.")
    margin = (number.step or 0) / 2
    low, high = number.low - margin, number.high + margin
    return (math.log(low), math.log(high)) if number.log else (low, high)


def _to_gene(distribution: BaseDistribution, value: Any) -> float:  # noqa: ANN401
    number = _number(distribution)
    if number is None:
        return float(distribution.to_internal_repr(value))
    return math.log(value) if number.log else float(value)


def _to_value(distribution: BaseDistribution, gene: float) -> Any:  # noqa: ANN401
    number = _number(distribution)
    if number is None:
        return distribution.to_external_repr(gene)
    value = math.exp(gene) if number.log else gene
    if number.step is not None:
        value = number.low + round((value - number.low) / number.step) * number.step
    value = min(max(value, number.low), number.high)
    return int(value) if isinstance(number, IntDistribution) else float(value)
