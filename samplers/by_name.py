"""Optuna's samplers by name, each made to continue a study as if it had never stopped."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import cast

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from motemo.errors import SettingsError, UnknownNameError
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
    return PerTrialSeed(_quietly(lambda s: GPSampler(seed=s, deterministic_objective=True)), seed)


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


def optuna_class(class_name: str, *, seed: int = 0) -> BaseSampler:
    """Return any sampler of `optuna.samplers` that takes a seed, by the name of its class.

    Raises:
        UnknownNameError: Optuna has no such sampler.
        SettingsError: It needs more than a seed.
    """
    sampler = getattr(optuna.samplers, class_name, None)
    names = [name for name in optuna.samplers.__all__ if name.endswith("Sampler")]
    if class_name not in names or sampler is None:
        raise UnknownNameError("sampler", class_name, names)
    parameters = inspect.signature(sampler).parameters.values()
    needs = [p.name for p in parameters if p.default is p.empty]
    if needs or "seed" not in [p.name for p in parameters]:
        raise SettingsError(
            f"The Optuna sampler {class_name} cannot be chosen by name: it needs more than a "
            "seed. Create it and give it to motemo.search(sampler=...)."
        )
    return PerTrialSeed(_quietly(lambda s: cast(BaseSampler, sampler(seed=s))), seed)
