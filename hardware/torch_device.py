"""Devices that run PyTorch itself."""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, final

import torch

from motemo.data.dataset import ImageData
from motemo.device import Timing, TimingProtocol
from motemo.errors import DeviceError, EvaluationError
from motemo.hardware.calibration import calibration_images, settled
from motemo.hardware.gpu import gpu_identity
from motemo.hardware.local_device import Load, Loaded, LocalDevice
from motemo.hardware.output_difference import output_difference
from motemo.hardware.runtime_settings import check_choice, check_threads_and_batch
from motemo.host import host_identity
from motemo.onnx.session import example_images
from motemo.space import Json, Shape

if TYPE_CHECKING:
    from torch import nn

MODES = ("eager", "compiled", "cuda_graph")
PLACES = ("cpu", "cuda")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CAPTURE_RUNS = 3
_NO_COMPILER = ("InvalidCxxCompiler", "TritonMissing")
_Forward: TypeAlias = Callable[[torch.Tensor], object]


@final
@dataclass(frozen=True, kw_only=True)
class TorchDevice(LocalDevice):
    """PyTorch on this host. On a GPU, times are those of its own clock (CUDA events).

    - `eager`: each operator is called from Python; on a GPU, small networks wait for Python.
    - `compiled`: by `torch.compile`. It takes seconds to minutes a network, which is part of the
      figure's `export_ms` and not of the latency, and needs a C++ compiler or, on a GPU, Triton.
    - `cuda_graph`: the operators are recorded once and replayed without Python, on a GPU only.

    In other precisions than float32 the whole network is cast, images and logits too, and a
    figure's record says under `output_difference` how the logits differ from float32, as
    `OnnxRuntimeDevice` does.

    Attributes:
        name: Name of the device.
        mode: `eager`, `compiled` or `cuda_graph`.
        place: `cpu` or `cuda`, which is the first GPU.
        threads: Threads that compute one inference on the processor, each on a core of its own.
        batch: Images of one run.
        precision: `float32` (on a GPU without TF32), `bfloat16` or `float16`.
        channels_last: Whether images and weights lie in memory with the channels last.
        compile_mode: How `torch.compile` optimises, as it names it.
        calibration: Images for the output difference; random ones if None.

    Raises:
        SettingsError: There are fewer cores than threads, or there is no such mode.
        DeviceError: There is no GPU.
    """

    name: str = "torch"
    mode: str = "eager"
    place: str = "cpu"
    threads: int = 1
    batch: int = 1
    precision: str = "float32"
    channels_last: bool = False
    compile_mode: str = "default"
    calibration: ImageData | None = None

    def __post_init__(self) -> None:
        check_threads_and_batch(self.threads, self.batch)
        check_choice("mode", self.mode, MODES)
        check_choice("place", self.place, PLACES if self.mode != "cuda_graph" else ("cuda",))
        check_choice("precision", self.precision, tuple(PRECISIONS))
        check_choice("compile_mode", self.compile_mode, COMPILE_MODES)
        if self.place == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                "PyTorch here has no CUDA GPU. Install a PyTorch build for CUDA on a host with an "
                "NVIDIA GPU, or choose another device."
            )

    def deploy(self, network: nn.Module, input_shape: Shape) -> Load:
        """Copy the network, cast and compile it.

        Raises:
            DeviceError: `torch.compile` has no compiler here.
            EvaluationError: The network cannot be compiled.
        """
        notes: dict[str, Json] = {}
        images = self._placed(torch.from_numpy(example_images(input_shape, batch=self.batch)))
        with self._threads(), torch.no_grad():
            if self.precision == "float32":
                deployed = self._cast(network)
            else:
                deployed, notes["output_difference"] = self._reduced(network, input_shape)
            if self.mode == "compiled":
                forward = _compiled(deployed, images, mode=self.compile_mode)
                return lambda: self._loaded(forward, images, notes)
        return lambda: self._loaded(copy.deepcopy(deployed), images, notes)

    def time_deployed(self, load: Load, protocol: TimingProtocol) -> Timing:
        """Time it on the device's threads."""
        with self._threads():
            return super().time_deployed(load, protocol)

    def identity(self) -> dict[str, Json]:
        """Runtime, mode, threads, batch, precision, layout, host; calibration where it matters."""
        identity: dict[str, Json] = {
            "name": self.name,
            "runtime": f"torch {torch.__version__}",
            "mode": self.mode,
            "place": self.place,
            "threads": self.threads,
            "precision": self.precision,
            "channels_last": self.channels_last,
            "batch": self.batch,
            **host_identity(),
        }
        if self.mode == "compiled":
            identity["compile_mode"] = self.compile_mode
        if self.precision != "float32":
            data = self.calibration
            identity["calibration"] = "random images" if data is None else data.identity()
        return identity | (gpu_identity() if self.place == "cuda" else {})

    def _loaded(
        self,
        forward: _Forward,
        images: torch.Tensor,
        notes: dict[str, Json],
    ) -> Loaded:
        if self.mode == "cuda_graph":
            return Loaded(run=_on_gpu_clock(_recorded(forward, images)), notes=notes)

        @torch.no_grad()
        def run() -> None:
            forward(images)

        if self.place == "cuda":
            return Loaded(run=_on_gpu_clock(run), notes=notes)
        return Loaded(run=run, on_calling_thread=self.threads == 1, notes=notes)

    def _cast(self, network: nn.Module) -> nn.Module:
        """Return a copy in evaluation mode where, how and in what precision it is to run."""
        place, kind = torch.device(self.place), PRECISIONS[self.precision]
        deployed = copy.deepcopy(network).eval().to(device=place, dtype=kind)
        laid_out: nn.Module = deployed.to(memory_format=self._layout)  # type: ignore[call-overload]
        return laid_out

    def _placed(self, images: torch.Tensor) -> torch.Tensor:
        place, kind = torch.device(self.place), PRECISIONS[self.precision]
        return images.to(device=place, dtype=kind, memory_format=self._layout)

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def _reduced(self, network: nn.Module, shape: Shape) -> tuple[nn.Module, dict[str, Json]]:
        """Return the network in reduced precision, and what that changes."""
        images = calibration_images(self.calibration, shape, batch=self.batch)
        exact = settled(network, images)
        reduced = self._cast(exact)
        batches = torch.split(torch.from_numpy(images), self.batch)
        return reduced, output_difference(
            torch.cat([exact(batch) for batch in batches]).numpy(),
            torch.cat([reduced(self._placed(batch)).float().cpu() for batch in batches]).numpy(),
        )

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Let torch compute on the device's threads, and in float32 without TF32."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
                yield
        finally:
            torch.set_num_threads(before)


