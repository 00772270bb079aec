"""Runtimes and precisions."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from motemo.data.dataset import ImageData
from motemo.data.digits import load_digits
from motemo.device import Device, TimingProtocol
from motemo.errors import DeviceError, EvaluationError, SettingsError
from motemo.hardware import gpu
from motemo.hardware.calibration import calibration_images, settled
from motemo.hardware.latency import Latency
from motemo.hardware.onnx_runtime import OnnxRuntimeDevice, cpu
from motemo.hardware.output_difference import output_difference
from motemo.hardware.torch_device import TorchDevice, _compiled, torch_compiled, torch_cuda
from motemo.objective import Measurement
from motemo.onnx.graph import build_onnx
from motemo.onnx.precision import (
    batch_size,
    quantize,
    quantize_dynamically,
    to_float16,
    with_batch_size,
)
from motemo.onnx.session import open_optimised, open_session, optimised
from motemo.options import with_option
from motemo.space import Shape
from motemo.spaces.nasbench201 import NasBench201

SHAPE: Shape = (3, 12, 10)
ANY_LOAD = TimingProtocol(
    loads=2,
    warmup_runs=1,
    warmup_ms=0,
    min_runs=4,
    max_runs=8,
    min_calm_share=0,
    max_slowdown=math.inf,
    max_relative_width=math.inf,
)
"""Accepts what is measured on a busy machine."""
NO_GPU = not torch.cuda.is_available()


def network(width: int = 6) -> nn.Sequential:
    """Return a network with batch normalisation behind a convolution and ahead of another."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU6()),
        *(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4)),
    )


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_digits()


# Images and statistics


def test_calibration_images_are_those_of_the_data(digits: ImageData) -> None:
    images = calibration_images(digits, (1, 8, 8), batch=5)
    assert images.shape == (35, 1, 8, 8)
    assert np.array_equal(images[0], digits.images[0] / np.float32(255))
    assert np.array_equal(images[-1], digits.images[-1] / np.float32(255))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_calibration_images_fit_the_deployment(digits: ImageData, channels: int) -> None:
    images = calibration_images(digits, (channels, 12, 10))
    assert images.shape == (32, channels, 12, 10)
    assert (images == images[:, :1]).all()
    assert 0 <= images.min() < images.max() <= 1


def test_random_calibration_images_repeat() -> None:
    assert np.array_equal(calibration_images(None, SHAPE), calibration_images(None, SHAPE))


def statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: v.clone() for name, v in network.state_dict().items() if "running" in name}


def test_untrained_batch_normalisation_gets_statistics() -> None:
    original, images = network().train(), calibration_images(None, SHAPE)
    before = statistics(original)
    copy = settled(original, images)
    assert isinstance(copy, nn.Sequential)
    assert original.training
    assert not copy.training
    assert all(torch.equal(before[name], v) for name, v in statistics(original).items())
    with torch.no_grad():
        normalised = copy[:2](torch.from_numpy(images))
    assert normalised.mean().item() == pytest.approx(0, abs=1e-4)
    assert normalised.var().item() == pytest.approx(1, abs=0.05)


def test_trained_batch_normalisation_keeps_its_statistics() -> None:
    trained = network().train()
    trained(torch.rand(4, *SHAPE))
    kept = statistics(settled(trained, calibration_images(None, SHAPE)))
    assert all(torch.equal(kept[name], v) for name, v in statistics(trained).items())


# Output difference


def test_output_difference() -> None:
    exact = np.array([[0.0, 5.0], [2.0, 1.0]])  # standard deviations 1 and 2
    reduced = exact + np.array([[1.0, 0.0], [0.0, 3.0]])
    spread = math.sqrt((1 + 4) / 2)
    assert output_difference(exact, reduced) == {
        "images": 2,
        "same_class": 0.5,
        "mean": pytest.approx(1 / spread),
        "max": pytest.approx(3 / spread),
    }


@pytest.mark.parametrize("reduced", [np.ones((2, 2)), np.full((2, 2), np.inf)])
def test_output_difference_without_a_scale(reduced: Any) -> None:
    exact = np.ones((2, 2)) if np.isfinite(reduced).all() else np.arange(4.0).reshape(2, 2)
    difference = output_difference(exact, reduced)
    assert (difference["mean"], difference["max"]) == (None, None)


# Precisions of ONNX Runtime


def logits(model: onnx.ModelProto, images: Any) -> Any:
    return open_session(model)(images)


def relative(exact: Any, reduced: Any) -> float:
    mean = output_difference(exact, reduced)["mean"]
    assert isinstance(mean, float)
    return mean


