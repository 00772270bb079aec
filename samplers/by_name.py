"""Optuna's samplers by name, each made to continue a study as if it had never stopped."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from motemo.errors import SettingsError
from motemo.samplers.per_trial_seed import PerTrialSeed

_MIN_POPULATION = 2
DEFAULT_POPULATION = 16
"""Optuna's own default, 50, would make random search of a short run."""


def nsga2(*, seed: int = 0, population: int = DEFAULT_POPULATION) -> BaseSampler:
    """NSGA-II. Deb et al., IEEE TEC 2002."""
    _check(population)
    return PerTrialSeed(lambda s: NSGAIISampler(seed=s, population_size=population), seed)


def nsga3(*, seed: int = 0, population: int = DEFAULT_POPULATION) -> BaseSampler:
    """NSGA-III. Deb and Jain, IEEE TEC 2014."""
    _check(population)
    return PerTrialSeed(
        _quietly(lambda s: NSGAIIISampler(seed=s, population_size=population)), seed
    )


def tpe(*, seed: int = 0) -> BaseSampler:
    """Multi-objective TPE. Ozaki et al., JAIR 2022."""
    return PerTrialSeed(lambda s: TPESampler(seed=s), seed)


def gp(*, seed: int = 0) -> BaseSampler:
    """Gaussian process with expected hypervolume improvement."""
    create = _quietly(lambda s: GPSampler(seed=s, deterministic_objective=True))
    return PerTrialSeed(create, seed, never_repeat=True)


def random(*, seed: int = 0) -> BaseSampler:
    """Uniform random sampling."""
    return PerTrialSeed(lambda s: RandomSampler(seed=s), seed)


def _quietly(create: Callable[[int], BaseSampler]) -> Callable[[int], BaseSampler]:
    """Keep Optuna from warning anew, for every decision, that a sampler is experimental."""

    def create_quietly(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return create(seed)

    return create_quietly


def _check(population: int) -> None:
    if population < _MIN_POPULATION:
        raise SettingsError(
            f"The population needs at least {_MIN_POPULATION} members; got {population}."
        )
