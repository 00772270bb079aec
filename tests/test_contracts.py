"""Everything that is registered keeps its contract, and the checks catch what does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import onnxruntime
import optuna
import pytest
import torch
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from torch import nn

from motemo.data.digits import load_digits
from motemo.data.pipeline import take
from motemo.device import Device, Timing, TimingProtocol
from motemo.errors import DeviceError, GenotypeError
from motemo.hardware.cost_samples import CostSample
from motemo.hardware.lookup import LookupTable
from motemo.objective import (
    Direction,
    Failure,
    Measurement,
    Objective,
    Outcome,
    Stage,
    evaluate_each,
)
from motemo.options import with_option
from motemo.registry import DEVICES, OBJECTIVES, SAMPLERS, SPACES, Registry
from motemo.samplers.per_trial_seed import PerTrialSeed
from motemo.space import Architecture, Choice, Gene, Json, Shape
from motemo.spaces.function import FunctionSpace
from motemo.spaces.nasbench201 import NasBench201
from motemo.testing import check_device, check_objective, check_sampler, check_space

GENOTYPES = (
    "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
    "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|none~0|nor_conv_1x1~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
)
ARCHITECTURES = [NasBench201(cells=1).architecture(genotype).canonical for genotype in GENOTYPES]
QUICK: Mapping[tuple[str, ...], object] = {
    ("reference_size",): 3,
    ("recipe", "epochs"): 2,
    ("recipe", "landscape_intervals"): 2,
    ("protocol", "max_runs"): 10,
    ("protocol", "min_runs"): 10,
    ("protocol", "warmup_ms"): 0.0,
    ("block_seconds",): 0.02,
}
SLOW_TRIALS = {"gp": 14}
"""Fewer trials for samplers that take long; more than they sample at random."""


EXPERIMENTAL = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def names(registry: Registry) -> list[str]:
    """Return the registered names."""
    return [entry.name for entry in registry]


@pytest.fixture(scope="module")
def latency_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the file of a model of a made-up device."""
    space = NasBench201(cells=1)
    drawn = (space.sample(np.random.default_rng(seed)) for seed in range(40))
    valid = [cell.genotype for cell in drawn if cell.invalid_reason is None]
    samples = [CostSample(genotype, 1.0 + len(genotype)) for genotype in valid[:8]]
    table = LookupTable.fit(samples, space=space, objective={}, input_shape=(3, 32, 32), classes=10)
    path = tmp_path_factory.mktemp("model") / "model.json"
    table.write(path)
    return str(path)


def created_objective(name: str, latency_model: str) -> Objective:
    """Create a registered objective, with all it may need, so that it costs little."""
    data = take(load_digits(), classes=2, images_per_class=16)
    device = DEVICES.create("cpu")
    objective: Objective = OBJECTIVES.create(
        name, offered={"data": data, "device": device, "model": latency_model}
    )
    for path, value in QUICK.items():
        if has_field(objective, path):
            objective = with_option(objective, path, value, shown=".".join(path))
    return objective


def has_field(value: Any, path: Sequence[str]) -> bool:
    own = {f.name for f in fields(value) if f.init}
    name, *rest = path
    return name in own and (not rest or has_field(getattr(value, name), rest))


# What is registered


@pytest.mark.parametrize("name", names(SPACES))
def test_space(name: str) -> None:
    check_space(SPACES.create(name))


@pytest.mark.parametrize("name", names(OBJECTIVES))
def test_objective(name: str, latency_model: str) -> None:
    try:
        check_objective(created_objective(name, latency_model), ARCHITECTURES)
    except DeviceError as error:
        if name not in ("energy_mj", "measured_memory_mb"):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("name", names(DEVICES))
def test_device(name: str) -> None:
    try:
        check_device(DEVICES.create(name))
    except DeviceError as error:
        if name == "cpu":
            raise
        pytest.skip(str(error))


@EXPERIMENTAL
@pytest.mark.parametrize("name", names(SAMPLERS))
def test_sampler(name: str) -> None:
    check_sampler(
        lambda seed: SAMPLERS.create(name, offered={"seed": seed}),
        trials=SLOW_TRIALS.get(name, 40),
    )


@pytest.mark.parametrize(
    "name",
    ["motemo", "nsga2", "nsga3", "pymoo_nsga2", "mote_nas", "tpe", "gp", "random"],
)
def test_sampler_does_not_warn(name: str) -> None:
    study = optuna.create_study(sampler=SAMPLERS.create(name))
    study.ask().suggest_float("x", 0, 1)


# What is not


def linear(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(int(np.prod(shape)), int(values["width"])),
        nn.ReLU(),
        nn.Linear(int(values["width"]), classes),
    )


GENES = (Gene("width", (2, 3, 5)), Gene("unused", (False, True)))
MADE = FunctionSpace(name="made", genes=GENES[:1], build_network=linear)