@pytest.fixture(scope="module")
def images() -> Any:
    return calibration_images(None, SHAPE)


@pytest.fixture(scope="module")
def model(images: Any) -> onnx.ModelProto:
    return build_onnx(settled(network(), images), SHAPE, batch="N")


def kinds(model: onnx.ModelProto) -> set[int]:
    return {w.data_type for w in model.graph.initializer if len(w.dims) > 1}


def test_int8(model: onnx.ModelProto, images: Any) -> None:
    before = model.SerializeToString()
    quantized = quantize(model, images)
    assert kinds(quantized) == {TensorProto.INT8}
    assert sum(n.op_type == "Conv" for n in quantized.graph.node) == 2
    assert 0 < relative(logits(model, images), logits(quantized, images)) < 0.2
    assert model.SerializeToString() == before


def test_int8_scales_are_those_of_the_images(model: onnx.ModelProto, images: Any) -> None:
    dark = images / 100
    exact = logits(model, images)
    fitting = relative(exact, logits(quantize(model, images), images))
    assert fitting < relative(exact, logits(quantize(model, dark), images)) / 2


def test_int8_of_a_fixed_batch_size(model: onnx.ModelProto, images: Any) -> None:
    fixed = with_batch_size(model, 4)
    assert (batch_size(model), batch_size(fixed)) == (None, 4)
    one, other = (with_batch_size(quantize(m, images), 4) for m in (model, fixed))
    assert np.allclose(logits(one, images[:4]), logits(other, images[:4]), atol=1e-5)


def test_dynamic_int8(model: onnx.ModelProto, images: Any) -> None:
    quantized = quantize_dynamically(model)
    assert TensorProto.INT8 in kinds(quantized)
    assert 0 < relative(logits(model, images), logits(quantized, images)) < 0.2


def test_float16_with_variances_beyond_float16(images: Any) -> None:
    wide = settled(network(), images)
    with torch.no_grad():
        for layer in wide.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.running_var is not None:
                layer.running_var.mul_(1e6)
                layer.weight.mul_(1e3)
    model = build_onnx(wide, SHAPE, batch="N")
    half = to_float16(model)
    reduced = logits(half, images.astype(np.float16))
    assert reduced.dtype == np.float16
    assert kinds(half) == {TensorProto.FLOAT16}
    assert 0 < relative(logits(model, images), reduced) < 0.02


