"""Memory, size, energy, and what the records of counts tell."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F  # noqa: N812

from motemo.counting import count_parameters, count_parameters_by_module
from motemo.device import Device, Timing, TimingProtocol
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.hardware.energy import Energy
from motemo.hardware.energy_meters import open_nvml, open_rapl
from motemo.hardware.flops import Flops
from motemo.hardware.local_device import Load, Loaded, LocalDevice
from motemo.hardware.measured_memory import MeasuredMemory
from motemo.hardware.memory import Memory
from motemo.hardware.params import Params
from motemo.hardware.size import Size
from motemo.hardware.spread import repetition_interval
from motemo.objective import Failure, Measurement, Objective
from motemo.onnx.activations import PeakMemory, peak_memory
from motemo.onnx.graph import build_onnx
from motemo.space import Architecture, Json, Shape
from motemo.spaces.nasbench201 import NasBench201
from motemo.testing import check_objective

SHAPE: Shape = (3, 8, 8)
PIXELS = 64
FLOAT = 4
SPACE = NasBench201(channels=4, cells=1)
CHAIN = SPACE.architecture("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|")
BRANCHES = SPACE.architecture(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


def measured(objective: Objective, architecture: Architecture = BRANCHES) -> Measurement:
    (outcome,) = objective.evaluate([architecture])
    assert isinstance(outcome, Measurement), outcome
    return outcome


class Residual(nn.Module):
    """Two branches from one tensor, added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.wide = nn.Conv2d(4, 8, 3, padding=1, bias=False)
        self.back = nn.Conv2d(8, 4, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        return torch.flatten(F.relu(y + self.back(self.wide(y))), 1)


# Counted memory


def peak(network: nn.Module, *, batch: int = 1) -> PeakMemory:
    return peak_memory(build_onnx(network, SHAPE, batch=batch))


def test_memory_of_a_chain_is_its_largest_pair_of_neighbours() -> None:
    found = peak(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.Conv2d(8, 4, 3, padding=1, stride=2, bias=False),
            nn.Flatten(),
            nn.Linear(64, 2, bias=False),
        )
    )
    assert found.activations == FLOAT * PIXELS * (3 + 8)
    assert found.weights == FLOAT * (3 * 8 * 9 + 8 * 4 * 9 + 64 * 2)
    assert found.node.startswith("Conv(images, ")
    assert sorted(found.shapes.values()) == [(1, 3, 8, 8), (1, 8, 8, 8)]


def test_memory_of_a_residual_keeps_what_is_added_later() -> None:
    found = peak(Residual())
    assert found.activations == FLOAT * PIXELS * (4 + 8 + 4)
    assert len(found.shapes) == 3


def test_memory_keeps_the_images_as_long_as_they_are_read() -> None:
    class Again(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.flatten(torch.cat([F.relu(F.relu(x)), x], dim=1), 1)

    concatenation = 3 + 3 + 6
    assert peak(Again()).activations == FLOAT * PIXELS * concatenation


def test_memory_of_a_batch() -> None:
    one, seven = peak(Residual()), peak(Residual(), batch=7)
    assert seven.activations == 7 * one.activations
    assert seven.weights == one.weights


def test_memory_of_what_nobody_reads() -> None:
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    nodes = [
        helper.make_node("Concat", ["images"] * 3, ["unread"], axis=0),
        helper.make_node("Relu", ["images"], ["a"]),
        helper.make_node("Relu", ["a"], ["logits"]),
    ]
    images, logits = value("images", shape=[1, 5]), value("logits", shape=[1, 5])
    graph = helper.make_graph(nodes, "graph", [images], [logits])
    found = peak_memory(helper.make_model(graph))
    assert found.activations == FLOAT * 5 * (1 + 3)
    assert found.weights == 0


def test_memory_of_unknown_shapes() -> None:
    with pytest.raises(EvaluationError, match=r"shape of '.*' in the ONNX graph is not known"):
        peak_memory(build_onnx(Residual(), SHAPE, batch="N"))


def test_memory_objective() -> None:
    found = measured(Memory(input_shape=SHAPE, classes=5, batch=2))
    record = found.record
    assert found.value == pytest.approx(record["weights_mb"] + record["activations_mb"])  # type: ignore[operator]
    shapes = record["peak_shapes"]
    assert isinstance(shapes, dict)
    sizes = [np.prod(np.array(shape)) for shape in shapes.values()]
    assert record["activations_mb"] == pytest.approx(FLOAT * sum(sizes) / 1e6)
    assert all(isinstance(shape, list) and shape[0] == 2 for shape in shapes.values())


# Measured memory


@linux
def test_measured_memory_of_weights() -> None:
    costs = MeasuredMemory(input_shape=(1, 10, 100), classes=2)
    small = costs.cost(nn.Sequential(nn.Flatten(), nn.Linear(1000, 2)))
    large = costs.cost(nn.Sequential(nn.Flatten(), nn.Linear(1000, 2000), nn.Linear(2000, 2)))
    weights_mb = FLOAT * (1000 * 2000 + 2000 * 2) / 1e6
    assert large.value - small.value == pytest.approx(weights_mb, rel=0.25)
    assert large.record.keys() == {"running_mb", "loading_mb"}


@linux
def test_measured_memory_grows_with_the_batch() -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 2, 1), nn.Flatten())
    one, many = (
        MeasuredMemory(input_shape=(3, 64, 64), batch=batch).cost(network) for batch in (1, 64)
    )
    activations_mb = 63 * FLOAT * 64 * 64 * 16 / 1e6
    assert many.value - one.value > activations_mb / 2


