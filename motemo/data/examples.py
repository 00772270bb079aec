"""Examples of any kind, in memory: inputs, targets, and the loss of a network on them.

What a training needs to know of its data. Images with labels are one kind (`image_examples`);
regression, segmentation or sequences are the user's own (`Examples`, `Examples.of_loader`).
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import TypeAlias

import torch
from torch.nn import functional as F  # noqa: N812  (torch's own name for it)

from motemo.data.dataset import ImageData
from motemo.errors import DataError
from motemo.space import Json, Shape

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From the outputs `(n, ...)` of a network and the targets `(n, ...)` to their mean loss, a scalar.
Lower is better. It has to be positive: MOTE takes its reciprocal."""


_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Inputs and targets of a supervised task, and its loss.

    Attributes:
        name: What they are, for people.
        inputs: `(N, ...)`, what a network is given, such as images `(N, C, H, W)`.
        targets: `(N, ...)`, what the loss compares its outputs with.
        loss: Mean loss of outputs and targets.
        outputs: What `Space.build` is told as its number of classes, such as 1 for a regression
            of one number.
        loss_name: Stands for the loss in the identity; by default its qualified name, with the
            options that a module of torch shows. Give one if two losses of the same name differ,
            in their options or their code.

    Raises:
        DataError: There are fewer than two examples, or not as many targets as inputs.
    """

    name: str
    inputs: torch.Tensor = field(repr=False)
    targets: torch.Tensor = field(repr=False)
    loss: Loss = field(repr=False)
    outputs: int
    loss_name: str = ""

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets) or len(self.inputs) < 2:
            raise DataError(
                f"{self.name}: as many targets as inputs are needed, and at least two; got "
                f"{len(self.inputs)} inputs and {len(self.targets)} targets."
            )
        if self.outputs < 1:
            raise DataError(f"{self.name}: outputs must be at least 1; got {self.outputs}.")

    @classmethod
    def of_loader(
        cls,
        loader: Iterable[tuple[torch.Tensor, torch.Tensor]],
        *,
        name: str,
        loss: Loss,
        outputs: int,
        loss_name: str = "",
    ) -> Examples:
        """Read a loader of batches (inputs, targets) once, as `torch.utils.data.DataLoader` is.

        The examples stay in memory; each training shuffles and batches them by its own seed. What
        the loader augments at random is drawn once, here.

        Raises:
            DataError: It gives no batch, or batches of different shapes.
        """
        batches = list(loader)
        try:
            inputs = torch.cat([batch[0] for batch in batches])
            targets = torch.cat([batch[1] for batch in batches])
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise DataError(
                f"{name}: the loader must give batches (inputs, targets) of tensors whose shapes "
                f"agree beyond the first dimension; got {len(batches)} batches. {error}"
            ) from error
        return cls(
            name=name,
            inputs=inputs.detach(),
            targets=targets.detach(),
            loss=loss,
            outputs=outputs,
            loss_name=loss_name,
        )

    @property
    def has_classes(self) -> bool:
        """Whether each target is one whole number, as a class is."""
        return self.targets.dim() == 1 and self.targets.dtype in _WHOLE

    def __len__(self) -> int:
        return len(self.inputs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Examples):
            return False
        # Names do not tell two lambdas apart, so in one process the functions count, too.
        return self.loss == other.loss and self.identity() == other.identity()

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def input_shape(self) -> Shape:
        """Shape of one input: (C, H, W) of an image, whatever else of another kind."""
        return tuple(self.inputs.shape[1:])  # type: ignore[return-value]

    @cached_property
    def sha256(self) -> str:
        """Digest of inputs and targets."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.targets):
            digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def identity(self) -> dict[str, Json]:
        """Name, shape, outputs, loss and digest."""
        return {
            "name": self.name,
            "shape": list(self.inputs.shape),
            "outputs": self.outputs,
            "loss": self.loss_name or _name_of(self.loss),
            "sha256": self.sha256,
        }

    def take(self, chosen: torch.Tensor) -> Examples:
        """Return the examples of those indices."""
        return Examples(
            name=self.name,
            inputs=self.inputs[chosen],
            targets=self.targets[chosen],
            loss=self.loss,
            outputs=self.outputs,
            loss_name=self.loss_name,
        )


def _name_of(loss: Loss) -> str:
    """Return what a loss is called: a function by its name, a module by what it prints."""
    if isinstance(loss, torch.nn.Module):
        return f"{type(loss).__module__}.{loss!r}"
    named = loss.func if isinstance(loss, partial) else loss
    owner = named if inspect.isroutine(named) else type(named)
    options = f"{loss.args}{loss.keywords}" if isinstance(loss, partial) else ""
    return f"{owner.__module__}.{owner.__qualname__}{options}"


@lru_cache(maxsize=4)
def image_examples(data: ImageData, label_smoothing: float) -> Examples:
    """Return labelled images, in [0, 1], with the cross-entropy as their loss."""
    images = torch.from_numpy(data.images).float().div_(255)

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if logits.shape != (len(labels), data.classes):
            raise ValueError(
                f"the network must map {len(labels)} images to logits ({len(labels)}, "
                f"{data.classes}); it returned {tuple(logits.shape)}"
            )
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    return Examples(
        name=data.name,
        inputs=images.contiguous(memory_format=torch.channels_last),
        targets=torch.from_numpy(data.labels),
        loss=loss,
        outputs=data.classes,
        loss_name=f"cross_entropy(label_smoothing={label_smoothing})",
    )
