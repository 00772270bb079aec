"""What makes two trials duplicates: the architecture's key, or the parameters."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Set
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.search_space import IntersectionSearchSpace

from motemo.genome import ArchitectureKeys
from motemo.space import Space


class Duplicates:
    """Tells the trials of a study apart.

    Args:
        space: The space whose genes are parameters of the study. Its architectures are compared by
            key. Without it, and in trials that lack a gene, parameters are compared.
    """

    def __init__(self, space: Space | None) -> None:
        self._keys = None if space is None else ArchitectureKeys(space)
        self._genes = frozenset(gene.name for gene in space.genes) if space else frozenset()
        self._intersection = IntersectionSearchSpace(include_pruned=True)

    def search_space(self, study: optuna.Study) -> dict[str, BaseDistribution]:
        """Return what all completed and pruned trials have in common, and the space's genes."""
        known = self._intersection.calculate(study)
        for gene in self._keys.space.genes if self._keys else ():
            known[gene.name] = CategoricalDistribution(gene.choices)
        return dict(sorted(known.items()))

    def identity(self, names: Set[str]) -> Callable[[Mapping[str, Any]], Hashable | None]:
        """Return what tells which trials with exactly these parameters are duplicates.

        It maps parameters to what they are compared by, or to None if the architecture is invalid.
        A trial that has further parameters may differ in these.
        """
        keys = self._keys
        if keys is None or not self._genes <= names:
            ordered = sorted(names)
            return lambda params: tuple([params[name] for name in ordered])
        further = sorted(names - self._genes)
        if not further:
            return keys
        return lambda params: (
            None if keys(params) is None else (keys(params), *(params[name] for name in further))
        )

    def canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the architecture that is evaluated for these."""
        if self._keys is None or not self._genes <= params.keys():
            return dict(params)
        key = self._keys(params)
        return {**params, **(self._keys.space.read(key) if key else {})}
