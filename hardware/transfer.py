"""Latency on a new device from about ten measurements there and tables of known devices.

Three steps. A regression on genes learns each known device's latency, so that it can be told for
any architecture of the space (`KnownDevices`). The new device's latency is taken for a linear
combination of the known ones, plus a part that is linear in the genes, plus noise: a Gaussian
process whose few variances are chosen so that each known device in turn is well predicted from
the others (`Likeness`). The measurements on the new device then fix the combination. All of it is
on logarithms of milliseconds, since devices differ by factors; the new device's scale is unknown
and integrated out, so predictions have Student's distribution.

References: Lee et al., *HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via
Meta-Learning*, NeurIPS 2021, for the task and its figures; Bonilla, Chai and Williams, *Multi-task
Gaussian Process Prediction*, NeurIPS 2007, for the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from motemo.errors import DataError, SettingsError
from motemo.gene_features import gene_columns
from motemo.hardware.latency_model import Prediction
from motemo.hardware.likeness import Likeness
from motemo.space import Architecture, Space
from motemo.tables import Floats, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ROWS = 1500
"""Rows of a table that the regression uses at most, taken at random."""
LEAST_ROWS = 50
SAMPLES = 10
_TUNING_ROWS = 600
_LENGTHS = (4.0, 16.0, 64.0)
_NOISES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class _Genes:
    """Architectures as numbers: genes one-hot `(n, g)`, and counts of choices `(n, c)`."""

    one_hot: Floats
    counts: Floats
    positions: int

    @classmethod
    def of(cls, space: Space, genotypes: Sequence[str]) -> _Genes:
        columns = gene_columns(space, genotypes)
        split = sum(len(gene.choices) for gene in space.genes)
        values = np.stack(list(columns.values()), axis=1)
        return cls(values[:, :split], values[:, split:], len(space.genes))

    def rows(self, rows: NDArray[np.intp]) -> _Genes:
        return replace(self, one_hot=self.one_hot[rows], counts=self.counts[rows])

    def kernel(self, other: _Genes, length: float) -> Floats:
        """Return how alike architectures are in their genes and in their counts."""
        different = self.positions - self.one_hot @ other.one_hot.T
        squares = (self.counts**2).sum(1)[:, None] + (other.counts**2).sum(1)
        apart = np.maximum(squares - 2 * self.counts @ other.counts.T, 0.0) / 2
        alike: Floats = np.exp(-different / length) + np.exp(-apart / length)
        return alike

    def beside(self, others: _Genes) -> Floats:
        """Return all numbers, centred and scaled so that the others have length one on average."""
        values, base = (np.concatenate([g.one_hot, g.counts], axis=1) for g in (self, others))
        centre = base.mean(0)
        length = np.sqrt(((base - centre) ** 2).sum(1).mean())
        scaled: Floats = (values - centre) / max(float(length), 1e-9)
        return scaled


@dataclass(frozen=True, eq=False)
class KnownDevices:
    """What a table of known devices teaches of any architecture of its space.

    Attributes:
        space: The space of the table's architectures.
        devices: Names of the known devices, D of them.
        likeness: How the latency of one device follows from the others'.
    """

    space: Space
    devices: tuple[str, ...]
    likeness: Likeness
    _genes: _Genes = field(repr=False)
    _length: float = field(repr=False)
    _weights: Floats = field(repr=False)

    @classmethod
    def fit(
        cls, table: Table, *, families: Mapping[str, str] | None = None, seed: int = 0
    ) -> KnownDevices:
        """Learn from a table with one column of latencies for each device.

        Args:
            table: At least 50 valid architectures; rows with a missing value are left out.
            families: Devices so alike that none of them may be told from another when it is
                learnt how well an unknown device is; by default what `family` returns.
            seed: Seed of the rows that are used.

        Raises:
            DataError: There are too few rows or devices, or a latency is not positive.
        """
        table = table.complete().valid()
        devices = tuple(table.columns)
        family_of = {name: (families or {}).get(name, family(name)) for name in devices}
        if len(table) < LEAST_ROWS or len(set(family_of.values())) < 2:
            raise DataError(
                f"To learn from known devices takes at least {LEAST_ROWS} valid architectures and "
                f"2 devices that are not of one family; got {len(table)} and "
                f"{', '.join(devices) or 'none'}. Give a larger table or more columns."
            )
        latencies = np.stack([table.columns[name] for name in devices], axis=1)
        if latencies.min() <= 0:
            raise DataError("A table of latencies has a value that is not above 0. Remove the row.")
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(table))[:MOST_ROWS]
        space = table.architectures[0].space
        genes = _Genes.of(space, [table.architectures[row].genotype for row in rows])
        logs = np.log(latencies[rows])
        targets = (logs - logs.mean(0)) / np.maximum(logs.std(0), 1e-9)
        length = _best_length(genes.rows(np.arange(min(len(rows), _TUNING_ROWS))), targets)
        weights, held_out = _regression(genes.kernel(genes, length), targets)
        likeness = Likeness.learn(
            held_out, genes.beside(genes), targets, [family_of[name] for name in devices], seed=seed
        )
        return cls(space, devices, likeness, genes, length, weights)

    def latents(self, genotypes: Sequence[str]) -> Floats:
        """Return `(n, D)` predicted log-latencies on the known devices, each standardised."""
        found: Floats = self._of(genotypes).kernel(self._genes, self._length) @ self._weights
        return found

    def genes(self, genotypes: Sequence[str]) -> Floats:
        """Return `(n, g)` genes, centred and scaled by those of the table."""
        return self._of(genotypes).beside(self._genes)

    def choose(self, candidates: Sequence[Architecture], n: int = SAMPLES) -> list[int]:
        """Return which architectures to measure on a new device, the most telling first.

        They are those after which least remains uncertain of all candidates; some hundred random
        candidates are enough.

        Raises:
            SettingsError: There are fewer candidates than that.
        """
        if not 1 <= n <= len(candidates):
            raise SettingsError(
                f"Choose between 1 and {len(candidates)} of {len(candidates)} candidates; got {n}."
            )
        genotypes = [candidate.genotype for candidate in candidates]
        return self.likeness.choose(self.latents(genotypes), self.genes(genotypes), n)

    def predict(
        self,
        architectures: Sequence[Architecture],
        *,
        samples: Sequence[Architecture],
        latencies_ms: Floats,
    ) -> list[Prediction]:
        """Predict latencies on a new device.

        Args:
            architectures: Of which to predict it.
            samples: The architectures that were measured there.
            latencies_ms: `(n,)` what was measured.
        """
        known, wanted = ([a.genotype for a in part] for part in (samples, architectures))
        location, half = self.likeness.predict(
            self.latents(known),
            self.genes(known),
            np.log(latencies_ms),
            latents=self.latents(wanted),
            genes=self.genes(wanted),
        )
        return [
            Prediction(float(np.exp(m)), float(np.exp(m - h)), float(np.exp(m + h)))
            for m, h in zip(location, half, strict=True)
        ]

    def _of(self, genotypes: Sequence[str]) -> _Genes:
        return _Genes.of(self.space, genotypes)


def family(device: str) -> str:
    """Return a device's name without unit and batch: `titanx` of `titanx_32_latency_ms`."""
    return re.sub(r"(_\d+)?(_latency)?(_ms)?$", "", device) or device


def _best_length(genes: _Genes, targets: Floats) -> float:
    """Return the length of the kernel under which what is held out is predicted best."""
    part = targets[: len(genes.one_hot)]

    def error(length: float) -> float:
        _, held_out = _regression(genes.kernel(genes, length), part)
        return float(np.log(((held_out - part) ** 2).mean(0) + 1e-12).mean())

    return min(_LENGTHS, key=error)


def _regression(kernel: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Fit kernel ridge regressions, each device with the noise that suits it.

    Returns:
        `(n, D)` weights of the rows, and `(n, D)` predictions of each row from all others.
    """
    values, vectors = np.linalg.eigh(kernel)
    projected = vectors.T @ targets
    weights, held_out = np.empty_like(targets), np.empty_like(targets)
    best = np.full(targets.shape[1], np.inf)
    for noise in _NOISES:
        inverse = 1 / (np.maximum(values, 0.0) + noise)
        dual = vectors @ (inverse[:, None] * projected)
        residual = dual / ((vectors**2) @ inverse)[:, None]
        error = (residual**2).mean(0)
        better = error < best
        best[better] = error[better]
        weights[:, better] = dual[:, better]
        held_out[:, better] = (targets - residual)[:, better]
    return weights, held_out
