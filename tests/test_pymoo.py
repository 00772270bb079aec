"""pymoo's NSGA-II as a sampler, and a search as a pymoo problem."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.spea2 import SPEA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.optimize import minimize

import motemo
from motemo.errors import ConstraintError, SettingsError
from motemo.front import Axis, Member
from motemo.genetic import survivors
from motemo.objective import Direction, Outcome, Stage
from motemo.samplers.encoding import Encoding
from motemo.samplers.pymoo_nsga2 import PymooNSGAIISampler
from motemo.testing import check_sampler

GENES = tuple(motemo.Gene(f"gene_{i}", ("a", "b", "c")) for i in range(4))


def not_all_equal(values: Mapping[str, Any]) -> str | None:
    return "all genes are equal" if len(set(values.values())) == 1 else None


SPACE = motemo.FunctionSpace(
    name="letters",
    genes=GENES,
    build_network=lambda values, shape, classes: pytest.fail("nothing is built here"),
    invalid=not_all_equal,
)
"""78 valid architectures, 3 invalid ones."""


def worth(values: Mapping[str, Any]) -> tuple[float, float]:
    """Return a gain and a cost that pull in different directions."""
    ranks = ["abc".index(str(values[gene.name])) for gene in GENES]
    return float(ranks[0] * 4 + ranks[1] * ranks[2] + ranks[3]), float(sum(r**2 for r in ranks))


@dataclass(frozen=True, kw_only=True)
class Worth(motemo.Objective):
    """The gain (0) or the cost (1); counts evaluations, fails or skips where it is told to."""

    part: int
    name: str
    direction: Direction
    stage: Stage
    unit: str = "points"
    failing: str = ""
    calls: Counter[str] = field(default_factory=Counter, compare=False)
    killed_at: list[int] = field(default_factory=list, compare=False)

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        return [self._one(architecture) for architecture in architectures]

    def _one(self, architecture: motemo.Architecture) -> Outcome:
        if sum(self.calls.values()) in self.killed_at:
            self.killed_at.clear()
            raise Killed
        self.calls[architecture.key] += 1
        values = architecture.space.read(architecture.genotype)
        if values["gene_3"] == self.failing:
            return motemo.Failure("it failed")
        return motemo.Measurement.exact(worth(values)[self.part], self.unit)

    def identity(self) -> dict[str, Any]:
        return {"part": self.part}


class Killed(BaseException):
    """What no objective may catch."""


def gain(**options: Any) -> Worth:
    return Worth(part=0, name="gain", direction=Direction.MAXIMIZE, stage=Stage.TRAIN, **options)


def cost(**options: Any) -> Worth:
    return Worth(part=1, name="cost", direction=Direction.MINIMIZE, stage=Stage.COUNT, **options)


def everything(space: motemo.Space) -> list[motemo.Architecture]:
    """Return all valid architectures."""
    choices = [gene.choices for gene in space.genes]
    written = [
        space.write(dict(zip([gene.name for gene in space.genes], values, strict=True)))
        for values in itertools.product(*choices)
    ]
    return [space.architecture(g) for g in written if space.invalid_reason(g) is None]


def best_by_brute_force(bound: float = math.inf) -> set[str]:
    """Return the keys of the true front of `SPACE`, found without motemo."""
    points = {a.key: worth(SPACE.read(a.genotype)) for a in everything(SPACE)}
    kept = {key: (g, c) for key, (g, c) in points.items() if c <= bound}
    return {
        key
        for key, (g, c) in kept.items()
        if not any((a >= g and b <= c) and (a, b) != (g, c) for a, b in kept.values())
    }


def keys(front: motemo.Front) -> set[str]:
    return {member.architecture.key for member in front}


def run(
    sampler: PymooNSGAIISampler, trials: int, space: motemo.Space = SPACE, **study: Any
) -> optuna.Study:
    """Run a study of one's own on the gain and the cost."""
    opened = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"], **study)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        space.suggest(trial)
        return worth(trial.params)

    opened.optimize(objective, n_trials=trials)
    return opened


def generation(trial: FrozenTrial) -> int:
    return int(trial.system_attrs["PymooNSGAIISampler:generation"])


# The sampler


@pytest.mark.parametrize("batch_size", [1, 4])
def test_trials_depend_on_seed_and_history_alone(batch_size: int) -> None:
    check_sampler(
        lambda seed: PymooNSGAIISampler(seed=seed, population_size=6, space=SPACE),
        batch_size=batch_size,
    )


