"""A network with its weights, and the files that hold it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motemo.errors import EvaluationError
from motemo.finalist import Finalist
from motemo.front import Member
from motemo.space import Json, Shape

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from motemo.data.dataset import ImageData
    from motemo.onnx.session import Session

_IMAGES, _BATCH = 192, 32
"""A third of them fixes the scales of the int8 model, the others tell what it changes."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is ready to be written, in evaluation mode.

    Attributes:
        module: Maps normalised images `(N, C, H, W)` to logits `(N, K)`.
        trained: Whether its weights are trained; else they are initial.
        input_shape: Shape of one image, (C, H, W).
        mean: What is taken from the pixel values in [0, 1] of each channel.
        std: What the rest is divided by.
    """

    module: nn.Module
    trained: bool
    input_shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of_finalist(cls, member: Member, finalist: Finalist) -> Network:
        """Return a trained network.

        Raises:
            EvaluationError: The finalist is of another architecture, or its weights do not fit.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if finalist.genotype != member.architecture.genotype:
            raise EvaluationError(
                f"the finalist in {finalist.folder} is {finalist.genotype!r}, not "
                f"{member.architecture.genotype!r}"
            )
        shape, classes = finalist.input_shape, finalist.classes
        module = member.architecture.build(input_shape=shape, classes=classes)
        try:
            module.load_state_dict(load_file(finalist.weights))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise EvaluationError(f"{finalist.weights} does not fit: {error}") from error
        mean, std = finalist.mean, finalist.std
        return cls(module=module.eval(), trained=True, input_shape=shape, mean=mean, std=std)

    @classmethod
    def untrained(
        cls, member: Member, *, input_shape: Shape, classes: int, seed: int = 0
    ) -> Network:
        """Return a network with initial weights, a function of the seed."""
        module = member.architecture.build(input_shape=input_shape, classes=classes, seed=seed)
        mean, std = (0.0,) * input_shape[0], (1.0,) * input_shape[0]
        return cls(module=module.eval(), trained=False, input_shape=input_shape, mean=mean, std=std)

    def counts(self) -> dict[str, Json]:
        """Return parameters and multiply-adds at this input shape; null for what is not known."""
        from motemo.counting import count_operators, count_parameters

        try:
            flops = count_operators(self.module, self.input_shape).flops
        except Exception:  # noqa: BLE001  (tracing runs the user's own forward)
            return {"params": count_parameters(self.module), "flops": None}
        return {"params": count_parameters(self.module), "flops": flops}

    def safetensors(self, metadata: Mapping[str, str]) -> bytes:
        """Return the state of the network as the content of a safetensors file."""
        from safetensors.torch import save

        state = {
            name: tensor.detach().clone().contiguous()  # of shared tensors, one each
            for name, tensor in self.module.state_dict().items()
        }
        return save(state, dict(metadata))

    def program(self) -> bytes:
        """Return the network as a program of `torch.export`, for batches of any size.

        Raises:
            EvaluationError: torch cannot export it.
        """
        import torch

        images = torch.zeros(2, *self.input_shape)
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own
            try:
                batch = ({0: torch.export.Dim("N")},)
                program = torch.export.export(self.module, (images,), dynamic_shapes=batch)
                torch.export.save(program, buffer)
            except Exception as error:  # tracing runs the user's own forward
                summary = str(error).strip().splitlines()[0]
                raise EvaluationError(f"torch.export failed: {summary}") from error
        return buffer.getvalue()

    def int8(
        self, model: onnx.ModelProto, data: ImageData, metadata: Mapping[str, str]
    ) -> tuple[bytes, dict[str, Json]]:
        """Return the network in int8, and how its logits differ from those in float32.

        Untrained networks get statistics of the images for their batch normalisation, without
        which no precision but float32 could hold their activations.

        Args:
            model: The network as an ONNX model.
            data: Images to fix the scales by, and to compare on.
            metadata: Entries of the model's metadata.

        Raises:
            EvaluationError: ONNX Runtime cannot quantise it.
        """
        from onnx import helper

        from motemo.export import checked_onnx
        from motemo.hardware.calibration import calibration_images, settled
        from motemo.hardware.output_difference import output_difference
        from motemo.onnx.precision import quantize
        from motemo.onnx.session import open_session

        images = self.normalised(calibration_images(data, self.input_shape, batch=_IMAGES))
        fixing, comparing = images[::3], np.delete(images, np.s_[::3], axis=0)
        if not self.trained:
            module = settled(self.module, fixing)
            model = checked_onnx(module, self.input_shape, metadata=metadata)
        reduced = quantize(model, fixing)
        helper.set_model_props(reduced, dict(metadata))
        exact, changed = (_logits(open_session(m), comparing) for m in (model, reduced))
        return reduced.SerializeToString(), output_difference(exact, changed)

    def normalised(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return images `(N, C, H, W)` with pixel values in [0, 1] as the network takes them."""
        mean, std = (np.reshape(v, (1, -1, 1, 1)).astype(np.float32) for v in (self.mean, self.std))
        return (images - mean) / std


def _logits(session: Session, images: NDArray[np.float32]) -> NDArray[np.float32]:
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    return np.concatenate([session(batch) for batch in batches])
