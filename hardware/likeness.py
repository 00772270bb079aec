"""How the latency of one device follows from that of others: a Gaussian process, learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

import numpy as np

from motemo.tables import Floats

_ANYTHING = 100.0
"""Variance of the unknown mean, in variances of the samples."""
_ROWS, _REPEATS = 20, 6
_START = (0.0, 0.0, -3.0, -3.0, 1.0)
_LEAST, _MOST = -15.0, 8.0
_SHRINKAGE = 1e-3
_DOUBTS = (1.0, 8.0, 64.0)
"""By what factors the variances of the genes' part and of the noise may be larger."""
_TRUST = 0.5
"""A factor f has a prior weight of f to minus this power."""
_LEAST_GENES = 1e-3


@dataclass(frozen=True)
class Likeness:
    """The prior of an unknown device, given the known ones.

    Its standardised log-latency is a sum of independent parts: a multiple of the known devices'
    mean, a combination of the known devices, a linear function of the genes, and noise.

    Attributes:
        mean: Variance of the first part's coefficient.
        devices: Variance of the second part's coefficients, together.
        genes: Variance of the third part for an average architecture.
        noise: Variance of the noise.
        shape: Shape of the inverse gamma distribution of the common scale.
    """

    mean: float
    devices: float
    genes: float
    noise: float
    shape: float

    @classmethod
    def learn(
        cls,
        latents: Floats,
        genes: Floats,
        targets: Floats,
        families: Sequence[str],
        *,
        seed: int = 0,
    ) -> Likeness:
        """Choose the variances by which each known device is predicted best from the others.

        What is maximised is the marginal likelihood of small random samples of each device, given
        the devices of other families.

        Args:
            latents: `(n, D)` standardised log-latencies of the known devices, as they will be
                known of new architectures.
            genes: `(n, g)` genes, centred, of length one on average.
            targets: `(n, D)` standardised log-latencies, as measured.
            families: D names.
            seed: Seed of the samples.
        """
        from scipy.optimize import minimize

        rng = np.random.default_rng(seed)
        size = min(_ROWS, len(latents))
        wanted, known = [], []
        for device, own in enumerate(families):
            others = [k for k, other in enumerate(families) if other != own]
            for _ in range(_REPEATS):
                rows = rng.choice(len(latents), size, replace=False)
                z, g = latents[rows][:, others], genes[rows]
                wanted.append(targets[rows, device])
                known.append(_parts(z, z, g, g))
        values = np.stack(wanted)
        by_mean, by_device, by_gene = (np.stack(part) for part in zip(*known, strict=True))

        def loss(logs: Floats) -> float:
            surprise = cls.of(logs)._surprise(values, (by_mean, by_device, by_gene))
            return float(surprise.mean()) + _SHRINKAGE * float((logs**2).sum())

        bounds = [(_LEAST, _MOST)] * len(_START)
        best = minimize(
            loss, np.array(_START), method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}
        )
        return cls.of(best.x)

    @classmethod
    def of(cls, logs: Floats) -> Likeness:
        """Return the likeness of five logarithms."""
        return cls(*np.exp(logs).tolist())

    def choose(self, latents: Floats, genes: Floats, n: int) -> list[int]:
        """Return n of the rows whose measurement takes most of the variance of all, greedily."""
        covariance = self._kernel(_parts(latents, latents, genes, genes))
        chosen: list[int] = []
        for _ in range(n):
            variances = np.diag(covariance) + self.noise
            gain = (covariance**2).sum(0) / variances
            gain[chosen] = -1.0
            best = int(gain.argmax())
            chosen.append(best)
            column = covariance[:, best]
            covariance = covariance - np.outer(column, column) / variances[best]
        return chosen

    def predict(
        self,
        sample_latents: Floats,
        sample_genes: Floats,
        values: Floats,
        *,
        latents: Floats,
        genes: Floats,
    ) -> tuple[Floats, Floats]:
        """Predict log-latencies of m rows from those of n samples.

        The device may be less like the known ones than these are like each other. So predictions
        are averaged over larger variances of the genes' part and of the noise, weighted by how
        well each explains the samples.

        Args:
            sample_latents: `(n, D)`.
            sample_genes: `(n, g)`.
            values: `(n,)` measured log-latencies.
            latents: `(m, D)`.
            genes: `(m, g)`.

        Returns:
            `(m,)` values, and half the widths of their 95 % intervals.
        """
        from scipy.stats import t as student

        centre, scale = values.mean(), max(float(values.std()), 1e-6)
        y = (values - centre) / scale
        own = _parts(sample_latents, sample_latents, sample_genes, sample_genes)
        across = _parts(latents, sample_latents, genes, sample_genes)
        alone = (latents.mean(1) ** 2, (latents**2).mean(1), (genes**2).sum(1))
        found, evidence = [], []
        for doubt_genes, doubt_noise in product(_DOUBTS, _DOUBTS):
            doubting = replace(
                self,
                genes=max(self.genes, _LEAST_GENES) * doubt_genes,
                noise=self.noise * doubt_noise,
            )
            prior = _TRUST * np.log(doubt_genes * doubt_noise)
            evidence.append(-float(doubting._surprise(y, own)) - prior)
            found.append(doubting._posterior(y, own, across, alone))
        weights = np.exp(np.array(evidence) - max(evidence))
        weights /= weights.sum()
        means, spreads = (np.stack(part) for part in zip(*found, strict=True))
        mean = weights @ means
        spread = np.sqrt(weights @ (spreads**2 + (means - mean) ** 2))
        half = student.ppf(0.975, 2 * self.shape + len(y)) * spread
        return centre + scale * mean, scale * half

    def _posterior(
        self, y: Floats, own: _Parts, across: _Parts, alone: _Parts
    ) -> tuple[Floats, Floats]:
        """Return mean and scale of the predictions, both in units of the samples' spread."""
        from scipy.linalg import cho_factor, cho_solve

        covariance = self._kernel(across)
        factor = cho_factor(self._kernel(own) + self.noise * np.eye(len(y)))
        solved = cho_solve(factor, y)
        explained = (covariance * cho_solve(factor, covariance.T).T).sum(1)
        variances = np.maximum(self._kernel(alone) + self.noise - explained, 1e-12)
        scale = (2 * self.shape + y @ solved) / (2 * self.shape + len(y))
        return covariance @ solved, np.sqrt(variances * scale)

    def _kernel(self, parts: _Parts) -> Floats:
        by_mean, by_device, by_gene = parts
        kernel: Floats = (
            self.mean * by_mean + self.devices * by_device + self.genes * by_gene + _ANYTHING
        )
        return kernel

    def _surprise(self, values: Floats, parts: _Parts) -> Floats:
        """Return minus the logarithms of marginal likelihoods, but for a constant.

        Args:
            values: `(..., n)`.
            parts: `(..., n, n)` each.
        """
        from scipy.special import gammaln

        count = values.shape[-1]
        lower = np.linalg.cholesky(self._kernel(parts) + (self.noise + 1e-9) * np.eye(count))
        whitened = np.linalg.solve(lower, values[..., None])[..., 0]
        determinant = np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(-1)
        a = self.shape
        surprise: Floats = (
            determinant
            + (a + count / 2) * np.log1p((whitened**2).sum(-1) / (2 * a))
            + count / 2 * np.log(a)
            + gammaln(a)
            - gammaln(a + count / 2)
        )
        return surprise


_Parts: TypeAlias = tuple[Floats, Floats, Floats]


def _parts(z: Floats, other_z: Floats, g: Floats, other_g: Floats) -> _Parts:
    """Return the covariances that the three parts have with unit variances."""
    return (
        np.outer(z.mean(1), other_z.mean(1)),
        z @ other_z.T / z.shape[1],
        g @ other_g.T,
    )