def test_a_trial_that_is_sampled_again_gets_the_same() -> None:
    """A process may die between sampling and storing what it has sampled."""
    study = run(PymooNSGAIISampler(population_size=6, space=SPACE), 6)
    for _ in range(24):
        trial = study.ask()
        frozen = study.trials[trial.number]
        again = PymooNSGAIISampler(population_size=6, space=SPACE)
        SPACE.suggest(trial)  # the first of a generation selects its parents
        distributions = again.infer_relative_search_space(study, frozen)
        assert again.sample_relative(study, frozen, distributions) == trial.params
        study.tell(trial, worth(trial.params))


def test_nothing_is_proposed_twice_until_the_space_is_exhausted() -> None:
    study = run(PymooNSGAIISampler(population_size=6, space=SPACE), 80)
    proposed = [SPACE.write(trial.params) for trial in study.trials]
    assert set(proposed[:78]) == {a.genotype for a in everything(SPACE)}
    assert len(proposed) == 80  # whatever is left


def test_duplicates_are_told_by_key_and_invalid_cells_left_out() -> None:
    space = motemo.NasBench201()

    def cheap(trial: optuna.Trial) -> tuple[float, float]:
        space.suggest(trial)
        operations = Counter(trial.params.values())
        return float(operations["nor_conv_3x3"]), float(operations["none"])

    study = optuna.create_study(
        sampler=PymooNSGAIISampler(population_size=8, space=space),
        directions=["maximize", "maximize"],
    )
    study.optimize(cheap, n_trials=120)
    proposed = [space.architecture(space.write(trial.params)) for trial in study.trials]
    assert len({architecture.key for architecture in proposed}) == 120
    assert all(architecture.invalid_reason is None for architecture in proposed)


def test_without_a_space_parameters_are_compared() -> None:
    study = run(PymooNSGAIISampler(population_size=6), 81)
    assert len({SPACE.write(trial.params) for trial in study.trials}) == 81


def test_none_is_a_choice_like_any_other() -> None:
    study = optuna.create_study(sampler=PymooNSGAIISampler())
    study.optimize(lambda t: t.suggest_categorical("x", [None, "a", "b"]) is None, n_trials=3)
    assert {trial.params["x"] for trial in study.trials} == {None, "a", "b"}


def test_what_is_running_is_not_proposed_again() -> None:
    study = optuna.create_study(sampler=PymooNSGAIISampler(space=SPACE))
    batch = [study.ask() for _ in range(78)]
    for trial in batch:
        SPACE.suggest(trial)
    assert len({SPACE.write(trial.params) for trial in batch}) == 78


def test_further_parameters_of_the_study_are_searched_too() -> None:
    few = motemo.FunctionSpace(name="few", genes=GENES[:1], build_network=SPACE.build_network)
    study = optuna.create_study(sampler=PymooNSGAIISampler(population_size=4, space=few))

    def objective(trial: optuna.Trial) -> float:
        few.suggest(trial)
        return float(trial.suggest_categorical("resolution", [16, 24, 32]))

    study.optimize(objective, n_trials=9)
    assert len({tuple(sorted(t.params.items())) for t in study.trials}) == 9


def test_a_generation_is_what_completed_whatever_is_pruned_or_fails() -> None:
    study = optuna.create_study(sampler=PymooNSGAIISampler(population_size=5, space=SPACE))

    def objective(trial: optuna.Trial) -> float:
        SPACE.suggest(trial)
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return math.nan if trial.number % 3 == 2 else worth(trial.params)[1]

    study.optimize(objective, n_trials=60)
    completed = [t for t in study.trials if t.state is TrialState.COMPLETE]
    assert Counter(map(generation, completed)) == {0: 5, 1: 5, 2: 5, 3: 5}


def test_parents_are_the_best_so_far() -> None:
    study = run(PymooNSGAIISampler(population_size=8, space=SPACE), 41)
    sampler = study.sampler
    assert isinstance(sampler, PymooNSGAIISampler)
    for g in range(1, 6):
        parents = sampler.get_parent_population(study, g)
        before = [trial for trial in study.trials if generation(trial) < g]
        first = motemo.Front.of(
            [_member(trial) for trial in before], axes=[_axis(gain()), _axis(cost())]
        )
        assert len(parents) == 8
        assert {t.number for t in parents} <= {t.number for t in before}
        best, kept = {m.trial for m in first}, {t.number for t in parents}
        assert best <= kept or kept <= best


def _axis(objective: Worth) -> Axis:
    return Axis(objective.name, objective.unit, objective.direction)


