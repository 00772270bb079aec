"""Genetic operators on genomes; the one file that knows how pymoo's algorithms work."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import mut_pm
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from motemo.genome import Proposals, Row

_MATINGS = 32
_ETA = 20.0  # spread of polynomial mutation, as in NSGA-II
_LARGEST = 1e300  # in place of infinity, of which crowding cannot form differences


class NewGenomes(Sampling):  # type: ignore[misc]
    """Draws genomes that may be proposed, no two of them duplicates."""

    def __init__(self, proposals: Proposals) -> None:
        super().__init__()
        self.proposals = proposals

    def _do(
        self,
        problem: Problem,
        n_samples: int,
        *args: object,
        random_state: np.random.Generator,
        **kwargs: object,
    ) -> NDArray[np.float64]:
        return self.proposals.draw(random_state, n_samples)


class GeneMutation(Mutation):  # type: ignore[misc]
    """Mutates each of g genes with probability 1/g.

    An unordered gene takes another choice, each with the same probability; a number moves by
    polynomial mutation (Deb and Goyal, 1996).
    """

    def __init__(self, unordered: NDArray[np.bool_]) -> None:
        super().__init__()
        self.unordered = unordered

    def _do(
        self,
        problem: Problem,
        X: NDArray[np.float64],  # noqa: N803  (pymoo's name)
        *args: object,
        random_state: np.random.Generator,
        **kwargs: object,
    ) -> NDArray[np.float64]:
        probability = self.get_prob_var(problem, size=len(X))
        choices = np.where(self.unordered, problem.xu, 0).astype(int) + 1
        steps = random_state.integers(1, np.maximum(choices, 2), size=X.shape)
        hit = random_state.random(X.shape) < probability[:, None]
        mutated = np.where(hit, (X + steps) % choices, X)
        if self.unordered.all():
            return mutated
        moved = mut_pm(
            X,
            problem.xl,
            problem.xu,
            np.full(len(X), _ETA),
            probability,
            at_least_once=False,
            random_state=random_state,
        )
        return np.where(self.unordered, mutated, moved)


class KeepNew(DuplicateElimination):  # type: ignore[misc]
    """Drops duplicates and whatever else may not be proposed."""

    def __init__(self, proposals: Proposals) -> None:
        super().__init__()
        self.proposals = proposals

    def _do(
        self, pop: Population, other: Population | None, is_duplicate: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        others = () if other is None else other.get("X")
        is_duplicate[:] = True
        is_duplicate[list(self.proposals.new(pop.get("X"), others))] = False
        return is_duplicate


def operators(proposals: Proposals) -> dict[str, Any]:
    """Return the arguments by which a genetic algorithm of pymoo works on genomes."""
    return {
        "sampling": NewGenomes(proposals),
        "crossover": UX(),
        "mutation": GeneMutation(proposals.bounds.unordered),
        "eliminate_duplicates": KeepNew(proposals),
    }


def survivors(
    costs: NDArray[np.float64],
    violations: NDArray[np.float64],
    *,
    keep: int,
    rng: np.random.Generator,
) -> list[int]:
    """Return which rows NSGA-II keeps: feasible before infeasible, by rank, then by crowding.

    Args:
        costs: `(n, m)` values, lower is better.
        violations: `(n,)` how far each is from being feasible; feasible if <= 0.
        keep: How many to keep.
        rng: Decides between equally crowded ones.
    """
    population = _population(np.zeros((len(costs), 1)), costs, violations)
    problem = Problem(n_var=1, n_obj=costs.shape[1], n_ieq_constr=1)
    kept: list[int] = RankAndCrowding().do(
        problem, population, n_survive=keep, random_state=rng, return_indices=True
    )
    return kept


def offspring(
    genomes: NDArray[np.float64],
    costs: NDArray[np.float64],
    violations: NDArray[np.float64],
    *,
    proposals: Proposals,
    rng: np.random.Generator,
) -> Row | None:
    """Return a new child of two parents, by binary tournament, crossover and mutation.

    Args:
        genomes: `(n, g)` the parents.
        costs: `(n, m)` their values, lower is better.
        violations: `(n,)` how far each is from being feasible; feasible if <= 0.
        proposals: What the child may be.
        rng: Where randomness comes from.

    Returns:
        The child's genome `(g,)`, or None if a number of matings gave no new one.
    """
    algorithm = NSGA2(**operators(proposals))
    algorithm.random_state = rng  # the tournament reads it there
    problem = Problem(
        n_var=genomes.shape[1],
        n_obj=costs.shape[1],
        n_ieq_constr=1,
        xl=proposals.bounds.low,
        xu=proposals.bounds.high,
    )
    parents = algorithm.survival.do(  # ranks them
        problem, _population(genomes, costs, violations), random_state=rng
    )
    children = algorithm.mating.do(
        problem, parents, 1, n_max_iterations=_MATINGS, algorithm=algorithm, random_state=rng
    )
    return children[0].X if len(children) else None


def _population(
    genomes: NDArray[np.float64], costs: NDArray[np.float64], violations: NDArray[np.float64]
) -> Population:
    finite = np.clip(costs, -_LARGEST, _LARGEST)
    return Population.new("X", genomes, "F", finite, "G", violations[:, None])
