"""NSGA-II as pymoo has it, as an Optuna sampler.

Reference: Deb, Pratap, Agarwal and Meyarivan, *A Fast and Elitist Multiobjective Genetic Algorithm:
NSGA-II*, IEEE Transactions on Evolutionary Computation 6 (2), 2002,
https://doi.org/10.1109/4235.996017. Blank and Deb, *pymoo: Multi-Objective Optimization in
Python*, IEEE Access 8, 2020, https://doi.org/10.1109/ACCESS.2020.2990567.

Deviations: nothing that any trial of the study has is proposed again; numbers are crossed like
choices, uniformly; a generation is what completed while it was the newest, so that failed and
pruned trials hold nothing up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from motemo.genetic import offspring, survivors
from motemo.genome import Proposals
from motemo.samplers.by_name import DEFAULT_POPULATION
from motemo.samplers.duplicates import Duplicates
from motemo.samplers.encoding import Encoding
from motemo.seeds import derive_seed
from motemo.space import Space

_SEED_RANGE = 2**32


class PymooNSGAIISampler(BaseGASampler):
    """Proposes what no trial has had, by pymoo's survival, tournament, crossover and mutation.

    Generations and parents stand in the study's storage. Every decision is a function of the
    study's trials, the seed, and the trial or generation that it is for, so that a study which is
    killed and continued goes on as if it had never stopped. Infeasible trials (a constraint above
    0) lose against feasible ones. Works for any number of objectives and any parameters.

    Args:
        seed: Seed of the study.
        population_size: Completed trials per generation, and parents.
        space: The space whose genes are parameters of the study. Its architectures are compared
            by key, and invalid ones are not proposed. Without it, parameters are compared.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        population_size: int = DEFAULT_POPULATION,
        space: Space | None = None,
    ) -> None:
        super().__init__(population_size)
        self._seed = seed
        self._duplicates = Duplicates(space)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what the trials have in common, and the genes of the space."""
        return self._duplicates.search_space(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values that no other trial has: random ones first, then offspring."""
        generation = self.get_trial_generation(study, trial)
        if not search_space:
            return {}
        encoding = Encoding(search_space)
        identity = self._duplicates.identity(search_space.keys())
        taken = {
            identity(other.params)
            for other in study.get_trials(deepcopy=False)
            if other.params.keys() == search_space.keys() and other.number != trial.number
        }
        proposals = Proposals(encoding.bounds, lambda row: identity(encoding.decode(row)), taken)
        rng = np.random.default_rng(derive_seed("pymoo_nsga2", self._seed, trial.number))
        parents = [
            parent
            for parent in self.get_parent_population(study, generation)
            if encoding.covers(parent.params)
        ]
        row = None
        if parents:
            genomes = np.array([encoding.encode(parent.params) for parent in parents])
            costs, violations = _costs(parents, study.directions), _violations(parents)
            row = offspring(genomes, costs, violations, proposals=proposals, rng=rng)
        if row is None:
            new = proposals.draw(rng, 1)
            row = new[0] if len(new) else encoding.bounds.draw(rng, 1)[0]
        return encoding.decode(row)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  (Optuna's signature)
        """Draw at random what the trials do not have in common."""
        seed = derive_seed("pymoo_nsga2", self._seed, trial.number, param_name) % _SEED_RANGE
        random = RandomSampler(seed=seed)
        return random.sample_independent(study, trial, param_name, param_distribution)

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the parents of a generation by trial number, for the first to ask as well."""
        parents = super().get_parent_population(study, generation)
        return sorted(parents, key=lambda parent: parent.number)

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the best of the generation before and of its parents."""
        candidates = [
            *self.get_population(study, generation - 1),
            *self.get_parent_population(study, generation - 1),
        ]
        seed = derive_seed("pymoo_nsga2", self._seed, "generation", generation)
        kept = survivors(
            _costs(candidates, study.directions),
            _violations(candidates),
            keep=self.population_size or DEFAULT_POPULATION,
            rng=np.random.default_rng(seed),
        )
        return [candidates[i] for i in kept]


def _costs(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> NDArray[np.float64]:
    """Return `(n, m)` the values of the trials, lower is better."""
    signs = [-1.0 if d is StudyDirection.MAXIMIZE else 1.0 for d in directions]
    return np.array([trial.values for trial in trials]) * signs


def _violations(trials: Sequence[FrozenTrial]) -> NDArray[np.float64]:
    """Return `(n,)` the violation of each trial's constraints in all; infinite if unknown."""
    bounds = [trial.constraints for trial in trials]
    unknown = np.inf if any(bounds) else 0.0
    return np.array([sum(max(0.0, v) for v in b.values()) if b else unknown for b in bounds])