def _member(trial: FrozenTrial) -> Member:
    architecture = SPACE.architecture(SPACE.write(trial.params))
    named = zip(("gain", "cost"), trial.values, strict=True)
    return Member(
        trial.number, architecture, {n: motemo.Measurement.exact(v, "points") for n, v in named}
    )


def test_survivors_by_hand() -> None:
    costs = np.array([[0, 9], [4, 4], [9, 0], [5, 5], [4.5, 3.9], [0, 0]], dtype=float)
    violations = np.array([0, 0, -1, 0, 0, 2.0])
    rng = np.random.default_rng(0)
    assert set(survivors(costs, violations, keep=2, rng=rng)) == {0, 2}  # the ends of the front
    assert set(survivors(costs, violations, keep=4, rng=rng)) == {0, 1, 2, 4}
    assert set(survivors(costs, violations, keep=5, rng=rng)) == {0, 1, 2, 3, 4}
    infinite = np.array([[np.inf, 1], [1, -np.inf], [2, 3]])
    assert survivors(infinite, violations[:3], keep=1, rng=rng) == [1]


def test_feasible_trials_come_before_infeasible_ones() -> None:
    study = optuna.create_study(
        sampler=PymooNSGAIISampler(population_size=6, space=SPACE), direction="maximize"
    )

    def objective(trial: optuna.Trial) -> float:
        SPACE.suggest(trial)
        gained, paid = worth(trial.params)
        trial.set_constraint("cost", paid - 4)
        return gained

    study.optimize(objective, n_trials=40)
    sampler = study.sampler
    assert isinstance(sampler, PymooNSGAIISampler)
    last = sampler.get_parent_population(study, 6)
    feasible = [t for t in study.trials if t.constraints["cost"] <= 0 and generation(t) < 6]
    assert len(feasible) >= 6
    assert all(trial.constraints["cost"] <= 0 for trial in last)
    assert sorted(t.values[0] for t in last) == sorted(t.values[0] for t in feasible)[-6:]


def test_one_objective_of_numbers_is_optimised() -> None:
    study = optuna.create_study(sampler=PymooNSGAIISampler(seed=1))

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 1e-4, 1, log=True)
        y = trial.suggest_int("y", -20, 20, step=2)
        return (math.log10(x) + 2) ** 2 + abs(y - 6)

    study.optimize(objective, n_trials=300)
    assert study.best_params["y"] == 6
    assert study.best_params["x"] == pytest.approx(0.01, rel=0.1)


DISTRIBUTIONS: list[tuple[BaseDistribution, list[Any]]] = [
    (CategoricalDistribution(("a", 2, None)), ["a", 2, None]),
    (IntDistribution(-3, 9, step=4), [-3, 1, 5, 9]),
    (IntDistribution(1, 5, log=True), [1, 2, 3, 4, 5]),
    (IntDistribution(7, 7), [7]),
    (FloatDistribution(-1, 0.5, step=0.5), [-1.0, -0.5, 0.0, 0.5]),
    (FloatDistribution(2.5, 2.5), [2.5]),
]


@pytest.mark.parametrize(("distribution", "values"), DISTRIBUTIONS, ids=lambda d: repr(d)[:30])
def test_encoding_gives_every_value_back_and_draws_each(
    distribution: BaseDistribution, values: list[Any]
) -> None:
    encoding = Encoding({"x": distribution})
    for value in values:
        assert encoding.decode(encoding.encode({"x": value})) == {"x": pytest.approx(value)}
        assert encoding.covers({"x": value})
    rows = encoding.bounds.draw(np.random.default_rng(0), 200)
    drawn = {encoding.decode(row)["x"] for row in rows}
    assert len(drawn) == len(values)
    assert all(distribution._contains(distribution.to_internal_repr(v)) for v in drawn)


def test_encoding_covers_what_its_distributions_hold() -> None:
    encoding = Encoding({"x": IntDistribution(1, 4), "y": CategoricalDistribution("ab")})
    assert encoding.covers({"x": 4, "y": "a", "z": 0})
    assert not encoding.covers({"x": 5, "y": "a"})
    assert not encoding.covers({"x": 4})


SCRIPT = """
import json, optuna
import motemo
from motemo.samplers.pymoo_nsga2 import PymooNSGAIISampler
space = motemo.NasBench201()
study = optuna.create_study(sampler=PymooNSGAIISampler(seed=5, population_size=6, space=space),
                            directions=["maximize", "minimize"])
def objective(trial):
    space.suggest(trial)
    lr = trial.suggest_float("lr", 1e-4, 1, log=True)
    operations = list(trial.params.values())
    return operations.count("nor_conv_3x3") + lr, operations.count("skip_connect")
study.optimize(objective, n_trials=40)
print(json.dumps([trial.params for trial in study.trials]))
"""


