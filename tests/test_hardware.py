"""Counting, ONNX graphs, timing, latency."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from motemo.counting import OperatorCounts, count_operators, count_parameters
from motemo.device import Device, Timing, TimingProtocol
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.hardware.cores import pinned
from motemo.hardware.flops import Flops
from motemo.hardware.latency import Latency
from motemo.hardware.local_device import Load, Loaded, LocalDevice
from motemo.hardware.nominal import nominal_file, nominal_reference_ms
from motemo.hardware.onnx_runtime import OnnxRuntimeDevice, cpu
from motemo.hardware.params import Params
from motemo.hardware.spread import latency_interval, median_interval
from motemo.hardware.throughput import Throughput
from motemo.hardware.timing import time_runs
from motemo.objective import Failure, Measurement
from motemo.onnx import graph
from motemo.onnx.graph import build_onnx
from motemo.onnx.session import example_images, open_session
from motemo.space import Choice, Gene, Json, Shape
from motemo.spaces.function import FunctionSpace
from motemo.spaces.nasbench201 import NasBench201

COLOUR: Shape = (3, 9, 7)


class Calls(nn.Module):
    """A network that is one function of its input, with some modules to call."""

    def __init__(
        self, call: Callable[[Any, torch.Tensor], torch.Tensor], **modules: nn.Module
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(modules)
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.parts, x)


# Counting


def count(network: nn.Module, shape: Shape = COLOUR) -> OperatorCounts:
    return count_operators(network, shape)


def test_counting_a_convolution() -> None:
    counts = count(nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1, bias=False))
    assert counts.multiply_adds == {"conv": 5 * 4 * 8 * 3 * 9}
    assert counts.flops == 4320
    assert (counts.others, counts.uncounted) == ({}, {})


def test_counting_a_depthwise_convolution() -> None:
    counts = count(nn.Conv2d(3, 3, 3, groups=3, bias=False))
    assert counts.multiply_adds == {"conv": 7 * 5 * 3 * 9}


def test_counting_biases_apart() -> None:
    counts = count(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(8 * 63, 10)))
    linear = {k: v for k, v in counts.multiply_adds.items() if k in ("linear", "addmm")}
    assert sum(linear.values()) == 5040
    assert counts.multiply_adds["conv"] == 63 * 8 * 3
    assert counts.multiply_adds["bias"] == 63 * 8 + 10


def test_counting_attention() -> None:
    def attend(parts: Any, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2)  # 3 tokens of 63 numbers
        return F.scaled_dot_product_attention(tokens, tokens[:, :2], tokens[:, :2, :5])

    products = 3 * 2 * 63 + 3 * 2 * 5
    assert count(Calls(attend)).multiply_adds == {"attention": products}


def test_counting_lists_other_operators_apart() -> None:
    def call(parts: Any, x: torch.Tensor) -> torch.Tensor:
        pooled = F.avg_pool2d(x, 3, stride=1, padding=1)
        return F.relu(pooled + x) * F.max_pool2d(x, (3, 1), stride=1, padding=(1, 0))

    counts = count(Calls(call))
    size = 3 * 63
    assert counts.flops == 0
    assert counts.others == {
        "avg_pool2d": 9 * size,
        "add": size,
        "relu": size,
        "max_pool2d": 3 * size,
        "mul": size,
    }


def test_counting_names_what_it_cannot_count() -> None:
    counts = count(Calls(lambda parts, x: torch.erf(torch.erf(x))))
    assert counts.uncounted == {"aten::erf": 2}


def test_counting_dead_branches() -> None:
    def call(parts: Any, x: torch.Tensor) -> torch.Tensor:
        parts["dead"](x)
        return x + 1

    network = Calls(call, dead=nn.Conv2d(3, 2, 1, bias=False))
    assert count(network).flops == 63 * 3 * 2


def test_counting_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network)
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_parameters_that_are_trained_count_once() -> None:
    shared = nn.Linear(4, 4, bias=False)
    frozen = nn.Linear(5, 5).requires_grad_(False)
    assert count_parameters(nn.Sequential(shared, shared, frozen, nn.BatchNorm2d(3))) == 22


# ONNX


def activation(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), layer, nn.Flatten())


def concatenate(parts: Any, x: torch.Tensor) -> torch.Tensor:
    a = parts["a"](x)
    return torch.flatten(torch.cat([a, F.relu(x), torch.relu(a) - 0.5], dim=1), 1)


def arithmetic(parts: Any, x: torch.Tensor) -> torch.Tensor:
    y = 2 * parts["a"](x) + 0.25
    y += x
    return (torch.mul(y, x) - torch.add(y, 1)).relu().flatten(1)


ZOO: dict[str, tuple[nn.Module, Shape]] = {
    "convolutions": (
        nn.Sequential(
            nn.Conv2d(3, 6, (3, 1), stride=(2, 1), padding=(1, 0), bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, dilation=2, padding=2, groups=3),
            nn.BatchNorm2d(6, affine=False),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(6, 4, bias=False),
        ),
        COLOUR,
    ),
    "concatenation": (Calls(concatenate, a=nn.Conv2d(3, 2, 1)), COLOUR),
    "arithmetic": (Calls(arithmetic, a=nn.Conv2d(3, 3, 1)), COLOUR),
    "identity": (nn.Sequential(nn.Identity(), nn.Flatten()), (1, 4, 4)),
}
ZOO |= {
    f"{kind.__name__} {padding} {ceil} {side}": (
        nn.Sequential(kind(3, stride=2, padding=padding, ceil_mode=ceil), nn.Flatten()),
        (3, side, side + 3),
    )
    for kind in (nn.AvgPool2d, nn.MaxPool2d)
    for padding in (0, 1)
    for ceil in (False, True)
    for side in (7, 8)
}
ZOO |= {
    type(layer).__name__: (activation(layer), COLOUR)
    for layer in (
        *(nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid(), nn.Tanh()),
        nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
    )
}


def difference(network: nn.Module, shape: Shape) -> float:
    """Return the largest difference between torch and ONNX Runtime, with trained statistics.

    As a share of the largest output, or of 1 if that is smaller.
    """
    images = torch.from_numpy(example_images(shape, batch=3)) * 8 - 4
    with torch.no_grad():
        network.train()(images)
        expected = network.eval()(images).numpy()
    found = open_session(build_onnx(network, shape, batch="N"))(images.numpy())
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


@pytest.fixture
def no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("torch's exporter was called")

    monkeypatch.setattr(graph, "_write_with_torch", refuse)


@pytest.mark.usefixtures("no_fallback")
@pytest.mark.parametrize("name", ZOO)
def test_graph_written_directly_equals_torch(name: str) -> None:
    assert difference(*ZOO[name]) < 1e-5


@pytest.mark.usefixtures("no_fallback")
def test_graph_of_a_cell_space() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        architecture = NasBench201(channels=4, cells=1).sample(rng)
        for network in (architecture.build(), architecture.build_reduced()):
            assert difference(network, (3, 11, 9)) < 1e-4


def relu_in_place(parts: Any, x: torch.Tensor) -> torch.Tensor:
    a = parts["a"](x)
    return torch.flatten(parts["relu"](a) + a, 1)


def add_in_place(parts: Any, x: torch.Tensor) -> torch.Tensor:
    a = b = parts["a"](x)
    b += x
    return torch.flatten(a * b, 1)


def named_axis(parts: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(torch.cat([x, x], axis=1), 1)  # type: ignore[call-overload]


def named_tensors(parts: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(torch.cat(tensors=[x, x], dim=1), 1)


def linear_of_columns(parts: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(parts["linear"](x), 1)


def flatten_first(parts: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(x, end_dim=1)


def flatten_by_name(parts: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(x, end_dim=-1, start_dim=1)


def unknown_operator(parts: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.flatten(torch.erf(parts["a"](x)), 1)


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(Calls(unknown_operator, a=nn.Conv2d(3, 2, 1)), id="unknown operator"),
        pytest.param(Calls(flatten_by_name), id="flatten by name"),
        pytest.param(
            Calls(relu_in_place, a=nn.Conv2d(3, 2, 1), relu=nn.ReLU(inplace=True)),
            id="relu in place",
        ),
        pytest.param(Calls(add_in_place, a=nn.Conv2d(3, 3, 1)), id="add in place"),
        pytest.param(Calls(flatten_first), id="flatten up to a dimension"),
        pytest.param(Calls(named_axis), id="concatenation by axis"),
        pytest.param(Calls(named_tensors), id="concatenation by name"),
        pytest.param(Calls(linear_of_columns, linear=nn.Linear(7, 2)), id="linear of columns"),
    ],
)
def test_other_networks_go_through_torch(network: nn.Module) -> None:
    assert difference(network, COLOUR) < 1e-5


def test_failing_export_is_an_evaluation_error() -> None:
    def fail(parts: Any, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not this one")

    with pytest.raises(EvaluationError, match="ONNX export failed: "):
        build_onnx(Calls(fail), COLOUR)


def test_refused_model_is_an_evaluation_error() -> None:
    with pytest.raises(EvaluationError, match="ONNX Runtime cannot load the model"):
        open_session(onnx.ModelProto())


def test_graph_has_names_metadata_and_a_batch() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    model = build_onnx(network, (1, 3, 3), batch="N", metadata={"genotype": "g"})
    onnx.checker.check_model(model)
    assert {p.key: p.value for p in model.metadata_props} == {"genotype": "g"}
    (images,), (logits,) = model.graph.input, model.graph.output
    assert (images.name, logits.name) == ("images", "logits")
    assert [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim] == ["N", 1, 3, 3]
    fixed = build_onnx(network, (1, 3, 3))
    assert fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_graph_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    network[2].eval()
    build_onnx(network, COLOUR)
    assert [module.training for module in network.modules()] == [True, True, True, False]


def test_missing_provider() -> None:
    model = build_onnx(nn.Flatten(), (1, 2, 2))
    with pytest.raises(DeviceError, match=r"no XyzzyExecutionProvider\. Available: .*CPU"):
        open_session(model, provider="XyzzyExecutionProvider")


# Timing


def test_median_interval() -> None:
    assert median_interval([3.0]) == (3, 3, 3)
    assert median_interval([4.0, 1.0, 3.0, 2.0]) == (1, 2.5, 4)
    assert median_interval([*map(float, range(101))]) == (39, 50, 61)


@pytest.mark.parametrize("n", [10, 30, 101])
def test_median_interval_covers_the_median(n: int) -> None:
    rng = np.random.default_rng(n)
    intervals = np.array([median_interval(rng.exponential(size=n)) for _ in range(2000)])
    low, middle, high = intervals.T
    assert ((low <= middle) & (middle <= high)).all()
    covered = ((low <= np.log(2)) & (np.log(2) <= high)).mean()
    assert covered >= 0.95


class FakeClock:
    """A clock that goes on by itself while something runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> None:
        self.now, self.cpu, self.runs, self.seconds = 0.0, 0.0, 0, seconds
        monkeypatch.setattr("motemo.hardware.timing.time.perf_counter", lambda: self.now)
        monkeypatch.setattr("motemo.hardware.timing.time.thread_time", lambda: self.now / 2)

    def run(self) -> None:
        self.runs += 1
        self.now += self.seconds(self.runs)