def test_space_of_a_function() -> None:
    check_space(MADE)


def test_space_of_a_function_refuses_a_list() -> None:
    with pytest.raises(GenotypeError):
        MADE.architecture('{"width":[2]}')


def test_space_with_two_keys_for_one_network() -> None:
    with pytest.raises(AssertionError, match="different keys with one reduced network"):
        check_space(replace(MADE, genes=GENES))


def test_space_whose_reduced_networks_differ_by_unused_layers_alone() -> None:
    def build(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        for _ in range(int(values["width"])):
            nn.Linear(2, 2)  # draws weights
        return linear({"width": 2}, shape, classes)

    with pytest.raises(AssertionError, match="given the same weights, they compute the same"):
        check_space(replace(MADE, build_reduced_network=build), samples=2)


def test_space_with_two_keys_that_differ_in_what_is_rare() -> None:
    rare = Gene("unused", (1, 2, 3, 4), active_if={"width": 4})
    space = replace(MADE, genes=(Gene("width", tuple(range(2, 10))), rare))
    with pytest.raises(AssertionError, match=r'"unused":.* different keys with one reduced'):
        check_space(space, samples=8)


def test_space_that_depends_on_the_global_generator() -> None:
    def build(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        network = linear(values, shape, classes)
        with torch.no_grad():
            network.get_parameter("1.weight").fill_(np.random.default_rng().random())
        return network

    with pytest.raises(AssertionError, match="equal weights for equal seeds"):
        check_space(replace(MADE, build_network=build))


def test_space_that_ignores_the_classes() -> None:
    def build(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        return linear(values, shape, 11)

    with pytest.raises(AssertionError, match=r"to logits \(N, 2\); got \(2, 11\)"):
        check_space(replace(MADE, build_network=build))


def test_space_without_valid_architectures() -> None:
    with pytest.raises(AssertionError, match="fewer than 3 are valid"):
        check_space(replace(MADE, invalid=lambda values: "no"), samples=3)


def test_space_whose_identity_is_not_json() -> None:
    @dataclass(frozen=True)
    class Odd(NasBench201):
        def identity(self) -> dict[str, Json]:
            return {"name": self.name, "channels": (16,)}  # type: ignore[dict-item]

    with pytest.raises(AssertionError, match="must come back from JSON as it was"):
        check_space(Odd(cells=1), samples=1)


def test_space_whose_identity_lacks_an_option() -> None:
    @dataclass(frozen=True)
    class Forgetful(NasBench201):
        def identity(self) -> dict[str, Json]:
            return {"name": self.name}

    with pytest.raises(AssertionError, match="must create the space anew"):
        check_space(Forgetful(cells=1), samples=1)


def test_space_that_reads_anything() -> None:
    @dataclass(frozen=True)
    class Lax(NasBench201):
        def read(self, genotype: str) -> dict[str, Choice]:
            return super().read(genotype.strip("\0"))

    with pytest.raises(AssertionError, match="must raise GenotypeError; it accepts it"):
        check_space(Lax(cells=1), samples=1)


def test_space_that_is_not_frozen() -> None:
    class Thawed(NasBench201):
        pass

    Thawed.__dataclass_params__ = None  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="Thawed must be a frozen dataclass"):
        check_space(Thawed())


@dataclass(frozen=True, kw_only=True)
class Length(Objective):
    """The length of the genotype, with faults on demand."""

    name: str = "length"
    unit: str = "characters"
    direction: Direction = Direction.MINIMIZE
    stage: Stage = Stage.COUNT
    fault: str = ""
    calls: list[int] = field(default_factory=list)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        self.calls.append(len(architectures))
        measure = partial(self._measure, batch=len(architectures))
        if self.fault == "raises":
            return [measure(architecture) for architecture in architectures]
        outcomes = evaluate_each(architectures, measure)
        return outcomes[:1] if self.fault == "drops" else outcomes

    def _measure(self, architecture: Architecture, *, batch: int) -> Outcome:
        architecture.build(classes=2)
        length = float(len(architecture.genotype))
        match self.fault:
            case "fails":
                return Failure("no reason")
            case "batch":
                length += batch
            case "order":
                length += len(self.calls)
            case "unit":
                return Measurement.exact(length, "m")
            case "nan":
                return Measurement.exact(float("nan"), self.unit)
            case "spread":
                return Measurement(value=length, unit=self.unit, low=length + 1, high=length + 2)
            case "record":
                record: Any = {"length": np.float32(length)}
                return Measurement.exact(length, self.unit, record)
        return Measurement.exact(length, self.unit)

    def identity(self) -> dict[str, Json]:
        return {"calls": len(self.calls)} if self.fault == "identity" else {}


def test_objective_of_ones_own() -> None:
    check_objective(Length(), ARCHITECTURES)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", "must become its Failure"),
        ("drops", "must give as many outcomes"),
        ("fails", "must be measured; got Failure"),
        ("batch", "independent of the batch"),
        ("order", "needs a spread"),
        ("unit", "unit must be the objective's"),
        ("nan", "be finite"),
        ("spread", "low <= value <= high"),
        ("record", "record must be JSON-able"),
        ("identity", "identity must not change"),
    ],
)
def test_objective_with_a_fault(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_objective(Length(fault=fault), ARCHITECTURES)


def test_objective_without_a_direction() -> None:
    with pytest.raises(AssertionError, match="`direction` must be a Direction; got 'up'"):
        check_objective(Length(direction="up"), ARCHITECTURES)  # type: ignore[arg-type]


def test_objective_without_a_name() -> None:
    with pytest.raises(AssertionError, match="needs a name"):
        check_objective(Length(name=""), ARCHITECTURES)


def test_objective_of_one_architecture() -> None:
    with pytest.raises(AssertionError, match="at least two"):
        check_objective(Length(), ARCHITECTURES[:1])


def test_space_with_an_operator_that_nobody_counts() -> None:
    class Erf(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erf(x)

    def build(values: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        return nn.Sequential(Erf(), linear(values, shape, classes))

    with pytest.raises(AssertionError, match=r"cannot be counted: \{'aten::erf': 1\}"):
        check_space(replace(MADE, build_network=build), samples=1)


@dataclass(frozen=True)
class Clock(Device):
    """A device that times nothing, with faults on demand."""

    name: str = "clock"
    ms: float = 1.0
    surplus: int = 0
    cpu_runs: int = 0

    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        network.eval()(torch.zeros(1, *input_shape))
        runs = protocol.max_runs + self.surplus
        return Timing(wall_ms=(self.ms,) * runs, cpu_ms=(self.ms,) * self.cpu_runs)

    def identity(self) -> dict[str, Json]:
        return {"name": self.name}


def test_device_of_ones_own() -> None:
    check_device(Clock())


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (Clock(ms=0.0), "must be positive"),
        (Clock(surplus=1), "max_runs=20 must hold; got 21"),
        (Clock(surplus=-1), "min_runs=20 and"),
        (Clock(cpu_runs=3), "a CPU time for each run or for none"),
        (Clock(name=""), "needs a name"),
    ],
)
def test_device_with_a_fault(device: Device, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_device(device)


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda seed: RandomSampler(), "Two studies with one seed"),
        (lambda seed: RandomSampler(seed=0), "different seeds must hold different trials"),
        (lambda seed: RandomSampler(seed=seed), "opened anew after every batch"),
    ],
)
def test_sampler_with_a_fault(create: Callable[[int], BaseSampler], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(create, trials=8)


# Optuna's own cases, with each of its samplers made to draw anew for every decision


def per_trial(create: Callable[..., BaseSampler], **options: Any) -> Callable[[], BaseSampler]:
    return lambda: PerTrialSeed(lambda seed: create(seed=seed, **options), 0)


SMALL = {"population_size": 4}
GENETIC = [
    pytest.param(per_trial(NSGAIISampler, **SMALL), id="nsga2"),
    pytest.param(per_trial(NSGAIIISampler, **SMALL), id="nsga3"),
]
OTHERS = [
    pytest.param(per_trial(TPESampler), id="tpe"),
    pytest.param(per_trial(RandomSampler), id="random"),
]
TPE = per_trial(TPESampler, n_startup_trials=0, multivariate=True)
GP = per_trial(GPSampler, n_startup_trials=0, deterministic_objective=True)


@EXPERIMENTAL
@pytest.mark.parametrize("sampler", [*GENETIC, *OTHERS])
class TestBasic(BasicSamplerTestCase):
    pass


@EXPERIMENTAL
@pytest.mark.parametrize("sampler", [*GENETIC, *OTHERS])
class TestMultiObjective(MultiObjectiveSamplerTestCase):
    pass


@EXPERIMENTAL
@pytest.mark.parametrize("sampler", [pytest.param(TPE, id="tpe")])
class TestRelative(RelativeSamplerTestCase):
    pass


@EXPERIMENTAL
@pytest.mark.parametrize("sampler", [pytest.param(GP, id="gp")])
class TestRelativeOfModels:
    """The case that concerns genes alone: every decision fits the model anew, in seconds."""

    test_sample_relative_categorical = RelativeSamplerTestCase.test_sample_relative_categorical


def test_no_generator_to_reseed() -> None:
    sampler = SAMPLERS.create("random")
    study = optuna.create_study(sampler=sampler)
    before = study.ask().suggest_float("x", 0, 1)
    again = optuna.create_study(sampler=sampler)
    sampler.reseed_rng()
    assert again.ask().suggest_float("x", 0, 1) == before


def test_cuda_is_refused_where_there_is_none() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is one")
    with pytest.raises(DeviceError, match="no CUDAExecutionProvider"):
        check_device(DEVICES.create("cuda"))
