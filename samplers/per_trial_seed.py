"""A sampler whose decisions depend on (seed, trial, history) and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.trial import FrozenTrial, TrialState

from motemo.seeds import derive_seed

_SEED_RANGE = 2**32


@dataclass(frozen=True, eq=False)
class PerTrialSeed(BaseSampler):
    """Runs another sampler with a new generator for every decision.

    Optuna's samplers keep one generator per process, so that a study that is killed and continued
    goes on differently from one that is not. Here the relative part of a trial is seeded by
    (seed, trial number), and each independent parameter by (seed, trial number, name).

    Attributes:
        create: Makes the sampler that decides, from a seed.
        seed: Seed of the study.
        never_repeat: Draw at random instead of proposing once more what a trial with a lower
            number has. For samplers that learn nothing from pruned duplicates and would propose
            their optimum again and again.
    """

    create: Callable[[int], BaseSampler]
    seed: int
    never_repeat: bool = False
    _inferring: list[BaseSampler] = field(default_factory=list, init=False, repr=False)

    def _seeded(self, *parts: str | int) -> BaseSampler:
        return self.create(derive_seed("sampler", self.seed, *parts) % _SEED_RANGE)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the sampler; always the same one, which remembers how far it has read the study."""
        if not self._inferring:
            self._inferring.append(self.create(self.seed))
        return self._inferring[0].infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the sampler, with the seed of this trial."""
        sampler = self._seeded(trial.number)
        if isinstance(sampler, BaseGASampler):
            # The first to ask for a generation's parents gets them as selected, everyone later
            # by trial number: ask once, so that nobody depends on having been first.
            sampler.get_parent_population(study, sampler.get_trial_generation(study, trial))
        proposed = sampler.sample_relative(study, trial, search_space)
        if self.never_repeat and proposed:
            lower = (t for t in study.get_trials(deepcopy=False) if t.number < trial.number)
            if any(proposed.items() <= t.params.items() for t in lower):
                return {}
        return proposed

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  (Optuna's signature)
        """Ask the sampler, with the seed of this parameter of this trial."""
        sampler = self._seeded(trial.number, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the sampler."""
        self._seeded(trial.number).before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Tell the sampler."""
        self._seeded(trial.number).after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Do nothing: there is no generator to share between processes."""
