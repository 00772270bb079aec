"""motemo's own sampler: many candidates are screened by what the finished trials have taught.

References: Emmerich, Giannakoglou and Naujoks, IEEE TEC 10 (4), 2006 (expected hypervolume
improvement); Ginsbourger, Le Riche and Carraro, *Kriging is Well-Suited to Parallelize
Optimization*, 2010 (a candidate under way counts with its expected values).

The first trials are random. From then on:

1. A Gaussian process per objective and constraint learns from the finished trials
   (`motemo.samplers.gaussian_process`).
2. A pool of some hundred untried candidates is made by mutating and crossing members of the front,
   and at random. With a space, its keys tell which candidates are duplicates, and every candidate
   stands in its canonical form, as it is evaluated.
3. The candidate with the largest expected hypervolume improvement (`motemo.samplers.improvement`)
   times its probability to keep the constraints is proposed. Candidates under way count as if they
   had their expected values.

Steps 1 and 2 are repeated whenever the number of finished trials has grown by a twelfth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import log_ndtr

from motemo.genome import Bounds, Proposals, Row
from motemo.objective import Direction
from motemo.pareto import layers, non_dominated
from motemo.samplers.by_name import DEFAULT_STARTUP
from motemo.samplers.duplicates import Duplicates
from motemo.samplers.encoding import Encoding
from motemo.samplers.gaussian_process import GaussianProcess
from motemo.samplers.improvement import Scale, dominance_chance, dominated, undominated_points
from motemo.seeds import derive_seed
from motemo.space import Space

_POOL = 400
_SHORTLIST = 96
_POINTS = 256
_MARGIN = 0.3
_RANGE = 3.0  # distance of the ends of a range, when two choices are at distance 1
_REFIT_SHARE = 12  # learn anew when the finished trials have grown by one in so many
_MOST_LEARNED = 300  # trials that a process learns from; the time grows with the cube
_RANDOM_SHARE, _CROSSED_SHARE = 0.25, 0.4
_MORE_MUTATIONS = 0.4
_NUMBER_STEP = 0.15
_ROUNDS = 4
_SEED_RANGE = 2**32
_TINY = 1e-12

Rows: TypeAlias = NDArray[np.float64]
"""Genomes `(n, g)`."""


@dataclass(frozen=True, eq=False)
class _Known:
    """What one trial tells.

    Attributes:
        number: Its number.
        row: Its genome, in canonical form.
        identity: What it stands for, None if it is invalid.
        costs: `(m,)` its values, lower is better; None unless it is completed.
        constraints: How far it is from each bound; feasible if <= 0.
        pending: Whether it is being evaluated.
    """

    number: int
    row: Row
    identity: Hashable | None
    costs: NDArray[np.float64] | None
    constraints: Mapping[str, float]
    pending: bool

    @property
    def tells(self) -> bool:
        """Whether there is something to learn from it."""
        return not self.pending and (self.costs is not None or bool(self.constraints))

    @property
    def violation(self) -> float:
        """How far it is from keeping all constraints, in all."""
        return sum(max(0.0, value) for value in self.constraints.values())


class SurrogateSampler(BaseSampler):
    """Proposes the candidate that is expected to enlarge the front most.

    Every decision is a function of the study's trials, the seed and the number of the trial, so
    that a study which is killed and continued goes on as if it had never stopped. Works for any
    number of objectives and any parameters; nothing that a trial of the study has is proposed
    again.

    Args:
        seed: Seed of the study.
        space: The space whose genes are parameters of the study. Its architectures are compared by
            key, and invalid ones are not proposed. Without it, parameters are compared.
        startup: Trials that have told something before candidates are no longer drawn at random.
    """

    def __init__(
        self, *, seed: int = 0, space: Space | None = None, startup: int = DEFAULT_STARTUP
    ) -> None:
        self._seed = seed
        self._startup = startup
        self._duplicates = Duplicates(space)
        self._genomes: _Genomes | None = None
        self._screen: _Screen | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what the trials have in common, and the genes of the space."""
        return self._duplicates.search_space(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values that no other trial has."""
        if not search_space:
            return {}
        if self._genomes is None or self._genomes.encoding.search_space != search_space:
            self._genomes, self._screen = _Genomes(Encoding(search_space), self._duplicates), None
        others = self._genomes.others(study, trial)
        taken = {known.identity for known in others}
        rng = np.random.default_rng(derive_seed("surrogate", self._seed, trial.number))
        telling = [known for known in others if known.tells]
        row = None
        if len(telling) >= self._startup:
            screen = self._learn(telling, others, self._genomes)
            since = telling[len(screen.basis) :]
            row = screen.choose(since, [known for known in others if known.pending], taken)
        if row is None:
            [row] = self._genomes.draw(rng, 1, taken)
        return self._genomes.encoding.decode(row)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401  (Optuna's signature)
        """Draw at random what the trials do not have in common."""
        seed = derive_seed("surrogate", self._seed, trial.number, param_name) % _SEED_RANGE
        random = RandomSampler(seed=seed)
        return random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Do nothing: there is no generator to share between processes."""

    def _learn(
        self, telling: Sequence[_Known], others: Sequence[_Known], genomes: _Genomes
    ) -> _Screen:
        """Return what the first so many trials have taught.

        Made anew when their number has grown enough. It depends on these trials alone, not on when
        it is asked for.
        """
        basis = telling[: _stage(len(telling))]
        if self._screen is None or self._screen.basis != basis:
            rng = np.random.default_rng(derive_seed("surrogate", self._seed, "pool", len(basis)))
            taken = {known.identity for known in others if known.number <= basis[-1].number}
            pool = _pool(basis, genomes, taken, rng)
            self._screen = _Screen.of(basis, pool, genomes, startup=self._startup, rng=rng)
        return self._screen


class _Genomes:
    """The trials of a study as genomes; what a genome stands for is looked up once."""

    def __init__(self, encoding: Encoding, duplicates: Duplicates) -> None:
        self.encoding = encoding
        self.bounds = encoding.bounds
        self._canonical = duplicates.canonical
        self._identity = duplicates.identity(encoding.search_space.keys())
        self._identities: dict[bytes, Hashable | None] = {}
        self._canonical_rows: dict[Hashable | None, Row] = {}
        self._finished: dict[Hashable, _Known] = {}

    def identity(self, row: Row) -> Hashable | None:
        """Return what a genome stands for, None if it is invalid."""
        place = row.tobytes()
        if place not in self._identities:
            self._identities[place] = self._identity(self.encoding.decode(row))
        return self._identities[place]

    def canonical(self, row: Row) -> Row:
        """Return the genome that is evaluated for this one."""
        identity = self.identity(row)
        if identity not in self._canonical_rows:
            values = self._canonical(self.encoding.decode(row))
            self._canonical_rows[identity] = self.encoding.encode(values)
        return self._canonical_rows[identity]

    def draw(self, rng: np.random.Generator, count: int, taken: Collection[Hashable]) -> Rows:
        """Return random genomes that are not taken; a taken one if there is no other."""
        rows = Proposals(self.bounds, self.identity, taken).draw(rng, count)
        rows = rows if len(rows) else self.bounds.draw(rng, 1)
        return np.array([self.canonical(row) for row in rows])

    def others(self, study: optuna.Study, trial: FrozenTrial) -> list[_Known]:
        """Return what the other trials tell, by number; finished ones are read once."""
        found = []
        for other in study.get_trials(deepcopy=False):
            place = (other._trial_id, other.datetime_start)
            known = self._finished.get(place)
            if known is None and other.number != trial.number:
                known = self._read(study, other)
                if known is not None and other.state.is_finished():
                    self._finished[place] = known
            if known is not None:
                found.append(known)
        return sorted(found, key=lambda known: known.number)

    def _read(self, study: optuna.Study, trial: FrozenTrial) -> _Known | None:
        """Return what a trial tells, None if it lacks parameters."""
        if not self.encoding.covers(trial.params):
            return None
        names = self.encoding.search_space
        params = {name: trial.params[name] for name in names}
        costs = None
        if trial.state is TrialState.COMPLETE and np.isfinite(trial.values).all():
            signs = [-1.0 if d is StudyDirection.MAXIMIZE else 1.0 for d in study.directions]
            costs = np.array(trial.values) * signs
        return _Known(
            number=trial.number,
            row=self.encoding.encode(self._canonical(params)),
            identity=self._identity(params),
            costs=costs,
            constraints=trial.constraints,
            pending=not trial.state.is_finished(),
        )


@dataclass(frozen=True, eq=False)
class _Screen:
    """The short list of candidates, and how much of the undominated region each may win.

    Attributes:
        basis: The trials that it was learned from.
        rows: `(n, g)` the candidates, canonical.
        identities: What each stands for.
        keeps: `(n,)` logarithm of the probability that a candidate keeps the constraints.
        points: `(p, m)` points that no trial of the basis dominates, on the scale.
        chance: `(n, p)` probability that a candidate dominates a point.
        expect: Predicts the costs `(k, m)` of genomes `(k, g)`, on the scale.
        scale: Scale of the costs.
    """

    basis: Sequence[_Known]
    rows: Rows
    identities: Sequence[Hashable | None]
    keeps: NDArray[np.float64]
    points: NDArray[np.float64]
    chance: NDArray[np.float64]
    expect: Callable[[Rows], NDArray[np.float64]]
    scale: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        basis: Sequence[_Known],
        pool: Rows,
        genomes: _Genomes,
        *,
        startup: int,
        rng: np.random.Generator,
    ) -> _Screen:
        """Learn from trials, and keep the most promising candidates of a pool."""
        names = [genomes.identity(row) for row in pool]
        features = _features(pool, genomes.bounds)
        keeps = _log_feasibility(basis, features, genomes.bounds)
        completed = [known for known in basis if known.costs is not None]
        if not completed or not len(pool):  # nothing is known but the bounds, or all is tried
            nothing = np.ones((len(pool), 1))
            whole = cls(basis, pool, names, keeps, np.zeros((1, 0)), nothing, _nothing, _same)
            return whole.shortened()
        costs = _costs(completed)
        scale = Scale.of(costs[:startup])
        taught = _most_telling(costs)
        learned = _features(np.array([completed[i].row for i in taught]), genomes.bounds)
        process = GaussianProcess(learned, scale(costs[taught]), genes=pool.shape[1])
        mean, deviation = process.predict(features)
        scaled = scale(costs)
        kept = scaled[[known.violation <= 0 for known in completed]]
        low, high = _region(np.concatenate([scaled, mean]))
        points = undominated_points(kept, low, high, count=_POINTS, rng=rng)
        chance = dominance_chance(mean, deviation, points)

        def expect(rows: Rows) -> NDArray[np.float64]:
            return process.predict(_features(rows, genomes.bounds))[0]

        return cls(basis, pool, names, keeps, points, chance, expect, scale).shortened()

    def shortened(self) -> _Screen:
        """Return the screen with the most promising candidates only, best first."""
        best = np.argsort(-self._gain(), kind="stable")[:_SHORTLIST]
        return replace(
            self,
            rows=self.rows[best],
            identities=[self.identities[i] for i in best],
            keeps=self.keeps[best],
            chance=self.chance[best],
        )

    def _gain(self, points: slice | NDArray[np.bool_] = slice(None)) -> NDArray[np.float64]:
        """Return `(n,)` logarithms of expected improvement times feasibility, by some points."""
        gain: NDArray[np.float64] = np.log(self.chance[:, points].sum(axis=1) + _TINY) + self.keeps
        return gain

    def choose(
        self, since: Sequence[_Known], pending: Sequence[_Known], taken: Collection[Hashable]
    ) -> Row | None:
        """Return the most promising candidate that is not taken, or None if there is none.

        Args:
            since: Trials that have told something since this was made.
            pending: Trials that are being evaluated; they count with their expected costs.
            taken: Identities that are not wanted any more.
        """
        free = [i for i, identity in enumerate(self.identities) if identity not in taken]
        if not free:
            return None
        won = np.zeros(len(self.points), dtype=np.bool_)
        new = [self.scale(k.costs[None]) for k in since if k.costs is not None and not k.violation]
        if pending:
            new.append(self.expect(np.array([known.row for known in pending])))
        if new:
            won = dominated(self.points, np.concatenate(new))
        gain = self._gain(~won)[free]
        chosen: Row = self.rows[free[int(gain.argmax())]]
        return chosen


