"""motemo's own sampler, and the mathematics behind it against independent sources."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from optuna.trial import TrialState
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct

import motemo
from motemo.errors import SettingsError
from motemo.objective import Direction
from motemo.pareto import hypervolume, non_dominated
from motemo.samplers.by_name import motemo as by_name
from motemo.samplers.gaussian_process import GaussianProcess
from motemo.samplers.improvement import Scale, dominance_chance, undominated_points
from motemo.samplers.surrogate import SurrogateSampler
from motemo.testing import check_sampler

MINIMIZE = Direction.MINIMIZE
GENES = {f"gene_{i}": ("a", "b", "c", "d") for i in range(5)}


def worth(values: Mapping[str, Any]) -> tuple[float, float]:
    """Return a gain and a cost that pull in different directions."""
    ranks = ["abcd".index(values[name]) for name in GENES]
    gain = ranks[0] + 2 * ranks[1] + ranks[2] * ranks[3] + ranks[4] ** 0.5
    return gain, float(sum(rank**1.5 for rank in ranks))


def _objective(trial: optuna.Trial) -> tuple[float, float]:
    return worth({name: trial.suggest_categorical(name, c) for name, c in GENES.items()})


def _study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


# The process


def test_process_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    features, new = rng.random((30, 4)), rng.random((9, 4))
    values = np.stack([features.sum(axis=1), np.sin(5 * features[:, 0])], axis=1)
    process = GaussianProcess(features, values, genes=2)
    mean, deviation = process.predict(new)
    for j, fit in enumerate(process._fits):
        length = (fit.length / 2) ** 0.5
        kernel = fit.linear / 2 * DotProduct(1e-9) + RBF(length)
        standard = (values[:, j] - values[:, j].mean()) / values[:, j].std()
        theirs = GaussianProcessRegressor(kernel, alpha=fit.noise, optimizer=None)
        expected, spread = theirs.fit(features, standard).predict(new, return_std=True)
        assert mean[:, j] == pytest.approx(expected * values[:, j].std() + values[:, j].mean())
        noisy = np.sqrt(fit.variance * (spread**2 + fit.noise)) * values[:, j].std()
        assert deviation[:, j] == pytest.approx(noisy, rel=1e-6)


def test_process_carries_additive_costs_to_where_no_trial_has_been() -> None:
    rng = np.random.default_rng(0)
    genomes = rng.integers(4, size=(200, 6))
    features = (genomes[:, :, None] == np.arange(4)).reshape(200, -1) * 0.5**0.5
    costs = (genomes * np.arange(1, 7)).sum(axis=1, keepdims=True).astype(float)
    mean, _ = GaussianProcess(features[:60], costs[:60], genes=6).predict(features[60:])
    assert np.abs(mean - costs[60:]).max() < 0.05 * np.ptp(costs)


def test_process_takes_a_constant_quantity() -> None:
    features = np.eye(5)
    mean, deviation = GaussianProcess(features, np.ones((5, 1)), genes=1).predict(features)
    assert mean == pytest.approx(np.ones((5, 1)))
    assert np.isfinite(deviation).all()


# The improvement


def test_with_one_objective_it_is_expected_improvement() -> None:
    best, mean, deviation = 0.0, np.array([[0.3], [-0.1], [1.0]]), np.full((3, 1), 0.2)
    low, high = np.array([-1.0]), np.array([2.0])
    rng = np.random.default_rng(0)
    points = undominated_points(np.array([[best]]), low, high, count=1024, rng=rng)
    gain = dominance_chance(mean, deviation, points).mean(axis=1) * (best - low)
    z = (best - mean) / deviation
    closed = ((best - mean) * norm.cdf(z) + deviation * norm.pdf(z))[:, 0]
    assert gain == pytest.approx(closed, rel=0.02, abs=1e-4)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_chance_is_expected_hypervolume_improvement(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    directions = [MINIMIZE] * objectives
    front = 0.3 + rng.random((6, objectives))
    front = front[non_dominated(front, directions)]
    mean, deviation = 0.2 + 0.6 * rng.random((5, objectives)), np.full((5, objectives), 0.05)
    low, high = np.zeros(objectives), np.full(objectives, 1.5)
    points = undominated_points(front, low, high, count=8192, rng=rng)
    volume = 1.5**objectives - hypervolume(front, directions, high.tolist())
    gain = dominance_chance(mean, deviation, points).mean(axis=1) * volume

    def improvement(row: NDArray[np.float64]) -> float:
        joined = np.concatenate([front, row[None]])
        return hypervolume(joined, directions, high.tolist())

    before = hypervolume(front, directions, high.tolist())
    for i in range(5):
        draws = mean[i] + deviation[i] * rng.normal(size=(300, objectives))
        brute = np.array([improvement(row) for row in draws]) - before
        error = 4 * brute.std() / len(brute) ** 0.5 + 0.03 * brute.mean() + 1e-3
        assert gain[i] == pytest.approx(brute.mean(), abs=error)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.data())
@settings(max_examples=50, deadline=None)
def test_scale_keeps_the_order(values: list[float], data: st.DataObject) -> None:
    scale = Scale.of(np.array(values)[:, None])
    a, b = (data.draw(st.sampled_from(values)) for _ in range(2))
    [[x], [y]] = scale(np.array([[a], [b]]))
    assert np.isfinite([x, y]).all()
    assert (a <= b) == (x <= y) or abs(a - b) < 1e-6 * max(1, abs(a), abs(b))


def test_scale_squeezes_the_bad_end() -> None:
    values = np.array([*np.linspace(0, 100, 99), 500.0, 1000.0])[:, None]
    scale = Scale.of(values)
    good, bad = scale(values[[0, 50]])[:, 0], scale(values[[50, 100]])[:, 0]
    assert 1 < np.ptp(bad) / np.ptp(good) < 5  # of 20 before


# The sampler


def test_it_finds_most_of_the_front_with_a_tenth_of_the_space() -> None:
    combinations = itertools.product(*GENES.values())
    everything = np.array([worth(dict(zip(GENES, c, strict=True))) for c in combinations])
    directions = [Direction.MAXIMIZE, Direction.MINIMIZE]
    reference = [0.0, float(everything[:, 1].max())]
    whole = hypervolume(everything, directions, reference)
    shares = []
    for sampler in (SurrogateSampler(seed=0), optuna.samplers.RandomSampler(seed=0)):
        study = _study(sampler)
        study.optimize(_objective, n_trials=len(everything) // 10)
        found = np.array([trial.values for trial in study.trials])
        shares.append(hypervolume(found, directions, reference) / whole)
    assert shares[0] > 0.96
    assert shares[0] > shares[1] + 0.1


def test_nothing_is_proposed_twice_until_all_is_tried() -> None:
    genes = {"x": ("a", "b", "c"), "y": ("a", "b", "c")}
    study = _study(SurrogateSampler(seed=0, startup=3))
    study.enqueue_trial({"x": "a", "y": "a"})  # the first trial tells which parameters there are
    study.optimize(
        lambda t: (
            float("abc".index(t.suggest_categorical("x", genes["x"]))),
            float("abc".index(t.suggest_categorical("y", genes["y"]))),
        ),
        n_trials=9,
    )
    params = [tuple(trial.params.values()) for trial in study.trials]
    assert set(params) == set(itertools.product(*genes.values()))
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)


def test_with_a_space_keys_are_unique_valid_and_canonical() -> None:
    space = motemo.NasBench201()
    sampler = SurrogateSampler(seed=0, space=space)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        genotype = space.suggest(trial).genotype
        return float(genotype.count("3x3")), float(genotype.count("skip"))

    study.optimize(objective, n_trials=80)
    architectures = [
        space.architecture(space.write({g.name: trial.params[g.name] for g in space.genes}))
        for trial in study.trials
    ]
    assert all(a.invalid_reason is None for a in architectures)
    assert all(a.genotype == a.key for a in architectures)
    assert len({a.key for a in architectures}) == 80


def test_it_learns_where_the_constraints_hold() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        gain, cost = _objective(trial)
        trial.set_constraint("cost", cost - 8)
        if cost > 8:
            raise optuna.TrialPruned
        return gain, cost

    study = _study(SurrogateSampler(seed=0))
    study.optimize(objective, n_trials=80)
    kept = [trial.constraints["cost"] <= 0 for trial in study.trials]
    assert sum(kept[40:]) > 0.7 * 40
    assert np.mean(kept[40:]) > 2 * np.mean(kept[:16])


def test_it_goes_on_where_nothing_has_kept_the_constraints() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        _, cost = _objective(trial)
        trial.set_constraint("cost", cost + 1)
        raise optuna.TrialPruned

    study = _study(SurrogateSampler(seed=0, startup=4))
    study.optimize(objective, n_trials=30)
    costs = [trial.constraints["cost"] for trial in study.trials]
    assert np.mean(costs[15:]) < np.mean(costs[:15])
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 30


def test_failed_and_infinite_trials_do_no_harm() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        gain, cost = _objective(trial)
        if trial.number % 5 == 1:
            raise ValueError
        return (gain, float("inf")) if trial.number % 5 == 2 else (gain, cost)

    study = _study(SurrogateSampler(seed=0, startup=4))
    study.optimize(objective, n_trials=40, catch=(ValueError,))
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 40


def test_numbers_are_learned_too() -> None:
    study = optuna.create_study(sampler=SurrogateSampler(seed=0, startup=8))
    study.optimize(
        lambda t: (
            (t.suggest_float("x", -5, 5) - 2) ** 2 + (t.suggest_int("n", 1, 64, log=True) - 8) ** 2
        ),
        n_trials=60,
    )
    assert study.best_value < 0.5


def test_contract() -> None:
    check_sampler(lambda seed: by_name(seed=seed, startup=8))


def test_another_process_with_another_hash_seed_samples_the_same() -> None:
    code = (
        "import json, optuna, motemo\n"
        "from motemo.samplers.surrogate import SurrogateSampler\n"
        "optuna.logging.set_verbosity(optuna.logging.ERROR)\n"
        "space = motemo.NasBench201()\n"
        "def objective(trial):\n"
        "    genotype = space.suggest(trial).genotype\n"
        "    return float(genotype.count('3x3')), float(genotype.count('skip'))\n"
        "study = optuna.create_study(directions=['minimize', 'maximize'],\n"
        "    sampler=SurrogateSampler(seed=3, space=space))\n"
        "study.optimize(objective, n_trials=40)\n"
        "print(json.dumps([t.params for t in study.trials]))\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"))
    ]
    assert json.loads(told[0]) == json.loads(told[1])


def test_startup_below_one_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 1"):
        by_name(startup=0)
