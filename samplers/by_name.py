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
from motemo.space import Space

_MIN_POPULATION = 2
DEFAULT_STARTUP = 16
DEFAULT_POPULATION = 16
"""Optuna's own default, 50, would make random search of a short run."""


def motemo(
    *, space: Space | None = None, seed: int = 0, startup: int = DEFAULT_STARTUP
) -> BaseSampler:
    """Expected hypervolume improvement over a screened pool; `motemo.samplers.surrogate`."""
    from motemo.samplers.surrogate import SurrogateSampler

    if startup < 1:
        raise SettingsError(f"The sampler needs at least 1 random trial at first; got {startup}.")
    return SurrogateSampler(seed=seed, space=space, startup=startup)


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


def pymoo_nsga2(
    *, space: Space | None = None, seed: int = 0, population: int = DEFAULT_POPULATION
) -> BaseSampler:
    """NSGA-II as pymoo has it, which proposes nothing twice. Blank and Deb, IEEE Access 2020."""
    from motemo.samplers.pymoo_nsga2 import PymooNSGAIISampler

    _check(population)
    return PymooNSGAIISampler(seed=seed, population_size=population, space=space)


def mote_nas(*, space: Space | None = None, seed: int = 0) -> BaseSampler:
    """MOTE-NAS's evolution. Zhang et al., NeurIPS 2024."""
    from motemo.samplers.mote_nas import MoteNASSampler

    return MoteNASSampler(seed=seed, space=space)


def mote_nas_rs(*, space: Space | None = None, seed: int = 0) -> BaseSampler:
    """MOTE-NAS's random form: uniform, but valid and nothing twice. Zhang et al., NeurIPS 2024."""
    from motemo.samplers.mote_nas import MoteNASSampler

    return MoteNASSampler(seed=seed, space=space, evolve=False)


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