@linux
def test_measured_memory_of_what_onnx_runtime_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    value = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    nodes = [helper.make_node("Xyzzy", ["images"], ["logits"])]
    images, logits = value("images", shape=[1, 5]), value("logits", shape=[1, 5])
    unknown = helper.make_model(helper.make_graph(nodes, "graph", [images], [logits]))
    monkeypatch.setattr("motemo.onnx.graph.build_onnx", lambda *args, **options: unknown)
    (outcome,) = MeasuredMemory().evaluate([CHAIN])
    assert isinstance(outcome, Failure)
    assert "ONNX Runtime ended with status 1: " in outcome.reason
    assert "Xyzzy" in outcome.reason


def test_measured_memory_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("motemo.hardware.measured_memory._RESETS_PEAK", tmp_path / "none")
    with pytest.raises(DeviceError, match=r"needs Linux's .*Use the counted memory_mb"):
        MeasuredMemory().evaluate([CHAIN])


# Size


def test_size_of_the_file() -> None:
    found = measured(Size(input_shape=SHAPE, classes=5))
    network = BRANCHES.build(input_shape=SHAPE, classes=5)
    assert found.value * 1e6 == len(build_onnx(network, SHAPE).SerializeToString())
    weights = sum(t.nbytes for t in network.state_dict().values() if t.is_floating_point())
    assert weights < found.record["weights_mb"] * 1e6 < weights * 1.2  # type: ignore[operator]
    assert found.value == pytest.approx(sum(found.record.values()))  # type: ignore[arg-type]


def test_size_in_other_precisions() -> None:
    wide = NasBench201(channels=32, cells=1).architecture(BRANCHES.genotype)
    sizes = {p: measured(Size(precision=p), wide).value for p in ("float32", "float16", "int8")}
    assert sizes["float16"] / sizes["float32"] == pytest.approx(1 / 2, abs=0.05)
    assert sizes["int8"] / sizes["float32"] == pytest.approx(1 / 4, abs=0.06)


# Energy


