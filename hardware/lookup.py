"""A table of what each operator costs on one device, from measurements of whole networks.

An operator on its own costs something else than in a network, where it is fused with others and
finds its input in the cache. So some tens of networks are measured, and the costs of the operators
are what explains them: a ridge regression that keeps costs at or above 0 and draws them to what
multiply-adds and bytes moved let expect, so that operators which no measured network has are
predicted, too.

References: Cai et al., *ProxylessNAS*, ICLR 2019, for lookup tables of latency; Williams, Waterman
and Patterson, *Roofline*, CACM 2009, for the expectation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from motemo.errors import DataError
from motemo.hardware.cost_samples import CostSample
from motemo.hardware.latency_model import LatencyModel, Measured, Prediction
from motemo.hardware.operators import Operator, operators
from motemo.space import Architecture, Json, Shape, Space
from motemo.tables import Floats

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_NETWORKS = 8
_FITTED = 4
"""Numbers that the expectation is fitted by: three rates and the fixed part."""
_SPREADS = (0.1, 0.3, 1.0, 3.0)
"""By what share of itself an operator's cost may differ from the expected one."""
_NOISES = (0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.2)
"""By what share of itself a network's latency may differ from the sum."""

Counts = Mapping[Operator, int]


@dataclass(frozen=True, eq=False)
class LookupTable(LatencyModel):
    """Latency as the sum over a network's operators, and a fixed part.

    Attributes:
        measured: What it stands for.
        input_shape: Deployment shape of one image.
        classes: Classes of the deployed network.
        operators: The operators of the measured networks.
        costs: Milliseconds of each.
        fixed: Milliseconds of a run without operators.
        rates: Expected milliseconds of a multiply-add, of a byte, and of an operator as such.
        spread: By what share of itself an operator's cost may differ from the expected one.
        noise: By what share a network's latency differs from the sum, in standard deviations.
        counts: `(n, operators)` of the measured networks, each row over its latency.
    """

    measured: Measured
    input_shape: Shape
    classes: int
    operators: tuple[Operator, ...]
    costs: tuple[float, ...]
    fixed: float
    rates: tuple[float, float, float]
    spread: float
    noise: float
    counts: Floats = field(repr=False)
    kind = "lookup"

    @classmethod
    def fit(
        cls,
        samples: Sequence[CostSample],
        *,
        space: Space,
        objective: Mapping[str, Json],
        input_shape: Shape,
        classes: int,
        on_progress: Callable[[int, int], None] = lambda _done, _wanted: None,
    ) -> LookupTable:
        """Explain measured networks by their operators.

        Args:
            samples: At least 8 measured networks; 30 to 60 are better.
            space: Their space.
            objective: Identity of the objective that measured.
            input_shape: Deployment shape that they were measured at.
            classes: Classes that they were measured with.
            on_progress: Called as networks are taken apart.

        Raises:
            DataError: There are too few.
            EvaluationError: A network cannot be taken apart.
        """
        if len(samples) < LEAST_NETWORKS:
            raise DataError(
                f"A lookup table needs at least {LEAST_NETWORKS} measured networks; got "
                f"{len(samples)}. Measure more; 40 do well."
            )
        found = []
        for done, sample in enumerate(samples, start=1):
            found.append(_counts(space.architecture(sample.genotype), input_shape, classes))
            on_progress(done, len(samples))
        fitted = _fit(found, np.array([sample.value for sample in samples]))
        return cls(
            measured=Measured(space.identity(), objective),
            input_shape=input_shape,
            classes=classes,
            **fitted,
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any], measured: Measured) -> LookupTable:
        """Return the table that `to_json` described."""
        rows = document["operators"]
        channels, height, width = document["input_shape"]
        return cls(
            measured=measured,
            input_shape=(channels, height, width),
            classes=document["classes"],
            operators=tuple(
                Operator(r["operator"], r["multiply_adds"], r["bytes_moved"]) for r in rows
            ),
            costs=tuple(row["ms"] for row in rows),
            fixed=document["fixed_ms"],
            rates=(document["rates"][0], document["rates"][1], document["rates"][2]),
            spread=document["spread"],
            noise=document["noise"],
            counts=np.array(document["counts_per_ms"]).reshape(-1, len(rows) + 1),
        )

    def to_json(self) -> dict[str, Json]:
        """Return the table."""
        rows: list[Json] = [
            {
                "operator": operator.name,
                "ms": cost,
                "multiply_adds": operator.multiply_adds,
                "bytes_moved": operator.bytes_moved,
            }
            for operator, cost in zip(self.operators, self.costs, strict=True)
        ]
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "fixed_ms": self.fixed,
            "operators": rows,
            "rates": list(self.rates),
            "spread": self.spread,
            "noise": self.noise,
            "counts_per_ms": self.counts.tolist(),
        }

    def predict(self, architectures: Sequence[Architecture]) -> list[Prediction]:
        """Add up the operators of each network."""
        return [
            self.predict_counts(_counts(architecture, self.input_shape, self.classes))
            for architecture in architectures
        ]

    def predict_counts(self, counts: Counts) -> Prediction:
        """Add up operators; those that are not in the table cost what their size lets expect."""
        from scipy.stats import t as student

        position = self._positions
        row = np.zeros(len(self.operators) + 1)
        row[-1] = 1.0
        new, new_variance = 0.0, 0.0
        for operator, count in counts.items():
            if operator in position:
                row[position[operator]] = count
            else:
                cost = count * _expected(operator, self.rates)
                new += cost
                new_variance += (self.spread * cost) ** 2
        value = float(row @ np.array([*self.costs, self.fixed])) + new
        value = max(value, 1e-9)
        variance = float(row @ self._covariance @ row) + new_variance + (self.noise * value) ** 2
        freedom = max(len(self.counts) - _FITTED, 1)
        half = float(student.ppf(0.975, freedom) * np.sqrt(variance))
        return Prediction(value, max(value - half, 0.0), value + half)

    @cached_property
    def _positions(self) -> dict[Operator, int]:
        return {operator: place for place, operator in enumerate(self.operators)}

    @cached_property
    def _covariance(self) -> Floats:
        """Covariance of the costs, the fixed part last."""
        prior = _prior(self.operators, self.rates, self.fixed, self.spread)
        precision = self.counts.T @ self.counts / self.noise**2 + np.diag(prior**-2)
        inverse: Floats = np.linalg.inv(precision).astype(np.float64)
        return inverse