def _stage(count: int) -> int:
    """Return the largest of 1, 2, ..., 12, 13, ..., 24, 26, ... that is not above the count."""
    stage = 1
    while stage + max(1, stage // _REFIT_SHARE) <= count:
        stage += max(1, stage // _REFIT_SHARE)
    return stage


def _nothing(rows: Rows) -> NDArray[np.float64]:
    return np.zeros((0, 0))


def _same(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    return costs


def _region(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `(m,)` and `(m,)` the ends of the region that values `(n, m)` span, and a little more.

    With what is expected of untried candidates among the values, the front can grow at its ends.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    margin = _MARGIN * np.maximum(high - low, _TINY)
    return low - margin, high + margin


def _costs(trials: Sequence[_Known]) -> NDArray[np.float64]:
    """Return `(n, m)` the costs of completed trials."""
    return np.array([known.costs for known in trials])


def _features(rows: Rows, bounds: Bounds) -> NDArray[np.float64]:
    """Return `(n, d)` features: two choices of a gene are at distance 1."""
    columns = []
    for j, unordered in enumerate(bounds.unordered.tolist()):
        if unordered:
            choices = np.arange(int(bounds.high[j]) + 1)
            columns.append((rows[:, j, None] == choices) * 0.5**0.5)
        else:
            length = max(bounds.high[j] - bounds.low[j], _TINY)
            columns.append((rows[:, j, None] - bounds.low[j]) * (_RANGE / length))
    return np.concatenate(columns, axis=1)


def _most_telling(costs: NDArray[np.float64]) -> list[int]:
    """Return the trials to learn from: all, or the best by layers and some of all others."""
    if len(costs) <= _MOST_LEARNED:
        return list(range(len(costs)))
    layer = layers(costs, [Direction.MINIMIZE] * costs.shape[1])
    order = np.argsort(layer, kind="stable").tolist()
    best: list[int] = order[: _MOST_LEARNED * 3 // 4]
    rest = sorted(order[len(best) :])
    return best + rest[:: -(-len(rest) // (_MOST_LEARNED - len(best)))]


def _log_feasibility(
    basis: Sequence[_Known], features: NDArray[np.float64], bounds: Bounds
) -> NDArray[np.float64]:
    """Return `(n,)` the logarithm of the probability that candidates keep all constraints."""
    total = np.zeros(len(features))
    for name in sorted({name for known in basis for name in known.constraints}):
        with_it = [known for known in basis if name in known.constraints][-_MOST_LEARNED:]
        values = np.array([[known.constraints[name]] for known in with_it])
        if (values <= 0).all() or not len(features):
            continue
        rows = np.array([known.row for known in with_it])
        process = GaussianProcess(_features(rows, bounds), values, genes=rows.shape[1])
        mean, deviation = process.predict(features)
        total += log_ndtr(-mean[:, 0] / np.maximum(deviation[:, 0], _TINY))
    return total


def _pool(
    basis: Sequence[_Known],
    genomes: _Genomes,
    taken: Collection[Hashable],
    rng: np.random.Generator,
) -> Rows:
    """Return `(n, g)` candidates that no trial has: children of the best, and random ones."""
    parents = np.array([known.row for known in _parents(basis)])
    wanted = int(_POOL * (1 - _RANDOM_SHARE))
    children = _children(parents, genomes.bounds, _ROUNDS * wanted, rng)
    new = Proposals(genomes.bounds, genomes.identity, taken).new(children)
    chosen = children[list(islice(new, wanted))]
    taken = {*taken, *(genomes.identity(row) for row in chosen)}
    others = Proposals(genomes.bounds, genomes.identity, taken).draw(rng, _POOL - len(chosen))
    rows = [genomes.canonical(row) for row in (*chosen, *others)]
    return np.array(rows).reshape(-1, parents.shape[1])


def _parents(basis: Sequence[_Known]) -> list[_Known]:
    """Return the front of those that keep the constraints, else those that come closest."""
    kept = [known for known in basis if known.costs is not None and known.violation <= 0]
    if not kept:
        return sorted(basis, key=lambda known: known.violation)[:DEFAULT_STARTUP]
    costs = _costs(kept)
    mask = non_dominated(costs, [Direction.MINIMIZE] * costs.shape[1])
    return [known for known, keep in zip(kept, mask, strict=True) if keep]


def _children(parents: Rows, bounds: Bounds, count: int, rng: np.random.Generator) -> Rows:
    """Return `(count, g)` genomes: one parent or two crossed, then one to three genes changed."""
    genes = parents.shape[1]
    first, second = parents[rng.integers(len(parents), size=(2, count))]
    crossed = rng.random((count, 1)) < _CROSSED_SHARE
    children = np.where(crossed & (rng.random((count, genes)) < 0.5), second, first)
    choices = np.where(bounds.unordered, bounds.high, 0).astype(int) + 1
    changes = 1 + (rng.random((count, 2)) < _MORE_MUTATIONS).cumprod(axis=1).sum(axis=1)
    hit = rng.random((count, genes)).argsort(axis=1) < changes[:, None]
    other = (children + rng.integers(1, np.maximum(choices, 2), size=children.shape)) % choices
    moved = children + rng.normal(size=children.shape) * _NUMBER_STEP * (bounds.high - bounds.low)
    mutated = np.where(bounds.unordered, other, np.clip(moved, bounds.low, bounds.high))
    changed: Rows = np.where(hit, mutated, children)
    return changed