def powercap(folder: Path, **domains: tuple[str, int, int]) -> Path:
    """Lay out files as Linux does: `name`, `energy_uj` and `max_energy_range_uj` of each domain."""
    for domain, (name, energy_uj, range_uj) in domains.items():
        place = folder / domain.replace("_", ":").replace("rapl", "intel-rapl")
        place.mkdir(parents=True)
        (place / "name").write_text(f"{name}\n")
        (place / "energy_uj").write_text(f"{energy_uj}\n")
        (place / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (folder / "intel-rapl").mkdir(parents=True, exist_ok=True)
    return folder


def use(folder: Path, domain: str, microjoules: int) -> None:
    """Let a domain use energy; its counter starts again at 0 beyond its range."""
    counter, limit = folder / domain / "energy_uj", folder / domain / "max_energy_range_uj"
    energy = int(counter.read_text()) + microjoules
    counter.write_text(f"{energy % int(limit.read_text())}\n")


def test_rapl_adds_packages_and_their_memory(tmp_path: Path) -> None:
    folder = powercap(
        tmp_path,
        rapl_0=("package-0", 100, 10**9),
        rapl_0_0=("core", 10, 10**9),
        rapl_0_1=("dram", 1, 10**9),
        rapl_1=("package-1", 200, 10**9),
        rapl_2=("psys", 300, 10**9),
    )
    meter = open_rapl(folder)
    before = meter.read()
    for domain, used in (("0", 5000), ("0:0", 4000), ("0:1", 300), ("1", 20), ("2", 9999)):
        use(folder, f"intel-rapl:{domain}", used)
    assert meter.millijoules(before, meter.read()) == pytest.approx(5.32)


def test_rapl_counters_start_again_at_their_end(tmp_path: Path) -> None:
    folder = powercap(tmp_path, rapl_0=("package-0", 999_000, 1_000_000))
    meter = open_rapl(folder)
    before = meter.read()
    use(folder, "intel-rapl:0", 3000)
    after = meter.read()
    assert after < before
    assert meter.millijoules(before, after) == pytest.approx(3)


@pytest.mark.parametrize("present", [False, True])
def test_no_rapl(tmp_path: Path, present: bool) -> None:
    folder = powercap(tmp_path, rapl_0=("psys", 0, 1)) if present else tmp_path / "none"
    with pytest.raises(DeviceError, match=r"no counter of a processor package\. A virtual machine"):
        open_rapl(folder)


def test_rapl_that_cannot_be_read(tmp_path: Path) -> None:
    folder = powercap(tmp_path, rapl_0=("package-0", 1, 2))
    counter = folder / "intel-rapl:0" / "energy_uj"
    counter.unlink()
    counter.mkdir()  # root may read any file, but no folder
    with pytest.raises(DeviceError, match=r"cannot read .*energy_uj .*only root may"):
        open_rapl(folder)


@final
@dataclass(frozen=True)
class Hungry(LocalDevice):
    """A device whose every run uses two millijoules of a package."""

    powercap: Path
    name: str = "hungry"
    threads: int = 1
    gpu: str | None = None

    def deploy(self, network: nn.Module, input_shape: Shape) -> Load:
        network.eval()(torch.zeros(1, *input_shape))
        use(self.powercap, "intel-rapl:0", 10**6)

        def run() -> None:
            use(self.powercap, "intel-rapl:0", 2000)

        return lambda: Loaded(run=run)

    def identity(self) -> dict[str, Json]:
        named: dict[str, Json] = {"name": self.name}
        return named | {"gpu": self.gpu} if self.gpu else named


@pytest.fixture
def energy(tmp_path: Path) -> Energy:
    folder = powercap(tmp_path, rapl_0=("package-0", 0, 10**6))
    device = Hungry(folder)
    return Energy(device=device, powercap=folder, block_seconds=0.01, input_shape=SHAPE)


def test_energy_of_a_run(energy: Energy) -> None:
    found = measured(energy)
    assert found.value == pytest.approx(2)
    assert found.record["runs_mj"] == pytest.approx([2, 2, 2])
    runs, power = (np.array(found.record[name]) for name in ("runs", "power_mw"))
    assert (runs > 1).all()
    assert (power * 0.01 <= 2 * runs).all()


def test_energy_of_an_idle_device_is_subtracted(
    energy: Energy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = time.sleep

    def idle(seconds: float) -> None:
        sleep(seconds)
        use(energy.powercap, "intel-rapl:0", 1000)

    monkeypatch.setattr("motemo.hardware.energy.time.sleep", idle)
    record = measured(replace(energy, subtract_idle=True)).record
    runs_mj, power_mw = (np.array(record[name]) for name in ("runs_mj", "power_mw"))
    assert 0 < record["idle_mw"] <= 1 / energy.block_seconds  # type: ignore[operator]
    assert runs_mj == pytest.approx(2 * (1 - record["idle_mw"] / power_mw))
    assert "idle_mw" not in measured(energy).record
    assert energy.identity() != replace(energy, subtract_idle=True).identity()


def test_energy_keeps_its_contract(energy: Energy) -> None:
    check_objective(energy, [CHAIN, BRANCHES])


def test_energy_without_a_meter_is_no_failure_of_the_network(energy: Energy) -> None:
    with pytest.raises(DeviceError, match="no counter of a processor package"):
        replace(energy, powercap=Path("/nowhere")).evaluate([CHAIN])


def test_energy_of_a_gpu_is_that_of_nvml(energy: Energy) -> None:
    gpu = Hungry(energy.powercap, gpu="a GPU")
    assert replace(energy, device=gpu).identity()["meter"] == "nvml"
    assert replace(energy, device=gpu, meter="rapl").identity()["meter"] == "rapl"
    assert energy.identity()["meter"] == "rapl"


@dataclass(frozen=True)
class Remote(Device):
    """A device that is not here."""

    name: str = "far"

    def time(self, network: nn.Module, *, input_shape: Shape, protocol: TimingProtocol) -> Timing:
        raise AssertionError

    def identity(self) -> dict[str, Json]:
        return {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": Remote()}, "devices of this host only; 'far' is Remote"),
        ({"meter": "watt"}, "Unknown energy meter 'watt'. Allowed: rapl, nvml"),
        ({"blocks": 1}, "at least 2 blocks"),
        ({"block_seconds": 0.0}, "block_seconds above 0"),
    ],
)
def test_impossible_energy(energy: Energy, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        replace(energy, **options)


def test_nvml_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(DeviceError, match="pip install nvidia-ml-py"):
        open_nvml()


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
def test_nvml_without_a_driver() -> None:
    pytest.importorskip("pynvml")
    with pytest.raises(DeviceError, match=r"NVML says .* needs an NVIDIA driver"):
        open_nvml()


# All of them


def test_parameters_by_kind_of_module() -> None:
    shared = nn.Linear(4, 4, bias=False)
    frozen = nn.Linear(5, 5).requires_grad_(False)
    network = nn.Sequential(
        shared, shared, frozen, nn.BatchNorm2d(3), nn.Sequential(nn.Linear(2, 1))
    )
    assert count_parameters_by_module(network) == {"BatchNorm2d": 6, "Linear": 16 + 3}


def test_record_of_params() -> None:
    found = measured(Params(input_shape=SHAPE, classes=5))
    kinds = found.record["by_module"]
    assert isinstance(kinds, dict)
    assert kinds.keys() == {"BatchNorm2d", "Conv2d", "Linear"}
    assert found.value == sum(np.array([*kinds.values()]))
    assert found.value == count_parameters(BRANCHES.build(input_shape=SHAPE, classes=5))


COSTS = (Params, Flops, Memory, MeasuredMemory, Size)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"classes": 0}, "at least 1 class"), ({"input_shape": (3, 0, 8)}, "three positive numbers")],
)
def test_impossible_deployment(energy: Energy, options: dict[str, Any], message: str) -> None:
    for create in (*COSTS, partial(replace, energy)):
        with pytest.raises(SettingsError, match=message):
            create(**options)


@pytest.mark.parametrize(
    ("create", "options", "message"),
    [
        (Memory, {"batch": 0}, "at least 1 image; got 0"),
        (MeasuredMemory, {"batch": 0}, "at least 1 image; got 0"),
        (MeasuredMemory, {"repeats": 1}, "repeats of at least 2 .*got 1"),
        (Size, {"precision": "int7"}, "precision 'int7' .*Allowed: float32, float16, int8"),
    ],
)
def test_impossible_options(
    create: Callable[..., Objective], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        create(**options)


def test_identities_hold_what_changes_a_value() -> None:
    common: dict[str, Json] = {"input_shape": [3, 32, 32], "classes": 10}
    assert Params().identity() == Flops().identity() == common
    assert Memory().identity() == common | {"batch": 1}
    assert Size().identity() == common | {"precision": "float32"}
    measured_memory = MeasuredMemory().identity()
    assert measured_memory.keys() > common.keys() | {"batch", "repeats", "runtime", "host"}


def test_repetition_interval_covers_the_mean_of_a_repetition() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1000, 3))
    inside = [
        low <= np.mean(again) <= high
        for (low, _, high), again in zip(map(repetition_interval, first), second, strict=True)
    ]
    assert 0.94 <= np.mean(inside) <= 0.99
