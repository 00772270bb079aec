"""Hardware-aware, multi-objective neural architecture search.

    import motemo

    data = motemo.load_data("digits")
    objectives = [motemo.Mote(data=data), motemo.Params(), motemo.Latency(device=motemo.cpu())]
    front = motemo.search(motemo.NasBench201(), objectives, trials=20)

Names are imported when they are first used, so that `import motemo` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motemo.choosing import Pick as Pick
    from motemo.choosing import select as select
    from motemo.constraint import Constraint as Constraint
    from motemo.correlation.run import correlate as correlate
    from motemo.data.dataset import ImageData as ImageData
    from motemo.data.examples import Examples as Examples
    from motemo.data.pipeline import load_data as load_data
    from motemo.deployment.folder import deploy as deploy
    from motemo.device import Device as Device
    from motemo.device import TimingProtocol as TimingProtocol
    from motemo.early_stopping import EarlyStopping as EarlyStopping
    from motemo.errors import MotemoError as MotemoError
    from motemo.final_training import Trained as Trained
    from motemo.final_training import train_finalists as train_finalists
    from motemo.finalist import Finalist as Finalist
    from motemo.finalist import read_finalists as read_finalists
    from motemo.front import Front as Front
    from motemo.hardware.energy import Energy as Energy
    from motemo.hardware.flops import Flops as Flops
    from motemo.hardware.latency import Latency as Latency
    from motemo.hardware.measured_memory import MeasuredMemory as MeasuredMemory
    from motemo.hardware.memory import Memory as Memory
    from motemo.hardware.onnx_runtime import OnnxRuntimeDevice as OnnxRuntimeDevice
    from motemo.hardware.onnx_runtime import cpu as cpu
    from motemo.hardware.onnx_runtime import cuda as cuda
    from motemo.hardware.params import Params as Params
    from motemo.hardware.predicted_latency import PredictedLatency as PredictedLatency
    from motemo.hardware.remote_device import RemoteDevice as RemoteDevice
    from motemo.hardware.size import Size as Size
    from motemo.hardware.throughput import Throughput as Throughput
    from motemo.hardware.torch_device import TorchDevice as TorchDevice
    from motemo.objective import Direction as Direction
    from motemo.objective import Failure as Failure
    from motemo.objective import Measurement as Measurement
    from motemo.objective import Objective as Objective
    from motemo.objective import Skipped as Skipped
    from motemo.objective import Stage as Stage
    from motemo.objectives.accuracy import Accuracy as Accuracy
    from motemo.objectives.full_training_recipe import FullRecipe as FullRecipe
    from motemo.objectives.hybrid import Hybrid as Hybrid
    from motemo.objectives.mote import Mote as Mote
    from motemo.objectives.recipe import Recipe as Recipe
    from motemo.objectives.table import TableLookup as TableLookup
    from motemo.problem import NasProblem as NasProblem
    from motemo.records import read_front as read_front
    from motemo.reduction.reduce import reduce_data as reduce_data
    from motemo.rendering.drawing import architecture_svg as architecture_svg
    from motemo.rescoring import rescore as rescore
    from motemo.search_loop import search as search
    from motemo.search_loop import trial_objective as trial_objective
    from motemo.search_loop import work as work
    from motemo.space import Architecture as Architecture
    from motemo.space import Gene as Gene
    from motemo.space import Space as Space
    from motemo.spaces.autoformer import AutoFormer as AutoFormer
    from motemo.spaces.builder import BuilderSpace as BuilderSpace
    from motemo.spaces.darts import Darts as Darts
    from motemo.spaces.fbnet import FBNet as FBNet
    from motemo.spaces.function import FunctionSpace as FunctionSpace
    from motemo.spaces.mnasnet import MnasNet as MnasNet
    from motemo.spaces.nasbench101 import NasBench101 as NasBench101
    from motemo.spaces.nasbench201 import NasBench201 as NasBench201
    from motemo.spaces.nasbench_macro import NasBenchMacro as NasBenchMacro
    from motemo.spaces.nasvit import NasVit as NasVit
    from motemo.spaces.nats_size import NatsSize as NatsSize
    from motemo.spaces.once_for_all import OnceForAll as OnceForAll
    from motemo.spaces.pit import Pit as Pit
    from motemo.spaces.transnas_macro import TransNasMacro as TransNasMacro
    from motemo.spaces.transnas_micro import TransNasMicro as TransNasMicro

_HOMES = {
    "Accuracy": "objectives.accuracy",
    "Architecture": "space",
    "AutoFormer": "spaces.autoformer",
    "BuilderSpace": "spaces.builder",
    "Constraint": "constraint",
    "Darts": "spaces.darts",
    "Device": "device",
    "Direction": "objective",
    "EarlyStopping": "early_stopping",
    "Energy": "hardware.energy",
    "Examples": "data.examples",
    "FBNet": "spaces.fbnet",
    "Failure": "objective",
    "Finalist": "finalist",
    "Flops": "hardware.flops",
    "Front": "front",
    "FullRecipe": "objectives.full_training_recipe",
    "FunctionSpace": "spaces.function",
    "Gene": "space",
    "Hybrid": "objectives.hybrid",
    "ImageData": "data.dataset",
    "Latency": "hardware.latency",
    "MeasuredMemory": "hardware.measured_memory",
    "Measurement": "objective",
    "Memory": "hardware.memory",
    "MnasNet": "spaces.mnasnet",
    "Mote": "objectives.mote",
    "MotemoError": "errors",
    "NasBench101": "spaces.nasbench101",
    "NasBench201": "spaces.nasbench201",
    "NasBenchMacro": "spaces.nasbench_macro",
    "NasProblem": "problem",
    "NasVit": "spaces.nasvit",
    "NatsSize": "spaces.nats_size",
    "Objective": "objective",
    "OnceForAll": "spaces.once_for_all",
    "OnnxRuntimeDevice": "hardware.onnx_runtime",
    "Params": "hardware.params",
    "Pick": "choosing",
    "Pit": "spaces.pit",
    "PredictedLatency": "hardware.predicted_latency",
    "Recipe": "objectives.recipe",
    "RemoteDevice": "hardware.remote_device",
    "Size": "hardware.size",
    "Skipped": "objective",
    "Space": "space",
    "Stage": "objective",
    "TableLookup": "objectives.table",
    "Throughput": "hardware.throughput",
    "TimingProtocol": "device",
    "TorchDevice": "hardware.torch_device",
    "Trained": "final_training",
    "TransNasMacro": "spaces.transnas_macro",
    "TransNasMicro": "spaces.transnas_micro",
    "architecture_svg": "rendering.drawing",
    "correlate": "correlation.run",
    "cpu": "hardware.onnx_runtime",
    "cuda": "hardware.onnx_runtime",
    "deploy": "deployment.folder",
    "load_data": "data.pipeline",
    "read_finalists": "finalist",
    "read_front": "records",
    "reduce_data": "reduction.reduce",
    "rescore": "rescoring",
    "search": "search_loop",
    "select": "choosing",
    "train_finalists": "final_training",
    "trial_objective": "search_loop",
    "work": "search_loop",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the name stands for)
    if name not in _HOMES:
        raise AttributeError(f"module 'motemo' has no attribute {name!r}")
    return getattr(import_module(f"motemo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
