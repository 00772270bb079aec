"""MOTE-NAS's search: an iterative, ranking-based, coarse-to-fine evolution; and its random form.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024.

The paper keeps a pool of scored architectures: ten at random, then rounds that draw random ones,
keep those close to the best 1 % of the pool, and score them. Close means that at most two genes
differ (half the sum of the Euclidean norms of the one-hot differences is at most 1).
`motemo.benchmark.mote_nas` replays that to the letter. Deviations of the sampler, which proposes
one architecture per trial: there are no rounds, every trial sees all that have finished; the best
1 % include everything that nothing dominates, so that there may be several objectives; nothing is
proposed twice, nothing invalid; if nothing drawn is close, the closest is proposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from motemo.genome import Row
from motemo.objective import Direction
from motemo.pareto import layers, ranked
from motemo.samplers.duplicates import Duplicates
from motemo.samplers.encoding import Encoding
from motemo.seeds import derive_seed
from motemo.space import Space

FIRST_RANDOM = 10
BEST_SHARE = 0.01
CLOSE_GENES = 2
_DRAWS = 2048
_SEED_RANGE = 2**32

Rows: TypeAlias = NDArray[np.float64]
"""Genomes `(n, g)`."""


class MoteNASSampler(BaseSampler):
    """Proposes random architectures that are close to the best.

    Every decision is a function of the study's trials, the seed and the number of the trial, so
    that a study which is killed and continued goes on as if it had never stopped. Numbers are
    drawn at random.

    Args:
        seed: Seed of the study.
        space: The space whose genes are parameters of the study. Its architectures are compared by
            key, and invalid ones are not proposed. Without it, parameters are compared.
        evolve: Whether to stay close to the best; if not, this is the random form, RS.
    """

    def __init__(self, *, seed: int = 0, space: Space | None = None, evolve: bool = True) -> None:
        self._seed = seed
        self._duplicates = Duplicates(space)
        self._evolve = evolve

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what the trials have in common, and the genes of the space."""
        return self._duplicates.search_space(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values that no trial with a lower number has, close to the best."""
        if not search_space:
            return {}
        encoding = Encoding(search_space)
        trials = sorted(study.get_trials(deepcopy=False), key=lambda t: t.number)
        others = [t for t in trials if t.number < trial.number and encoding.covers(t.params)]
        identity = self._duplicates.identity(search_space.keys())
        taken = {identity(t.params) for t in others}
        best = [encoding.encode(t.params) for t in self._best(study, others)]
        rng = np.random.default_rng(derive_seed("mote_nas", self._seed, trial.number))
        drawn = encoding.bounds.draw(rng, _DRAWS)
        for row in _closest_first(drawn, best, encoding.bounds.unordered):
            values = encoding.decode(row)
            name = identity(values)
            if name is not None and name not in taken:
                return values
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  (Optuna's signature)
        """Draw at random."""
        seed = derive_seed("mote_nas", self._seed, trial.number, param_name) % _SEED_RANGE
        random = RandomSampler(seed=seed)
        return random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Do nothing: there is no generator to share between processes."""

    def _best(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the best 1 % of the completed trials, and all that nothing dominates."""
        pool = [
            t
            for t in sorted(trials, key=lambda t: t.number)
            if t.state is TrialState.COMPLETE and np.isfinite(t.values).all()
        ]
        if not self._evolve or len(pool) < FIRST_RANDOM:
            return []
        directions = [Direction[direction.name] for direction in study.directions]
        values = np.array([t.values for t in pool], dtype=np.float64)
        front = int((layers(values, directions) == 0).sum())
        order = ranked(values, directions)[: max(front, int(BEST_SHARE * len(pool)))]
        return [pool[row] for row in order]


def _closest_first(drawn: Rows, best: Sequence[Row], unordered: NDArray[np.bool_]) -> Iterator[Row]:
    """Yield genomes as drawn, first those that are close to one of the best, then by distance.

    Args:
        drawn: `(n, g)` genomes.
        best: `(g,)` genomes of the best; may be none.
        unordered: `(g,)` which genes count.
    """
    distance = np.zeros(len(drawn), dtype=np.intp)
    if best:
        differ = drawn[:, None, unordered] != np.array(best)[None, :, unordered]
        distance = np.maximum(differ.sum(axis=2).min(axis=1), CLOSE_GENES)
    yield from drawn[np.argsort(distance, kind="stable")]