def restless(run: int) -> float:
    return 0.001 * (1 + run % 7)


def protocol(**options: Any) -> TimingProtocol:
    return TimingProtocol(**{"warmup_runs": 2, "warmup_ms": 0.0, **options})


def test_timing_stops_when_precise(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = time_runs(FakeClock(monkeypatch, lambda run: 0.001).run, protocol(min_runs=30))
    assert timing.wall_ms == pytest.approx([1.0] * 30)
    assert timing.cpu_ms == pytest.approx([0.5] * 30)


def test_timing_stops_at_the_most_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = time_runs(FakeClock(monkeypatch, restless).run, protocol(max_runs=50, max_seconds=99))
    assert len(timing.wall_ms) == 50


def test_timing_stops_at_a_most_that_is_no_multiple_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = time_runs(FakeClock(monkeypatch, restless).run, protocol(max_runs=7, min_runs=1))
    assert len(timing.wall_ms) == 7


def test_timing_stops_when_late(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = time_runs(FakeClock(monkeypatch, restless).run, protocol(max_seconds=0.2))
    assert 0.2 <= sum(timing.wall_ms) / 1e3 < 0.3


@pytest.mark.parametrize(("options", "runs"), [({"warmup_ms": 9.5}, 10), ({"warmup_runs": 12}, 12)])
def test_warm_up(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], runs: int) -> None:
    clock = FakeClock(monkeypatch, lambda run: 0.001)
    timing = time_runs(clock.run, protocol(**options))
    assert clock.runs - len(timing.wall_ms) == runs


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_pinned_keeps_to_its_cores_and_restores_them() -> None:
    allowed = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), pinned(1):  # noqa: PT012
        assert len(os.sched_getaffinity(0)) == 1
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == allowed
    with pinned(len(allowed) + 1):
        assert os.sched_getaffinity(0) == allowed