def _counts(architecture: Architecture, input_shape: Shape, classes: int) -> Counter[Operator]:
    return operators(architecture.build(input_shape=input_shape, classes=classes), input_shape)


def _expected(operator: Operator, rates: Sequence[float]) -> float:
    """Return the milliseconds that multiply-adds and bytes let expect."""
    sizes = (operator.multiply_adds, operator.bytes_moved, 1)
    return sum(rate * size for rate, size in zip(rates, sizes, strict=True))


def _prior(
    found: Sequence[Operator], rates: Sequence[float], fixed: float, spread: float
) -> Floats:
    """Return by how much each cost may differ from the expected one; the fixed part is last."""
    expected = np.array([*(_expected(operator, rates) for operator in found), fixed])
    floor = 1e-3 * max(float(expected.max()), 1e-9)
    widths: Floats = spread * np.maximum(expected, floor)
    return widths


def _fit(networks: Sequence[Counts], latencies: Floats) -> dict[str, Any]:
    """Return the fields of the table that explain the latencies best."""
    from scipy.optimize import nnls

    found = tuple(sorted({op for counts in networks for op in counts}, key=lambda op: op.name))
    table = np.array([[*(counts.get(op, 0) for op in found), 1] for counts in networks])
    counts = table / latencies[:, None]
    sizes = np.array([[op.multiply_adds, op.bytes_moved, 1, 0] for op in found] + [[0, 0, 0, 1]])
    scales = np.maximum((table @ sizes).mean(0), 1e-9)
    shares, _ = nnls(counts @ sizes / scales, np.ones(len(latencies)))
    *rates, fixed = (shares / scales).tolist()
    expected = np.array([*(_expected(op, rates) for op in found), fixed])

    def prior(spread: float) -> Floats:
        return _prior(found, rates, fixed, spread)

    def evidence(setting: tuple[float, float]) -> float:
        spread, noise = setting
        scaled = counts * prior(spread)
        covariance = scaled @ scaled.T + noise**2 * np.eye(len(latencies))
        residual = 1 - counts @ expected
        _, determinant = np.linalg.slogdet(covariance)
        return float(-determinant - residual @ np.linalg.solve(covariance, residual))

    spread, noise = max(product(_SPREADS, _NOISES), key=evidence)
    # in units of the prior, so that all unknowns are of one size
    widths = prior(spread)
    rows = np.concatenate([counts * widths / noise, np.eye(len(widths))])
    targets = np.concatenate([np.ones(len(latencies)) / noise, expected / widths])
    costs = nnls(rows, targets)[0] * widths
    return {
        "operators": found,
        "costs": tuple(costs[:-1].tolist()),
        "fixed": float(costs[-1]),
        "rates": (rates[0], rates[1], rates[2]),
        "spread": spread,
        "noise": noise,
        "counts": counts,
    }