def test_another_process_gives_the_same_trials() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0])) == 40


@pytest.mark.parametrize("killed_at", [3, 11, 19, 26])
def test_a_killed_search_goes_on_as_if_it_had_never_stopped(killed_at: int) -> None:
    def search(storage: optuna.storages.BaseStorage, *killed: int) -> motemo.Front:
        return motemo.search(
            SPACE,
            [gain(killed_at=list(killed), failing="a"), cost()],
            trials=32,
            constraints=["cost<=9"],
            sampler="pymoo_nsga2",
            population=6,
            storage=storage,
        )

    whole, killed = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    search(whole)
    with pytest.raises(Killed):
        search(killed, killed_at)
    search(killed)
    one, other = (
        [
            (t.number, t.state, t.params, t.values, t.constraints, t.user_attrs, generation(t))
            for t in optuna.load_study(study_name="motemo", storage=storage).trials
        ]
        for storage in (whole, killed)
    )
    assert one == other


def test_a_search_pays_for_nothing_twice_and_proposes_no_duplicates() -> None:
    counted, storage = gain(), optuna.storages.InMemoryStorage()
    front = motemo.search(
        SPACE,
        [counted, cost()],
        trials=78,
        constraints=["cost<=8"],
        sampler="PymooNSGAIISampler",
        storage=storage,
    )
    trials = optuna.load_study(study_name="motemo", storage=storage).trials
    assert len({SPACE.write(trial.params) for trial in trials[:78]}) == 78
    assert not any("duplicate_of" in trial.user_attrs for trial in trials[:78])
    affordable = [a for a in everything(SPACE) if worth(SPACE.read(a.genotype))[1] <= 8]
    assert counted.calls == Counter(a.key for a in affordable)
    assert keys(front) == best_by_brute_force(8)


# The problem


def test_minimize_finds_the_true_front_and_evaluates_nothing_twice() -> None:
    objectives = [gain(), cost()]
    problem = motemo.NasProblem(SPACE, objectives)
    result = minimize(problem, NSGA2(pop_size=12, **problem.operators()), ("n_gen", 20), seed=1)
    assert keys(problem.front()) == best_by_brute_force()
    assert {problem.architecture(x).key for x in result.X} <= keys(problem.front())
    for objective in objectives:
        assert set(objective.calls.values()) == {1}
    again = minimize(problem, SPEA2(pop_size=12, **problem.operators()), ("n_gen", 9), seed=2)
    assert {problem.architecture(x).key for x in again.X} <= set(problem.evaluations)
    for objective in objectives:
        assert set(objective.calls.values()) == {1}


def test_the_same_seed_gives_the_same_evaluations() -> None:
    def evaluated(seed: int) -> list[str]:
        problem = motemo.NasProblem(SPACE, [gain(), cost()])
        minimize(problem, NSGA2(pop_size=6, **problem.operators()), ("n_gen", 5), seed=seed)
        return list(problem.evaluations)

    assert evaluated(1) == evaluated(1) != evaluated(2)


def test_a_problem_and_a_search_give_the_same_front() -> None:
    problem = motemo.NasProblem(SPACE, [gain(), cost()], ["cost<=8"])
    genomes = np.array(list(itertools.product(range(3), repeat=4)))
    problem.evaluate(genomes)
    front = problem.front()
    searched = motemo.search(
        SPACE, [gain(), cost()], trials=78, constraints=["cost<=8"], sampler="pymoo_nsga2"
    )
    assert front.axes == searched.axes
    assert front.constraints == searched.constraints
    assert front.feasible
    assert keys(front) == keys(searched) == best_by_brute_force(8)
    assert [m.trial for m in front.evaluated] == sorted({m.trial for m in front.evaluated})


def evaluated(problem: motemo.NasProblem, *genomes: str) -> dict[str, list[list[float]]]:
    """Return F and G of genomes such as `abca`."""
    rows = np.array([["abc".index(letter) for letter in genome] for genome in genomes])
    out = problem.evaluate(rows, return_as_dictionary=True)
    return {name: out[name].tolist() for name in ("F", "G")}


def key_of(genome: str) -> str:
    return SPACE.write({g.name: letter for g, letter in zip(GENES, genome, strict=True)})