# Latency

ANY = {"max_relative_width": float("inf")}
QUICK = TimingProtocol(warmup_runs=1, warmup_ms=0, min_runs=10, max_runs=20, loads=2, **ANY)
ARCHITECTURE = NasBench201(channels=2, cells=1).architecture(
    "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
)
SAMPLES = {"wall_ms", "cpu_ms", "reference_ms", "load"}
SAID = {"p95_ms", "images_per_second", "calm_share", "attempts", "relative"}
TOOK = {"nominal_reference_ms", "export_ms", "load_ms"}


def test_latency() -> None:
    latency = Latency(device=cpu(), input_shape=(1, 8, 8), classes=3, protocol=QUICK)
    (outcome,) = latency.evaluate([ARCHITECTURE])
    assert isinstance(outcome, Measurement)
    record: Mapping[str, Any] = outcome.record
    assert 10 <= len(record["wall_ms"]) <= 20
    assert 0 < outcome.low <= outcome.value <= outcome.high
    assert outcome.value <= record["p95_ms"]
    assert record["images_per_second"] == pytest.approx(1e3 / outcome.value)
    assert set(record["load"]) == {0, 1}
    assert record.keys() >= SAMPLES | SAID | TOOK
    assert {len(record[name]) for name in SAMPLES} == {len(record["wall_ms"])}


