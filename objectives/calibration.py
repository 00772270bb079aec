"""How the two terms of MOTE are put on one scale: Box-Cox constants, as a value.

Reference: Zhang et al., *MOTE-NAS*, NeurIPS 2024; constants of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from motemo.errors import SettingsError
from motemo.objectives.terms import Terms
from motemo.space import Json

_LAMBDA_BOUNDS = (0.1, 2.0)
MIN_TERMS = 3


@dataclass(frozen=True)
class BoxCox:
    """A Box-Cox transform `(x**lam - 1) / lam`, times a weight."""

    lam: float
    weight: float

    @classmethod
    def published(cls, lam: float, std: float) -> BoxCox:
        """Return the transform with the published weight, `lam**2 * std`."""
        return cls(lam=lam, weight=lam**2 * std)

    def weighted(self, x: float) -> float:
        """Return the transform of x, times the weight."""
        transformed: float = (x**self.lam - 1.0) / self.lam
        return self.weight * transformed

    @classmethod
    def fit(cls, values: Sequence[float]) -> BoxCox:
        """Return the transform that makes the values most normal, and gives them unit variance.

        Maximum likelihood, the exponent kept within [0.1, 2]. The published weight grows with the
        spread of a term: on another space it may let one term drown the other.
        """
        x = np.asarray(values, dtype=np.float64)
        if np.ptp(x) == 0:
            return cls(lam=1.0, weight=1.0)
        lam = float(np.clip(stats.boxcox_normmax(x, method="mle"), *_LAMBDA_BOUNDS))
        return cls(lam=lam, weight=1.0 / float(np.std((x**lam - 1.0) / lam)))


@dataclass(frozen=True)
class Calibration:
    """Constants that combine both terms into one estimate."""

    landscape: BoxCox
    speed: BoxCox

    def combine(self, terms: Terms) -> float:
        """Return MOTE. Higher is better."""
        return self.landscape.weighted(terms.landscape) + self.speed.weighted(terms.speed)

    @classmethod
    def fit(cls, terms: Sequence[Terms]) -> Calibration:
        """Return constants for a space, from the terms of some of its architectures.

        Raises:
            SettingsError: Fewer than three were given.
        """
        if len(terms) < MIN_TERMS:
            raise SettingsError(
                f"A calibration needs the terms of at least {MIN_TERMS} architectures; "
                f"got {len(terms)}."
            )
        return cls(
            landscape=BoxCox.fit([t.landscape for t in terms]),
            speed=BoxCox.fit([t.speed for t in terms]),
        )

    def identity(self) -> dict[str, Json]:
        """All constants."""
        return asdict(self)


_DARTS = Calibration(landscape=BoxCox.published(0.752, 1.173), speed=BoxCox.published(0.258, 0.854))
PUBLISHED: dict[str, Calibration] = {
    "nasbench101": Calibration(
        landscape=BoxCox.published(0.397, 0.463), speed=BoxCox.published(0.714, 1.538)
    ),
    "nasbench201": Calibration(
        landscape=BoxCox.published(0.86, 1.216), speed=BoxCox.published(0.617, 0.961)
    ),
    "darts": _DARTS,
    "nasbench301": _DARTS,
}
"""Published constants, by the name of the space."""