def test_objectives_to_be_maximised_are_negated() -> None:
    problem = motemo.NasProblem(SPACE, [gain(), cost()])
    assert evaluated(problem, "cbba")["F"] == [[-9.0, 6.0]]
    assert problem.front().members[0].measurements["gain"].value == 9.0


def test_an_infeasible_architecture_never_reaches_the_dear_objective() -> None:
    dear = gain()
    problem = motemo.NasProblem(SPACE, [dear, cost()], ["cost<=4"])
    out = evaluated(problem, "cbba", "aaab", "cbba")
    assert out["F"] == [[-math.inf * -1, 6.0], [-1.0, 1.0], [math.inf, 6.0]]
    assert out["G"] == [[0.0, 0.5], [0.0, -0.75], [0.0, 0.5]]
    assert set(dear.calls) == {key_of("aaab")}
    assert problem.evaluations[key_of("cbba")].reason == "infeasible: cost is 6, not cost<=4"
    assert keys(problem.front()) == {key_of("aaab")}


def test_invalid_architectures_are_infeasible_and_never_evaluated() -> None:
    cheap = cost()
    problem = motemo.NasProblem(SPACE, [cheap])
    out = evaluated(problem, "bbbb", "abab")
    assert out["F"] == [[math.inf], [2.0]]
    assert out["G"][0][0] > 0 >= out["G"][1][0]
    assert set(cheap.calls) == {key_of("abab")}
    assert problem.evaluations[key_of("bbbb")].reason == "invalid: all genes are equal"


@dataclass(frozen=True, kw_only=True)
class Odd(motemo.Objective):
    """Skips what costs an even sum, and returns NaN for 1."""

    name: str = "odd"
    unit: str = "points"
    direction: Direction = Direction.MINIMIZE
    stage: Stage = Stage.MEASURE
    batched: bool = True

    def evaluate(self, architectures: Sequence[motemo.Architecture]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for architecture in architectures:
            value = worth(architecture.space.read(architecture.genotype))[1]
            number = math.nan if value == 1 else value
            outcomes.append(
                motemo.Measurement.exact(number, self.unit)
                if value % 2
                else motemo.Skipped("it is even")
            )
        return outcomes

    def identity(self) -> dict[str, Any]:
        return {}


def test_failed_and_skipped_evaluations_are_infeasible_with_their_reason() -> None:
    dear = gain(failing="b")
    problem = motemo.NasProblem(SPACE, [dear, Odd()])
    out = evaluated(problem, "abba", "aaba", "cbab", "abbc", "cbaa")
    reasons = [problem.evaluations[key_of(g)].reason for g in ("abba", "aaba", "cbab", "cbaa")]
    assert reasons == [
        "skipped: odd: it is even",
        "failed: odd: the value is nan",
        "skipped: odd: it is even",
        None,
    ]
    assert [row[0] > 0 for row in out["G"]] == [True, True, True, True, False]
    evaluated(problem, "babb")
    assert problem.evaluations[key_of("babb")].reason == "failed: gain: it failed"
    assert keys(problem.front()) == {key_of("cbaa")}


def test_what_was_measured_before_an_interrupt_is_not_measured_again() -> None:
    dear, cheap = gain(killed_at=[1]), cost()
    problem = motemo.NasProblem(SPACE, [dear, cheap])
    with pytest.raises(Killed):
        evaluated(problem, "aaab", "aabb", "abbb")
    evaluated(problem, "aaab", "aabb", "abbb")
    assert set(dear.calls.values()) == set(cheap.calls.values()) == {1}
    assert len(problem.front().evaluated) == 3


@pytest.mark.filterwarnings("error")
def test_a_problem_without_a_feasible_answer_ends() -> None:
    problem = motemo.NasProblem(SPACE, [gain(), cost()], ["cost<=-1"])
    minimize(problem, NSGA2(pop_size=6, **problem.operators()), ("n_gen", 4), seed=0)
    assert len(problem.front()) == 0
    assert problem.evaluations


def test_a_single_objective_is_minimised_by_a_genetic_algorithm() -> None:
    problem = motemo.NasProblem(SPACE, [gain()])
    result = minimize(problem, GA(pop_size=8, **problem.operators()), ("n_gen", 12), seed=0)
    assert result.F[0] == min(-worth(SPACE.read(a.genotype))[0] for a in everything(SPACE))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least one objective"):
        motemo.NasProblem(SPACE, [])
    with pytest.raises(SettingsError, match="more than once"):
        motemo.NasProblem(SPACE, [gain(), gain()])
    with pytest.raises(ConstraintError, match="not measured"):
        motemo.NasProblem(SPACE, [gain()], "cost<=1")