def test_latency_on_several_threads_has_no_cpu_time() -> None:
    (outcome,) = Latency(device=cpu(threads=2), protocol=QUICK).evaluate([ARCHITECTURE])
    assert isinstance(outcome, Measurement)
    assert outcome.record["cpu_ms"] == []
    assert outcome.record["calm_share"] == 1


@dataclass(frozen=True, kw_only=True)
class Elsewhere(Device):
    """A device that answers what it is told to."""

    timing: Timing
    batch: int = 1
    name: str = "elsewhere"

    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        return self.timing

    def identity(self) -> dict[str, Json]:
        return {}


def latency_of(timing: Timing, **options: Any) -> Measurement:
    latency = Latency(device=Elsewhere(timing=timing), protocol=TimingProtocol(**options))
    (outcome,) = latency.evaluate([ARCHITECTURE])
    assert isinstance(outcome, Measurement)
    return outcome


def test_interrupted_runs_do_not_count() -> None:
    timing = Timing(wall_ms=(2.0, 2.0, 9.0, 9.0, 9.0), cpu_ms=(1.9, 1.9, 1.9, 2.0, 2.1))
    assert latency_of(timing).value == 2.0
    assert latency_of(timing).record["calm_share"] == 0.4
    assert latency_of(timing, max_wall_per_cpu=float("inf")).value == 9.0
    every = Timing(wall_ms=(9.0, 9.0), cpu_ms=(1.0, 1.0))
    assert latency_of(every).value == 9.0


