"""Names of spaces, objectives, samplers and devices, and where each is implemented.

Entries point to their implementation by name, so that listing them imports nothing heavy. Third
parties register by an entry point of the group `motemo.spaces`, `motemo.objectives`,
`motemo.samplers` or `motemo.devices`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from operator import attrgetter
from typing import Any

from motemo.errors import SettingsError, UnknownNameError


@dataclass(frozen=True)
class Entry:
    """One registered name.

    Attributes:
        name: The name.
        target: `module:callable`; the callable takes keyword arguments only.
        summary: One line for listings.
        aliases: Other names for it, such as that of the class behind it.
        page: The page of the documentation that explains it, if there is one.
    """

    name: str
    target: str
    summary: str
    aliases: tuple[str, ...] = ()
    page: str = ""

    def load(self) -> Callable[..., Any]:
        """Import the implementation."""
        module, _, path = self.target.partition(":")
        loaded: Callable[..., Any] = attrgetter(path)(importlib.import_module(module))
        return loaded


@dataclass(frozen=True)
class Registry:
    """The registered names of one kind.

    Attributes:
        kind: What the names are names of.
        group: Entry-point group of third parties.
        builtin: motemo's own entries.
    """

    kind: str
    group: str
    builtin: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all entries, motemo's own first."""
        yield from self.builtin
        own = {entry.name for entry in self.builtin}
        for point in sorted(metadata.entry_points(group=self.group), key=lambda p: p.name):
            if point.name not in own:
                source = point.dist.name if point.dist else point.module
                yield Entry(point.name, point.value, f"from {source}")

    def entry(self, name: str) -> Entry:
        """Return the entry of that name.

        Raises:
            UnknownNameError: There is none.
        """
        entries = {entry.name: entry for entry in self}
        aliases = {alias: entry for entry in entries.values() for alias in entry.aliases}
        if name not in entries | aliases:
            raise UnknownNameError(self.kind, name, entries)
        return (aliases | entries)[name]

    def parameters(self, name: str) -> tuple[str, ...]:
        """Return the names of the parameters of what is registered under a name.

        Raises:
            UnknownNameError: Nothing is.
        """
        return tuple(inspect.signature(self.entry(name).load()).parameters)

    def defaults(self, name: str) -> dict[str, Any]:
        """Return the default of every parameter that has one, of what is registered.

        Raises:
            UnknownNameError: Nothing is.
        """
        parameters = inspect.signature(self.entry(name).load()).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    def create(
        self,
        name: str,
        *,
        offered: Mapping[str, object] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> Any:  # noqa: ANN401  (a space, objective, sampler or device)
        """Create what is registered under a name.

        Args:
            name: The registered name.
            offered: Arguments that it gets if it has a parameter of that name.
            options: Arguments that were asked for by name; it must have them all.

        Raises:
            UnknownNameError: Nothing is registered under the name.
            SettingsError: It has no such option, or needs something that is not offered.
        """
        factory = self.entry(name).load()
        parameters = inspect.signature(factory).parameters
        for option in options or {}:
            if option not in parameters:
                raise SettingsError(
                    f"The {self.kind} {name!r} has no option {option!r}. "
                    f"Options: {', '.join(parameters) or 'none'}."
                )
        arguments = {k: v for k, v in (offered or {}).items() if k in parameters and v is not None}
        arguments |= options or {}
        missing = [
            parameter.name
            for parameter in parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and parameter.name not in arguments
        ]
        if missing:
            raise SettingsError(f"The {self.kind} {name!r} needs {' and '.join(missing)}.")
        return factory(**arguments)


SPACES = Registry(
    "space",
    "motemo.spaces",
    (
        Entry(
            "nasbench201",
            "motemo.spaces.nasbench201:NasBench201",
            "NAS-Bench-201: a cell of 6 edges with 5 operations each, 15,625 cells",
            page="docs/nasbench201.md",
        ),
        Entry(
            "nasbench_macro",
            "motemo.spaces.nasbench_macro:NasBenchMacro",
            "NAS-Bench-Macro: a chain of 8 blocks of 3 kinds, 6,561 networks",
            page="docs/nasbench_macro.md",
        ),
        Entry(
            "transnas_micro",
            "motemo.spaces.transnas_micro:TransNasMicro",
            "TransNAS-Bench-101 micro: a cell of 6 edges with 4 operations each, 4,096 cells",
            page="docs/transnas.md",
        ),
        Entry(
            "transnas_macro",
            "motemo.spaces.transnas_macro:TransNasMacro",
            "TransNAS-Bench-101 macro: 4 to 6 modules that widen and shrink, 3,256 networks",
            page="docs/transnas.md#the-macro-space",
        ),
        Entry(
            "nasbench101",
            "motemo.spaces.nasbench101:NasBench101",
            "NAS-Bench-101: a cell of 7 vertices and at most 9 edges, 3 operations, 423,624 cells",
            page="docs/nasbench101.md",
        ),
        Entry(
            "darts",
            "motemo.spaces.darts:Darts",
            "DARTS: a normal and a reduction cell of 4 nodes, 8 operations, 20 cells deep",
            page="docs/darts.md",
        ),
        Entry(
            "nasbench301",
            "motemo.spaces.darts:Darts.nasbench301",
            "NAS-Bench-301: the cells of DARTS with 7 operations, 8 cells deep",
            page="docs/darts.md#nasbench301",
        ),
        Entry(
            "nats_size",
            "motemo.spaces.nats_size:NatsSize",
            "NATS-Bench size: 8 to 64 channels in each of 5 layers of one cell, 32,768 networks",
            page="docs/nats_size.md",
        ),
        Entry(
            "ofa_mbv3",
            "motemo.spaces.once_for_all:OnceForAll",
            "Once-for-All MobileNetV3: 5 stages, kernel and expansion of each block, 2e19 networks",
            page="docs/once_for_all.md#ofa_mbv3",
        ),
        Entry(
            "proxyless",
            "motemo.spaces.once_for_all:proxyless",
            "Once-for-All ProxylessNAS: the same choices, MobileNetV2 blocks, 2e20 networks",
            page="docs/once_for_all.md#proxyless",
        ),
        Entry(
            "mobilenetv2",
            "motemo.spaces.once_for_all:mobilenetv2",
            "MobileNetV2 with other expansions and depths, 7e10 networks",
            page="docs/once_for_all.md#mobilenetv2",
        ),
        Entry(
            "mnasnet",
            "motemo.spaces.mnasnet:MnasNet",
            "MnasNet as in Accel-NASBench: 7 stages of equal blocks, 1e11 networks",
            page="docs/mnasnet.md",
        ),
        Entry(
            "fbnet",
            "motemo.spaces.fbnet:FBNet",
            "FBNet: a chain of 22 layers, 9 kinds of block each, 3e20 networks",
            page="docs/fbnet.md",
        ),
        Entry(
            "autoformer",
            "motemo.spaces.autoformer:AutoFormer",
            "AutoFormer: vision transformers, heads and MLP ratio of 12 to 14 blocks, 1e9 networks",
            page="docs/transformers.md#autoformer",
        ),
        Entry(
            "pit",
            "motemo.spaces.pit:Pit",
            "PiT: vision transformers of three stages with pooling, 4,320 networks",
            page="docs/transformers.md#pit",
        ),
        Entry(
            "nasvit",
            "motemo.spaces.nasvit:NasVit",
            "like NASViT: 3 stages of convolutions, 4 that go on with attention, 1e10 networks",
            page="docs/transformers.md#nasvit",
        ),
    ),
)
OBJECTIVES = Registry(
    "objective",
    "motemo.objectives",
    (
        Entry(
            "mote",
            "motemo.objectives.mote:Mote",
            "accuracy estimate by a short training of a reduced architecture (higher is better)",
            ("default",),
        ),
        Entry(
            "mote_reference",
            "motemo.objectives.mote:Mote.reference",
            "MOTE as published: 50 epochs, landscape by fitting, seconds count (higher is better)",
            ("reference",),
        ),
        Entry(
            "hybrid",
            "motemo.objectives.hybrid:Hybrid.of",
            "mean position by MOTE, cheap proxies and multiply-adds; no labels (higher is better)",
        ),
        Entry(
            "hybrid_quick",
            "motemo.objectives.hybrid:Hybrid.quick",
            "the same without MOTE: no training (higher is better)",
            ("quick",),
        ),
        Entry(
            "landscape",
            "motemo.objectives.curves:Landscape",
            "the landscape term of MOTE alone (higher is better)",
        ),
        Entry(
            "speed",
            "motemo.objectives.curves:Speed",
            "the speed term of MOTE alone, without a clock (higher is better)",
        ),
        Entry(
            "tse",
            "motemo.objectives.curves:Tse",
            "minus the training losses of all epochs, on MOTE's training (higher is better)",
        ),
        Entry(
            "tse_e",
            "motemo.objectives.curves:TseE",
            "minus the training losses of the last epochs (higher is better)",
        ),
        Entry(
            "tse_ema",
            "motemo.objectives.curves:TseEma",
            "minus the moving average of the training losses (higher is better)",
        ),
        Entry(
            "early_accuracy",
            "motemo.objectives.curves:EarlyAccuracy",
            "accuracy on held-out images after the short training (higher is better)",
        ),
        Entry(
            "accuracy",
            "motemo.objectives.accuracy:Accuracy",
            "validation accuracy of the full network after a real training (higher is better)",
        ),
        Entry(
            "naswot",
            "motemo.objectives.proxies.naswot:Naswot",
            "log-determinant of the activation codes' kernel, no training (higher is better)",
            ("nwot",),
        ),
        Entry(
            "synflow",
            "motemo.objectives.proxies.synflow:SynFlow",
            "logarithm of the synaptic flow, no training and no images (higher is better)",
        ),
        Entry(
            "snip",
            "motemo.objectives.proxies.snip:Snip",
            "sum of |weight x gradient|, no training (higher is better)",
        ),
        Entry(
            "grasp",
            "motemo.objectives.proxies.grasp:Grasp",
            "sum of -weight x Hessian-gradient product, no training (higher is better)",
        ),
        Entry(
            "fisher",
            "motemo.objectives.proxies.fisher:Fisher",
            "Fisher information of the channels, no training (higher is better)",
        ),
        Entry(
            "grad_norm",
            "motemo.objectives.proxies.grad_norm:GradNorm",
            "sum of the layers' gradient norms, no training (higher is better)",
        ),
        Entry(
            "jacob_cov",
            "motemo.objectives.proxies.jacob_cov:JacobCov",
            "how little images' input gradients correlate, no training (higher is better)",
            ("jacov",),
        ),
        Entry(
            "epe_nas",
            "motemo.objectives.proxies.epe_nas:EpeNas",
            "input gradients' correlation within classes, no training (higher is better)",
        ),
        Entry(
            "zen",
            "motemo.objectives.proxies.zen_score:ZenScore",
            "Zen-Score: sensitivity of the features, no training, no images (higher is better)",
        ),
        Entry(
            "swap",
            "motemo.objectives.proxies.swap:Swap",
            "number of sample-wise activation patterns, no training (higher is better)",
        ),
        Entry(
            "l2_norm",
            "motemo.objectives.proxies.l2_norm:L2Norm",
            "sum of the layers' weight norms, no training and no images (higher is better)",
        ),
        Entry(
            "lga",
            "motemo.objectives.proxies.lga:Lga",
            "whether gradients are alike where labels are, no training (higher is better)",
        ),
        Entry(
            "knas",
            "motemo.objectives.proxies.knas:Knas",
            "mean of the gradients' Gram matrix, no training (higher is better)",
        ),
        Entry(
            "ntk_condition",
            "motemo.objectives.proxies.te_nas_ntk:NtkCondition",
            "TE-NAS: condition of the neural tangent kernel, no training (lower is better)",
        ),
        Entry(
            "linear_regions",
            "motemo.objectives.proxies.te_nas_regions:LinearRegions",
            "TE-NAS: number of linear regions, no training (higher is better)",
        ),
        Entry(
            "eigen_nas",
            "motemo.objectives.proxies.eigen_nas:EigenNas",
            "smallest eigenvalue of the neural tangent kernel, no training (higher is better)",
        ),
        Entry(
            "zico",
            "motemo.objectives.proxies.zico:Zico",
            "ZiCo: steadiness of the gradients from batch to batch, no training (higher is better)",
        ),
        Entry(
            "zico_bc",
            "motemo.objectives.proxies.zico_bc:ZicoBc",
            "ZiCo, corrected for depth and width, no training (higher is better)",
        ),
        Entry(
            "meco",
            "motemo.objectives.proxies.meco:Meco",
            "how little channels repeat each other, no training, no images (higher is better)",
        ),
        Entry(
            "az_expressivity",
            "motemo.objectives.proxies.az_nas:AzExpressivity",
            "AZ-NAS: entropy of the features, no training, no images (higher is better)",
        ),
        Entry(
            "az_progressivity",
            "motemo.objectives.proxies.az_nas:AzProgressivity",
            "AZ-NAS: least growth of that entropy, no training, no images (higher is better)",
        ),
        Entry(
            "az_trainability",
            "motemo.objectives.proxies.az_nas:AzTrainability",
            "AZ-NAS: gradients' norms near 1, no training, no images (higher is better)",
        ),
        Entry("params", "motemo.hardware.params:Params", "trainable parameters (lower is better)"),
        Entry(
            "flops",
            "motemo.hardware.flops:Flops",
            "multiply-adds of one inference, counted by fvcore (lower is better)",
        ),
        Entry(
            "memory_mb",
            "motemo.hardware.memory:Memory",
            "weights and activations live at the peak of an inference, counted (lower is better)",
        ),
        Entry(
            "measured_memory_mb",
            "motemo.hardware.measured_memory:MeasuredMemory",
            "memory that ONNX Runtime takes for the network, measured (lower is better)",
        ),
        Entry(
            "size_mb",
            "motemo.hardware.size:Size",
            "size of the ONNX file in float32, float16 or int8 (lower is better)",
        ),
        Entry(
            "energy_mj",
            "motemo.hardware.energy:Energy",
            "measured millijoules of one inference on the device (lower is better)",
        ),
        Entry(
            "latency_ms",
            "motemo.hardware.latency:Latency",
            "measured milliseconds of one inference on the device (lower is better)",
        ),
        Entry(
            "throughput_ips",
            "motemo.hardware.throughput:Throughput",
            "measured images per second on the device, in its batches (higher is better)",
        ),
        Entry(
            "predicted_latency_ms",
            "motemo.hardware.predicted_latency:PredictedLatency",
            "the same, predicted by a model of the device, not measured (lower is better)",
        ),
    ),
)
SAMPLERS = Registry(
    "sampler",
    "motemo.samplers",
    (
        Entry(
            "motemo",
            "motemo.samplers.by_name:motemo",
            "the default: screens candidates by what the finished trials have taught",
            ("SurrogateSampler",),
        ),
        Entry(
            "nsga2",
            "motemo.samplers.by_name:nsga2",
            "Optuna's NSGA-II",
            ("NSGAIISampler",),
        ),
        Entry("nsga3", "motemo.samplers.by_name:nsga3", "Optuna's NSGA-III", ("NSGAIIISampler",)),
        Entry(
            "pymoo_nsga2",
            "motemo.samplers.by_name:pymoo_nsga2",
            "pymoo's NSGA-II, which proposes nothing twice",
            ("PymooNSGAIISampler",),
        ),
        Entry(
            "mote_nas",
            "motemo.samplers.by_name:mote_nas",
            "MOTE-NAS's evolution: random architectures close to the best",
            ("MoteNASSampler",),
        ),
        Entry(
            "mote_nas_rs",
            "motemo.samplers.by_name:mote_nas_rs",
            "MOTE-NAS's random form: random, but nothing twice and nothing invalid",
        ),
        Entry(
            "tpe", "motemo.samplers.by_name:tpe", "Optuna's multi-objective TPE", ("TPESampler",)
        ),
        Entry("gp", "motemo.samplers.by_name:gp", "Optuna's Gaussian process", ("GPSampler",)),
        Entry(
            "random",
            "motemo.samplers.by_name:random",
            "uniform random sampling",
            ("RandomSampler",),
        ),
    ),
)
DEVICES = Registry(
    "device",
    "motemo.devices",
    (
        Entry("cpu", "motemo.hardware.onnx_runtime:cpu", "this host's CPU, by ONNX Runtime"),
        Entry(
            "cuda",
            "motemo.hardware.onnx_runtime:cuda",
            "this host's NVIDIA GPU, by ONNX Runtime (needs onnxruntime-gpu)",
        ),
        Entry(
            "onnxruntime",
            "motemo.hardware.onnx_runtime:OnnxRuntimeDevice",
            "this host, by any execution provider of ONNX Runtime (option provider)",
        ),
        Entry(
            "torch",
            "motemo.hardware.torch_device:TorchDevice",
            "this host, by PyTorch (options mode, place, channels_last)",
        ),
        Entry(
            "torch_compiled",
            "motemo.hardware.torch_device:torch_compiled",
            "this host's CPU, by torch.compile (needs a C++ compiler)",
        ),
        Entry(
            "torch_cuda",
            "motemo.hardware.torch_device:torch_cuda",
            "this host's NVIDIA GPU, by PyTorch and CUDA graphs",
        ),
        Entry(
            "remote",
            "motemo.hardware.remote_device:remote",
            "a device of another machine, where motemo serve-device runs",
        ),
    ),
)