def torch_compiled(
    *,
    name: str = "torch_compiled",
    threads: int = 1,
    batch: int = 1,
    precision: str = "float32",
    calibration: ImageData | None = None,
) -> TorchDevice:
    """Return this host's processor, by `torch.compile`."""
    return TorchDevice(
        name=name,
        mode="compiled",
        threads=threads,
        batch=batch,
        precision=precision,
        calibration=calibration,
    )


def torch_cuda(
    *,
    name: str = "torch_cuda",
    threads: int = 1,
    batch: int = 1,
    precision: str = "float32",
    calibration: ImageData | None = None,
) -> TorchDevice:
    """Return this host's first NVIDIA GPU, by CUDA graphs."""
    return TorchDevice(
        name=name,
        mode="cuda_graph",
        place="cuda",
        threads=threads,
        batch=batch,
        precision=precision,
        calibration=calibration,
    )


def _compiled(network: nn.Module, images: torch.Tensor, *, mode: str) -> _Forward:
    """Return the compiled network, after its first run."""

    def forward(images: torch.Tensor) -> object:
        return network(images)

    # torch.compile keeps a few compiled forms of one code object; each network has one of its own.
    own = types.FunctionType(
        forward.__code__.replace(), globals(), "forward", None, forward.__closure__
    )
    compiled: _Forward = torch.compile(own, fullgraph=True, dynamic=False, mode=mode)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own ageing
            compiled(images)
    except Exception as error:  # dynamo, inductor and the compilers raise their own
        text = str(error).strip() or type(error).__name__
        if any(name in text for name in _NO_COMPILER):
            raise DeviceError(
                "torch.compile found no working compiler here. Install g++ or clang and name it in "
                "CXX (on a GPU: install Triton), or choose another device."
            ) from error
        raise EvaluationError(f"torch.compile failed: {text.splitlines()[0]}") from error
    return compiled


@torch.no_grad()
def _recorded(forward: _Forward, images: torch.Tensor) -> Callable[[], None]:
    """Return what replays the operators of one run, recorded as a CUDA graph.

    Some runs come first, on another stream, as recording needs it.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_CAPTURE_RUNS):
            forward(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = forward(images)

    def replay() -> None:
        graph.replay()
        _ = logits, images, forward  # their memory is the graph's: it must live as long

    return replay


def _on_gpu_clock(run: Callable[[], None]) -> Callable[[], float]:
    """Return what runs, waits for the end, and tells the milliseconds that the GPU took."""
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def timed() -> float:
        begin.record()
        run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))

    return timed