def test_throughput_is_that_of_the_batch() -> None:
    device = Elsewhere(timing=Timing(wall_ms=(2.0, 2.0)), batch=8)
    (outcome,) = Throughput(device=device).evaluate([ARCHITECTURE])
    assert isinstance(outcome, Measurement)
    assert outcome.value == pytest.approx(4000)
    assert 3900 < outcome.low < 4000 < outcome.high < 4100
    assert outcome.record["images_per_second"] == pytest.approx(4000)
    assert Throughput(device=device).identity() == Latency(device=device).identity()


def test_times_are_scaled_to_the_speed_at_first() -> None:
    timing = Timing(
        wall_ms=(2.0, 2.0, 3.0, 3.0), reference_ms=(0.5, 0.5, 0.75, 0.75), nominal_reference_ms=0.4
    )
    assert latency_of(timing).value == pytest.approx(1.6)
    half = np.sqrt(2) * 1.959964 * 0.005 * 1.6
    assert latency_of(timing).high == pytest.approx(1.6 + half), "of unseen drift alone"
    assert latency_of(timing, correct_drift=False).value == 2.5


def test_the_interval_is_that_of_the_loads() -> None:
    """Student's t with one degree of freedom: 12.706 x stdev(1, 2) / sqrt(2) x sqrt(2)."""
    timing = Timing(wall_ms=(1.0, 1.0, 2.0, 2.0), load=(0, 0, 1, 1))
    outcome = latency_of(timing, unseen_drift=0.0)
    half = 12.7062 * np.std([1, 2], ddof=1)
    assert (outcome.low, outcome.value) == pytest.approx((1.5 / (1 + half / 1.5), 1.5), rel=1e-4)
    assert outcome.high == pytest.approx(1.5 + half, rel=1e-4)


def test_the_interval_covers_a_repetition_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    protocol = TimingProtocol(unseen_drift=0.0)

    def measured() -> tuple[float, float, float]:
        placed = rng.normal(10, 0.2, size=5)  # what a load adds, and each run
        runs = rng.normal(placed[:, None], 0.1, size=(5, 20))
        load = tuple(number for number in range(5) for _ in range(20))
        return latency_interval(Timing(wall_ms=tuple(runs.ravel()), load=load), protocol)

    pairs = [(measured(), measured()) for _ in range(1000)]
    inside = np.mean([low <= again <= high for (low, _, high), (_, again, _) in pairs])
    assert 0.93 <= inside <= 0.98


def compute() -> None:
    sum(range(20_000))


@dataclass(frozen=True, eq=False)
class Restless(LocalDevice):
    """A device on which so many loads of a network have to wait for others; then it is calm."""

    disturbed: int
    loads: list[int] = field(default_factory=list)
    name: str = "restless"
    threads: int = 1

    def deploy(self, network: nn.Module, input_shape: Shape) -> Load:
        def load() -> Loaded:
            self.loads.append(1)
            waits = len(self.loads) <= self.disturbed
            run = partial(time.sleep, 0.001) if waits else compute
            return Loaded(run=run, on_calling_thread=True)

        return load

    def deploy_reference(self) -> Load:
        return lambda: Loaded(run=compute)

    def identity(self) -> dict[str, Json]:
        return {"name": self.name, "number": id(self)}


LENIENT = {
    "loads": 1,
    "min_runs": 10,
    "max_runs": 10,
    "max_wall_per_cpu": 5.0,
    "max_slowdown": 99.0,
    **ANY,
}


def test_a_busy_host_is_measured_again() -> None:
    latency = Latency(device=Restless(disturbed=2), protocol=TimingProtocol(**LENIENT))
    (outcome,) = latency.evaluate([ARCHITECTURE])
    assert isinstance(outcome, Measurement)
    assert outcome.record["attempts"] == 3
    assert outcome.value < 1


def test_a_host_that_stays_busy_is_refused() -> None:
    protocol = TimingProtocol(patience_seconds=0.1, **LENIENT)
    (outcome,) = Latency(device=Restless(disturbed=99), protocol=protocol).evaluate([ARCHITECTURE])
    assert isinstance(outcome, Failure)
    assert "too busy for a figure: only 0 of 10 runs were not interrupted" in outcome.reason
    assert "protocol.patience_seconds" in outcome.reason