def test_conversion_leaves_nothing_behind(
    model: onnx.ModelProto, images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    handlers, level = [*logging.root.handlers], logging.root.manager.disable
    to_float16(model)
    quantize(model, images)
    quantize_dynamically(model)
    assert [*tmp_path.iterdir()] == []
    assert (logging.root.handlers, logging.root.manager.disable) == (handlers, level)


def test_model_that_cannot_be_converted(images: Any) -> None:
    with pytest.raises(EvaluationError, match="cannot convert the model"):
        quantize_dynamically(onnx.ModelProto())


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_optimised_model_computes_the_same(
    precision: str, model: onnx.ModelProto, images: Any
) -> None:
    model = model if precision == "float32" else quantize(model, images)
    found = open_optimised(optimised(model))(images)
    assert np.array_equal(found, logits(model, images))


# Devices


def measured(device: Device) -> Measurement:
    architecture = NasBench201(channels=4, cells=1).architecture(
        "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    )
    latency = Latency(device=device, input_shape=SHAPE, classes=4, protocol=ANY_LOAD)
    (outcome,) = latency.evaluate([architecture])
    assert isinstance(outcome, Measurement), outcome
    return outcome


@pytest.mark.parametrize("precision", ["float16", "int8", "int8_dynamic"])
def test_record_tells_the_output_difference(precision: str, digits: ImageData) -> None:
    outcome = measured(cpu(precision=precision, calibration=digits, batch=3))
    difference = outcome.record["output_difference"]
    assert isinstance(difference, dict)
    assert difference["images"] == 33
    assert isinstance(difference["mean"], float)
    assert 0 < difference["mean"] < 0.5
    assert outcome.record["images_per_second"] == pytest.approx(3e3 / outcome.value)


def test_float32_has_no_output_difference() -> None:
    for device in (cpu(batch=2), TorchDevice()):
        assert "output_difference" not in measured(device).record


def test_identity_names_what_a_figure_depends_on(digits: ImageData) -> None:
    plain = cpu(calibration=digits).identity()
    assert plain == cpu().identity()
    assert cpu(precision="int8", calibration=digits).identity() == plain | {
        "precision": "int8",
        "calibration": digits.identity(),
    }
    assert cpu(precision="float16").identity()["calibration"] == "random images"


@pytest.mark.parametrize("device", [cpu(), TorchDevice()])
def test_options_set_precision_and_batch(device: Device) -> None:
    for name, value in (("precision", "float16"), ("batch", 4)):
        device = with_option(device, [name], value, shown=name)
    assert device.batch == 4
    assert device.identity()["precision"] == "float16"


def test_model_of_another_batch_size() -> None:
    with pytest.raises(EvaluationError, match="batches of 2, the device of 1"):
        cpu().deploy_model(build_onnx(network(), SHAPE, batch=2), SHAPE)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_torch_in_reduced_precision(precision: str, channels_last: bool) -> None:
    outcome = measured(TorchDevice(precision=precision, channels_last=channels_last))
    difference = outcome.record["output_difference"]
    assert isinstance(difference, dict)
    assert isinstance(difference["mean"], float)
    assert 0 < difference["mean"] < 0.5


def test_torch_leaves_network_and_threads_as_they_were() -> None:
    given, threads = network().train(), torch.get_num_threads()
    device = TorchDevice(threads=min(2, os.cpu_count() or 1), precision="bfloat16", batch=2)
    timing = device.time(given, input_shape=SHAPE, protocol=ANY_LOAD)
    assert 4 <= len(timing.wall_ms) <= 8
    assert given.training
    assert given[0].weight.dtype == torch.float32
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_compiled_networks_of_one_kind() -> None:
    images = torch.rand(1, *SHAPE)
    with torch.no_grad():
        for width in (3, 4):
            given = network(width).eval()
            compiled = _compiled(given, images, mode="default")
            found = compiled(images)
            assert isinstance(found, torch.Tensor)
            assert torch.allclose(found, given(images), atol=1e-5)


@pytest.mark.slow
def test_compiling_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no_such_compiler",))
    with pytest.raises(DeviceError, match="found no working compiler"):
        torch_compiled().deploy(network(5), SHAPE)


@pytest.mark.slow
def test_what_cannot_be_compiled() -> None:
    class Undecided(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(EvaluationError, match=r"torch\.compile failed: "):
        torch_compiled().deploy(Undecided(), SHAPE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "swift"}, "mode 'swift'. Allowed: eager, compiled, cuda_graph"),
        ({"mode": "cuda_graph"}, "place 'cpu'. Allowed: cuda"),
        ({"precision": "int8"}, "precision 'int8'. Allowed: float32, bfloat16, float16"),
        ({"compile_mode": "fast"}, "compile_mode 'fast'. Allowed: default"),
        ({"batch": 0}, "batch of at least one image; got 0"),
        ({"threads": 10_000}, "at most one per core"),
    ],
)
def test_impossible_torch_device(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TorchDevice(**options)


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"batch": 0}, {"threads": 0}])
def test_impossible_onnx_runtime_device(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        OnnxRuntimeDevice(**options)


# GPUs


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_torch_without_a_gpu() -> None:
    with pytest.raises(DeviceError, match="no CUDA GPU"):
        torch_cuda()


@pytest.fixture
def fresh_gpu_identity() -> Any:
    gpu.gpu_identity.cache_clear()
    yield gpu.gpu_identity
    gpu.gpu_identity.cache_clear()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'NVIDIA X, 40GB, 570.1'", {"gpu": "NVIDIA X, 40GB", "driver": "570.1"}),
        ('[ "$3" = --id=2 ] && echo "Right, 1"', {"gpu": "Right", "driver": "1"}),
        ("exit 9", {"gpu": "unknown", "driver": "unknown"}),
        (None, {"gpu": "unknown", "driver": "unknown"}),
    ],
)
def test_gpu_identity(
    script: str | None,
    expected: dict[str, str],
    fresh_gpu_identity: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if script is not None:
        command = tmp_path / "nvidia-smi"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert fresh_gpu_identity() == expected


@pytest.mark.skipif(NO_GPU, reason="no GPU")
@pytest.mark.parametrize("mode", ["eager", "cuda_graph"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_torch_on_a_gpu(mode: str, precision: str) -> None:
    device = replace(torch_cuda(batch=4, precision=precision), mode=mode)
    timing = device.time(network(), input_shape=SHAPE, protocol=ANY_LOAD)
    assert min(timing.wall_ms) > 0
    assert timing.cpu_ms == ()


@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="no GPU provider"
)
def test_onnx_runtime_on_a_gpu_computes_what_is_bound() -> None:
    model = build_onnx(network(), SHAPE)
    session = open_session(model, provider="CUDAExecutionProvider")
    images = calibration_images(None, SHAPE)[:1]
    session.bind(images)()
    assert np.allclose(session(images), logits(model, images), atol=1e-4)
