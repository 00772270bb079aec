"""Contract checks for spaces, objectives, devices and samplers of one's own.

Each check raises AssertionError, saying what broke the contract. It is a plain function:

    from motemo.testing import check_space


    def test_my_space() -> None:
        check_space(MySpace())
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import torch
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage
from torch import nn

from motemo.counting import count_operators
from motemo.device import Device, TimingProtocol
from motemo.errors import GenotypeError, SettingsError, UnknownNameError
from motemo.objective import (
    EPOCH_LOSSES,
    Direction,
    Failure,
    Measurement,
    Objective,
    Outcome,
    Skipped,
    Stage,
    Watchable,
)
from motemo.onnx.graph import build_onnx
from motemo.onnx.session import example_images, open_session
from motemo.registry import SPACES
from motemo.seeds import seeded_torch
from motemo.space import Architecture, Choice, Gene, Json, Shape, Space
from motemo.spaces.by_name import default_objectives

_SHAPES: tuple[tuple[Shape, int], ...] = (((1, 8, 8), 2), ((3, 9, 7), 5), ((3, 16, 16), 10))
_NETWORKS = 3
_BATCH = 2
_ONNX_TOLERANCE = 1e-4
_DRAWS_PER_SAMPLE = 100
_NEIGHBOURS = 12


def _require(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _require_frozen_dataclass(value: object) -> None:
    parameters: Any = getattr(type(value), "__dataclass_params__", None)
    frozen = parameters is not None and parameters.frozen
    _require(frozen, f"{type(value).__name__} must be a frozen dataclass.")


def _require_json(value: object, what: str) -> None:
    """Raise unless a value is made of plain JSON types and comes back equal."""
    try:
        again = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} must be JSON-able: {error}; got {value!r}.") from error
    _require(again == value, f"{what} must come back from JSON as it was; got {value!r}.")


def _require_identity(named: Space | Objective | Device) -> None:
    what = f"The identity of {type(named).__name__}"
    _require_json(named.identity(), what)
    _require(named.identity() == named.identity(), f"{what} must be the same at each call.")


# Spaces


def check_space(space: Space, *, samples: int = 12, seed: int = 0) -> None:
    """Check the contract of `Space` on random architectures.

    Networks are built, counted, exported and run at a few small input shapes, odd ones included.

    Args:
        space: The space.
        samples: How many valid architectures to draw.
        seed: Seed of the draw.

    Raises:
        AssertionError: The space breaks the contract.
    """
    _require_frozen_dataclass(space)
    drawn = _draw(space, samples, seed)
    for architecture in drawn:
        _check_written_form(architecture)
        _check_canonical(architecture)
        _check_neighbours(architecture)
        _check_active(architecture)
        _check_malformed(architecture)
        _check_suggest(architecture)
    _check_suggested(space, seed)
    valid = [a.canonical for a in drawn if a.invalid_reason is None]
    for architecture in valid[:_NETWORKS]:
        for shape, classes in _SHAPES:
            _check_network(architecture, "build", shape, classes)
            _check_network(architecture, "build_reduced", shape, classes)
    _check_distinct([*valid, *_near(space, valid, seed)])
    _check_estimate(space)
    _check_space_identity(space)


def _draw(space: Space, samples: int, seed: int) -> list[Architecture]:
    """Draw until enough valid architectures are among the drawn."""
    rng = np.random.default_rng(seed)
    drawn: list[Architecture] = []
    for _ in range(samples * _DRAWS_PER_SAMPLE):
        drawn.append(space.sample(rng))
        if sum(a.invalid_reason is None for a in drawn) == samples:
            return drawn
    raise AssertionError(
        f"Of {len(drawn)} random architectures, fewer than {samples} are valid. Say with "
        "`invalid_reason` only what cannot work."
    )


def _check_written_form(architecture: Architecture) -> None:
    space, genotype = architecture.space, architecture.genotype
    values = space.read(genotype)
    _require(
        [*values] == [gene.name for gene in space.genes],
        f"read({genotype!r}) must give every gene, in order; got {values!r}.",
    )
    for gene in space.genes:
        _require(
            any(
                values[gene.name] is choice or values[gene.name] == choice
                for choice in gene.choices
            ),
            f"read({genotype!r}) gives {values[gene.name]!r}, no choice of {gene.name!r}.",
        )
    written = space.write(values)
    _require(written == genotype, f"write(read({genotype!r})) must give it back; got {written!r}.")


def _check_canonical(architecture: Architecture) -> None:
    genotype, canonical = architecture.genotype, architecture.canonical
    _require(
        canonical.key == architecture.key == canonical.genotype,
        f"The canonical form of {genotype!r}, {canonical.genotype!r}, must be its own; "
        f"got {canonical.key!r}.",
    )
    _require(
        (canonical.invalid_reason is None) == (architecture.invalid_reason is None),
        f"{genotype!r} and its canonical form {canonical.genotype!r} must both be valid or both "
        f"not be; reasons: {architecture.invalid_reason!r} and {canonical.invalid_reason!r}.",
    )
    reason = architecture.invalid_reason
    _require(reason is None or reason.strip(), f"Say why {genotype!r} is invalid.")


def _check_neighbours(architecture: Architecture) -> None:
    space = architecture.space
    values = space.read(architecture.genotype)
    active = space.active(values)
    neighbours = list(space.neighbours(architecture))
    expected = sum(len(gene.choices) - 1 for gene in space.genes if gene.name in active)
    _require(
        len({n.genotype for n in neighbours}) == len(neighbours) == expected,
        f"{architecture.genotype!r} must have {expected} neighbours; got {len(neighbours)}.",
    )
    for neighbour in neighbours:
        other = space.read(neighbour.genotype)
        both = {*active} & {*space.active(other)}
        changed = [name for name in both if other[name] != values[name]]
        _require(
            len(changed) == 1,
            f"{neighbour.genotype!r} must differ from {architecture.genotype!r} in one gene; "
            f"of those that both have, it differs in {changed!r}.",
        )


def _check_active(architecture: Architecture) -> None:
    """Genes that are not active must not make a difference."""
    space = architecture.space
    values = space.read(architecture.genotype)
    active = space.active(values)
    for gene in space.genes:
        if gene.name in active:
            continue
        for choice in gene.choices:
            written = space.write({**values, gene.name: choice})
            _require(
                written == architecture.genotype,
                f"{gene.name!r} is not active in {architecture.genotype!r}; yet with the value "
                f"{choice!r} it is {written!r}.",
            )


def _check_malformed(architecture: Architecture) -> None:
    """Give what cannot be a genotype, and what may be one that is written in another way."""
    space, genotype = architecture.space, architecture.genotype
    for malformed in ("", "\0", f"{genotype}\0", f"\0{genotype}"):
        _require(
            not _accepted(space, malformed),
            f"read({malformed!r}) must raise GenotypeError; it accepts it.",
        )
    middle = len(genotype) // 2
    for other in (genotype[1:], genotype[:-1], genotype[:middle], genotype + genotype):
        if _accepted(space, other):
            values = space.read(other)
            _require(
                space.read(space.write(values)) == values,
                f"read({other!r}) gives {values!r}, which cannot be written and read again.",
            )


def _accepted(space: Space, genotype: str) -> bool:
    try:
        space.architecture(genotype)
    except GenotypeError:
        return False
    except Exception as error:
        raise AssertionError(
            f"read({genotype!r}) must raise GenotypeError; it raises {error!r}."
        ) from error
    return True


def _check_suggest(architecture: Architecture) -> None:
    space = architecture.space
    trial = optuna.trial.FixedTrial(dict(space.read(architecture.genotype)))
    suggested = space.suggest(trial)
    _require(
        suggested == architecture,
        f"A trial with the genes of {architecture.genotype!r} must suggest it; "
        f"got {suggested.genotype!r}.",
    )


def _check_suggested(space: Space, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    suggested = space.suggest(trial)
    values = space.read(suggested.genotype)
    _require(
        trial.params.keys() == values.keys()
        and all(trial.params[name] == values[name] for name in space.active(values)),
        f"suggest must stay in the space; the trial has {trial.params!r}, the architecture is "
        f"{suggested.genotype!r}.",
    )


def _check_network(architecture: Architecture, method: str, shape: Shape, classes: int) -> None:
    what = f"{method}({architecture.genotype!r}, input_shape={shape}, classes={classes})"
    state = torch.get_rng_state()
    network = _built(architecture, method, shape, classes, seed=1)
    same = _built(architecture, method, shape, classes, seed=1)
    other = _built(architecture, method, shape, classes, seed=2)
    _require(
        torch.equal(state, torch.get_rng_state()),
        f"{what} must leave torch's global generator as it was.",
    )
    _require(_equal_weights(network, same), f"{what} must give equal weights for equal seeds.")
    _require(
        not any(True for _ in network.parameters()) or not _equal_weights(network, other),
        f"{what} must give other weights for another seed.",
    )
    images = torch.from_numpy(example_images(shape, batch=_BATCH))
    with seeded_torch(0), torch.no_grad():
        network.train()(images)  # so that running statistics are not the initial ones
        logits = network.eval()(images)
    _require(
        logits.shape == (_BATCH, classes),
        f"{what} must map images (N, C, H, W) to logits (N, {classes}); got "
        f"{tuple(logits.shape)} for N = {_BATCH}.",
    )
    _require(bool(logits.isfinite().all()), f"{what} must give finite logits.")
    _check_onnx(network, shape, logits, what)
    if shape == _SHAPES[0][0]:
        uncounted = count_operators(network, shape).uncounted
        _require(not uncounted, f"{what} has operators that cannot be counted: {uncounted}.")


def _built(
    architecture: Architecture, method: str, shape: Shape, classes: int, *, seed: int
) -> nn.Module:
    build = architecture.build if method == "build" else architecture.build_reduced
    return build(input_shape=shape, classes=classes, seed=seed)


def _equal_weights(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _check_onnx(network: nn.Module, shape: Shape, logits: torch.Tensor, what: str) -> None:
    run = open_session(build_onnx(network, shape, batch=_BATCH))
    onnx_logits = run(example_images(shape, batch=_BATCH))
    _require(
        onnx_logits.shape == tuple(logits.shape),
        f"{what} as ONNX gives shape {onnx_logits.shape}, not {tuple(logits.shape)}.",
    )
    error = float(np.abs(onnx_logits - logits.numpy()).max())
    _require(
        error <= _ONNX_TOLERANCE * (1 + float(logits.abs().max())),
        f"{what} as ONNX differs from torch by up to {error:.3g}.",
    )


def _check_distinct(architectures: Sequence[Architecture]) -> None:
    """Two keys must not stand for networks that compute the same with the same weights."""
    shape, classes = _SHAPES[-1]
    images = torch.from_numpy(example_images(shape, batch=_BATCH))
    seen: dict[tuple[object, ...], Architecture] = {}
    for architecture in {a.key: a for a in architectures}.values():
        network = architecture.build_reduced(input_shape=shape, classes=classes)
        with seeded_torch(0), torch.no_grad():
            _draw_weights(network)
            outputs = [network.train()(images), network.eval()(images)]
        weights = tuple(tuple(weight.shape) for weight in network.parameters())
        twin = seen.setdefault((weights, *(out.numpy().tobytes() for out in outputs)), architecture)
        _require(
            twin is architecture,
            f"{twin.key!r} and {architecture.key!r} are different keys with one reduced network: "
            "given the same weights, they compute the same.",
        )


def _draw_weights(network: nn.Module) -> None:
    """Draw weights anew: a builder may have drawn others for layers that it does not use."""
    for weight in network.parameters():
        if weight.dim() < 2:
            nn.init.uniform_(weight, 0.5, 1.5)
        else:
            nn.init.kaiming_normal_(weight)


def _near(space: Space, architectures: Sequence[Architecture], seed: int) -> list[Architecture]:
    """Return valid neighbours, each by another gene: those first that are seldom active."""
    rng = np.random.default_rng(seed)
    having: dict[str, list[Architecture]] = {}
    for architecture in architectures:
        for name in space.active(space.read(architecture.genotype)):
            having.setdefault(name, []).append(architecture)
    near = []
    for gene in sorted(space.genes, key=lambda gene: len(having.get(gene.name, ()))):
        if gene.name in having and len(gene.choices) > 1:
            values = space.read(having[gene.name][0].genotype)
            others = [choice for choice in gene.choices if choice != values[gene.name]]
            other = others[int(rng.integers(len(others)))]
            near.append(space.architecture(space.write({**values, gene.name: other})))
    return [a.canonical for a in near[:_NEIGHBOURS] if a.invalid_reason is None]


def _check_estimate(space: Space) -> None:
    try:
        default_objectives(space)
    except SettingsError as error:
        raise AssertionError(str(error)) from error


def _check_space_identity(space: Space) -> None:
    _require_identity(space)
    identity = space.identity()
    _require(
        identity.get("name") == space.name,
        f"The identity must hold the name {space.name!r}; got {identity!r}.",
    )
    try:
        SPACES.entry(space.name)
    except UnknownNameError:
        return
    options = {key: value for key, value in identity.items() if key != "name"}
    rebuilt = SPACES.create(space.name, options=options)
    _require(
        rebuilt == space, f"The identity {identity!r} must create the space anew; got {rebuilt!r}."
    )


# Objectives


def check_objective(objective: Objective, architectures: Sequence[Architecture]) -> None:
    """Check the contract of `Objective` on some valid architectures.

    Values whose spread is zero, as `Measurement.exact` makes them, must repeat exactly, whatever
    else is in the batch.

    Args:
        objective: The objective, set so that an evaluation is cheap.
        architectures: At least two that it can evaluate.

    Raises:
        AssertionError: The objective breaks the contract.
    """
    _require(len(architectures) > 1, "Give at least two architectures.")
    _require_frozen_dataclass(objective)
    for name, kind in (("name", str), ("unit", str), ("direction", Direction), ("stage", Stage)):
        value = getattr(objective, name)
        _require(isinstance(value, kind), f"`{name}` must be a {kind.__name__}; got {value!r}.")
    _require(objective.name, "An objective needs a name.")
    _require_identity(objective)
    identity = objective.identity()
    _require(objective.evaluate([]) == [], "An empty batch must give an empty list.")
    first = [_measured(objective, a) for a in architectures]
    for measurement in first:
        _check_measurement(measurement, objective)
    _check_repetition(objective, architectures, first)
    _check_failure(objective, architectures)
    if isinstance(objective, Watchable):
        _check_watching(objective, architectures[0], first[0])
    _require(objective.identity() == identity, "The identity must not change by evaluating.")


def _measured(objective: Objective, architecture: Architecture) -> Measurement:
    outcomes = objective.evaluate([architecture])
    _require(len(outcomes) == 1, f"One architecture must give one outcome; got {len(outcomes)}.")
    return _require_measurement(outcomes[0], architecture)


def _require_measurement(outcome: Outcome, architecture: Architecture) -> Measurement:
    if isinstance(outcome, Measurement):
        return outcome
    raise AssertionError(f"{architecture.genotype!r} must be measured; got {outcome!r}.")


def _check_measurement(measurement: Measurement, objective: Objective) -> None:
    low, value, high = measurement.low, measurement.value, measurement.high
    _require(
        measurement.unit == objective.unit,
        f"The unit must be the objective's, {objective.unit!r}; got {measurement.unit!r}.",
    )
    _require(
        all(math.isfinite(v) for v in (low, value, high)) and low <= value <= high,
        f"low <= value <= high must hold and be finite; got {low!r}, {value!r}, {high!r}.",
    )
    _require_json([low, value, high], "The value and its spread")
    _require_json(measurement.record, "The record")


def _check_repetition(
    objective: Objective, architectures: Sequence[Architecture], first: Sequence[Measurement]
) -> None:
    """Evaluate all at once, in reverse, and compare with what each gave alone."""
    outcomes = objective.evaluate(list(reversed(architectures)))
    _require(
        len(outcomes) == len(architectures),
        f"{len(architectures)} architectures must give as many outcomes; got {len(outcomes)}.",
    )
    for architecture, alone, outcome in zip(architectures, first, reversed(outcomes), strict=True):
        together = _require_measurement(outcome, architecture)
        _require(
            alone.low < alone.high or together.value == alone.value,
            f"{architecture.genotype!r} gives {alone.value!r} alone and {together.value!r} in a "
            "batch. Results must be in order and independent of the batch; a value that does not "
            "repeat exactly needs a spread.",
        )


@dataclass(frozen=True)
class _Unbuildable(Space):
    """A space like another one, none of whose networks can be built."""

    of: Space
    name: str
    genes: tuple[Gene, ...]

    def write(self, values: Mapping[str, Choice]) -> str:
        return self.of.write(values)

    def read(self, genotype: str) -> dict[str, Choice]:
        return self.of.read(genotype)

    def canonical(self, genotype: str) -> str:
        return self.of.canonical(genotype)

    def invalid_reason(self, genotype: str) -> str | None:
        return self.of.invalid_reason(genotype)

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        raise RuntimeError("this network cannot be built")

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        raise RuntimeError("this network cannot be built")

    def identity(self) -> dict[str, Json]:
        return self.of.identity()


def _check_failure(objective: Objective, architectures: Sequence[Architecture]) -> None:
    """Put an architecture whose network raises between two others.

    An objective that builds no network, such as a table, may measure it all the same.
    """
    before, after = architectures[:2]
    space = before.space
    broken = Architecture(_Unbuildable(space, space.name, space.genes), before.genotype)
    try:
        outcomes = objective.evaluate([before, broken, after])
    except Exception as error:
        raise AssertionError(
            f"What one architecture raises must become its Failure; got {error!r}."
        ) from error
    _require_measurement(outcomes[0], before)
    _require_measurement(outcomes[2], after)
    if isinstance(outcomes[1], Failure | Skipped):
        _require(outcomes[1].reason.strip(), "A Failure or Skipped must say why.")


def _check_watching(
    objective: Watchable, architecture: Architecture, unwatched: Measurement
) -> None:
    """Watch a training to its end, and stop another one after its first epoch."""
    seen: list[list[Json]] = []

    def look_on(_architecture: Architecture, losses: Sequence[float]) -> None:
        seen.append([*losses])

    watched = _require_measurement(
        objective.evaluate_watched([architecture], look_on)[0], architecture
    )
    _require(
        unwatched.low < unwatched.high or watched.value == unwatched.value,
        f"A watched training must give the same value; got {watched.value!r}, and "
        f"{unwatched.value!r} where nobody watched.",
    )
    whole = watched.record.get(EPOCH_LOSSES)
    _require(
        isinstance(whole, list) and seen and seen == [whole[: len(losses)] for losses in seen],
        f"The watch must be shown what the record has under {EPOCH_LOSSES!r}, {whole!r}; "
        f"it was shown {seen!r}.",
    )
    [stopped] = objective.evaluate_watched([architecture], lambda _architecture, _losses: "enough")
    record = dict(stopped.record) if isinstance(stopped, Skipped) else {}
    _require(
        stopped == Skipped("enough", record, paid=True) and record.get(EPOCH_LOSSES) == seen[0],
        "A training that is stopped must be Skipped and paid, for the reason given and with the "
        f"losses so far in its record; got {stopped!r}.",
    )
    _require_json(record, "The record of a stopped training")


# Devices


def check_device(device: Device, *, input_shape: Shape = (3, 8, 8)) -> None:
    """Check the contract of `Device` on a small network.

    Raises:
        AssertionError: The device breaks the contract.
        DeviceError: The device is not available here.
    """
    _require_frozen_dataclass(device)
    _require(
        isinstance(device.name, str) and device.name, f"A device needs a name; got {device.name!r}."
    )
    _require_identity(device)
    network = nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    _check_timing(device, network, input_shape, least=20, most=20)
    _check_timing(device, network, input_shape, least=1, most=7)


def _check_timing(
    device: Device, network: nn.Module, shape: Shape, *, least: int, most: int
) -> None:
    protocol = TimingProtocol(
        warmup_runs=1,
        warmup_ms=0,
        min_runs=least,
        max_runs=most,
        max_seconds=60,
        min_calm_share=0,  # a few runs on a busy machine: it is not the figure that is checked
        max_slowdown=math.inf,
        max_relative_width=math.inf,
    )
    timing = device.time(network, input_shape=shape, protocol=protocol)
    runs = len(timing.wall_ms)
    _require(
        all(math.isfinite(ms) and ms > 0 for ms in timing.wall_ms),
        f"Times must be positive; got {timing.wall_ms!r}.",
    )
    _require(
        least <= runs <= most,
        f"min_runs={least} and max_runs={most} must hold; got {runs} runs.",
    )
    _require(
        len(timing.cpu_ms) in (0, runs),
        f"There must be a CPU time for each run or for none; got {len(timing.cpu_ms)} of {runs}.",
    )


# Samplers


def check_sampler(
    create: Callable[[int], BaseSampler], *, trials: int = 40, batch_size: int = 4
) -> None:
    """Check that a sampler's trials depend on seed and history alone, with two objectives.

    A study that is opened anew after every batch, with a sampler anew, must go on like one that
    was never closed.

    Args:
        create: Makes the sampler from a seed.
        trials: How many trials to sample; more than one population, where there is one.
        batch_size: How many to ask for at once.

    Raises:
        AssertionError: The sampler breaks the contract.
    """
    one, same, other = (_sample(create, seed, trials, batch_size) for seed in (1, 1, 2))
    _require(len(one) == trials, f"{trials} trials were asked for; the study holds {len(one)}.")
    _require_same_trials(one, same, "Two studies with one seed")
    _require(one != other, "Studies with different seeds must hold different trials.")
    reopened = _sample(create, 1, trials, batch_size, reopen=True)
    _require_same_trials(one, reopened, "A study and one that is opened anew after every batch")


def _require_same_trials(
    one: Sequence[Mapping[str, object]], other: Sequence[Mapping[str, object]], what: str
) -> None:
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        _require(
            a == b,
            f"{what} must hold the same trials; trial {number} has {dict(a)} and {dict(b)}.",
        )


def _sample(
    create: Callable[[int], BaseSampler],
    seed: int,
    trials: int,
    batch_size: int,
    *,
    reopen: bool = False,
) -> list[dict[str, object]]:
    storage = InMemoryStorage()
    study = _open(storage, create(seed))
    while len(study.trials) < trials:
        if reopen:
            study = _open(storage, create(seed))
        batch = [study.ask() for _ in range(min(batch_size, trials - len(study.trials)))]
        for trial in batch:
            for gene in range(4):
                trial.suggest_categorical(f"gene_{gene}", ("a", "b", "c"))
        for trial in batch:
            study.tell(trial, _two_values(trial.params))
    return [trial.params for trial in study.trials]


def _open(storage: BaseStorage, sampler: BaseSampler) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        sampler=sampler,
        directions=["minimize", "maximize"],
        study_name="contract",
        load_if_exists=True,
    )


def _two_values(params: Mapping[str, object]) -> tuple[float, float]:
    """Return a cost and a gain that pull in different directions, with ties."""
    ranks = ["abc".index(str(value)) for _, value in sorted(params.items())]
    return float(sum(ranks)), float(ranks[0] * 2 + ranks[1] - ranks[2] ** 2)