def test_a_device_that_became_slow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Restless(disturbed=0)
    monkeypatch.setattr("motemo.hardware.local_device.nominal_reference_ms", lambda *_: 1e-6)
    protocol = TimingProtocol(patience_seconds=0.1, loads=1, min_runs=10, max_runs=10, **ANY)
    (outcome,) = Latency(device=device, protocol=protocol).evaluate([ARCHITECTURE])
    assert isinstance(outcome, Failure)
    assert "times as long as when the device was first used (at most 2)" in outcome.reason


def test_a_median_that_nobody_knows_is_refused() -> None:
    protocol = TimingProtocol(patience_seconds=0.1, max_relative_width=1e-6)
    (outcome,) = Latency(device=cpu(), protocol=protocol).evaluate([ARCHITECTURE])
    assert isinstance(outcome, Failure)
    assert "the median lies anywhere from" in outcome.reason


def test_the_speed_at_first_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert nominal_reference_ms({"threads": 1, "name": "a"}, lambda: 2.5) == 2.5
    assert nominal_reference_ms({"threads": 1, "name": "b"}, lambda: 3.5) == 2.5
    assert nominal_reference_ms({"threads": 2, "name": "a"}, lambda: 3.5) == 3.5
    for damaged in ("{", '{"reference_ms": Infinity}'):
        nominal_file({"threads": 1}).write_text(damaged)
        assert nominal_reference_ms({"threads": 1}, lambda: 4.5) == 4.5


def test_interrupted_runs_of_the_reference_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(monkeypatch, lambda run: 0.001)
    monkeypatch.setattr("motemo.hardware.timing.time.thread_time", lambda: clock.cpu)
    runs = iter(range(1000))

    def reference() -> None:
        waits = next(runs) % 2
        clock.now += 0.005 if waits else 0.001
        clock.cpu += 0.001

    timing = time_runs(
        clock.run, protocol(max_runs=20), reference=reference, on_calling_thread=True
    )
    assert timing.reference_ms == pytest.approx([1.0] * 20)


@pytest.mark.parametrize(
    "name",
    ["loads", "min_runs", "max_runs", "max_seconds", "relative_precision", "max_wall_per_cpu"],
)
def test_impossible_timing_protocol(name: str) -> None:
    with pytest.raises(SettingsError, match=f"timing protocol needs {name} from .* got 0"):
        replace(QUICK, **{name: 0})


def test_latency_identity_names_host_runtime_and_protocol() -> None:
    identity = Latency(device=cpu(threads=2), protocol=QUICK).identity()
    device = identity["device"]
    assert isinstance(device, dict)
    assert device.keys() >= {"host", "processor", "system", "runtime", "provider", "threads"}
    assert device["threads"] == 2
    assert isinstance(identity["protocol"], dict)
    assert identity["protocol"]["max_runs"] == 20


def test_latency_without_its_device() -> None:
    with pytest.raises(DeviceError, match="XyzzyExecutionProvider"):
        OnnxRuntimeDevice(name="none", provider="XyzzyExecutionProvider")


def test_latency_of_what_cannot_be_built() -> None:
    def broken(chosen: Mapping[str, Choice], shape: Shape, classes: int) -> nn.Module:
        raise RuntimeError("not this one")

    space = FunctionSpace(name="broken", genes=(Gene("a", (1, 2)),), build_network=broken)
    architecture = space.architecture('{"a":1}')
    for objective in (Latency(device=cpu()), Flops(), Params()):
        assert objective.evaluate([architecture]) == [Failure("RuntimeError: not this one")]


@pytest.mark.parametrize("options", [{"classes": 0}, {"input_shape": (3, 0, 8)}])
def test_impossible_deployment(options: dict[str, Any]) -> None:
    for create in (Params, Flops, partial(Latency, device=cpu())):
        with pytest.raises(SettingsError, match=r"at least 1 class|three positive numbers"):
            create(**options)


@pytest.mark.parametrize("threads", [0, 10_000])
def test_a_device_needs_a_possible_number_of_threads(threads: int) -> None:
    with pytest.raises(SettingsError, match=f"at least one thread .*got {threads}"):
        cpu(threads=threads)
