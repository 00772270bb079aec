"""Running a builder for its questions alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from motemo.errors import MotemoError
from motemo.seeds import seeded_torch
from motemo.space import Choice, Gene, Shape
from motemo.spaces.suggestions import Suggestions

if TYPE_CHECKING:
    from torch import nn

Builder: TypeAlias = "Callable[[Any, Shape, int], nn.Module]"
"""From what suggests values as an Optuna trial does, the shape of one image (C, H, W) and the
number of classes to a network that maps images `(N, C, H, W)` to logits `(N, classes)`."""


class Asked(NamedTuple):
    """What a run has asked for.

    Attributes:
        genes: In this order.
        reason: Why the builder refuses the answers, or None.
        error: What it raised besides, or None.
    """

    genes: tuple[Gene, ...]
    reason: str | None = None
    error: Exception | None = None


@dataclass
class DryRun:
    """Runs a builder where networks are cheap: on torch's device `meta`, without values of weights.

    A builder that looks at values cannot run there, and runs on the CPU from then on.

    Attributes:
        build: The builder.
        input_shape: Shape of one image (C, H, W) that it is given.
        classes: Number of classes that it is given.
    """

    build: Builder
    input_shape: Shape
    classes: int
    _device: str = field(default="meta", init=False)

    def __call__(self, answer: Callable[[Gene], Choice]) -> Asked:
        """Run it with these answers; the same gene must get the same answer again."""
        asked = self._run(answer)
        if asked.error is not None and self._device == "meta":
            again = self._run(answer, device="cpu")
            if again.error is None:
                self._device = "cpu"
            return again
        return asked

    def _run(self, answer: Callable[[Gene], Choice], *, device: str | None = None) -> Asked:
        import torch
        from optuna import TrialPruned

        trial = Suggestions(answer)
        try:
            with seeded_torch(0), torch.device(device or self._device):
                self.build(trial, self.input_shape, self.classes)
        except MotemoError:
            raise
        except (TrialPruned, ValueError) as error:
            return Asked(trial.genes, reason=reason_of(error))
        except Exception as error:  # noqa: BLE001  (a user's own builder may raise anything)
            return Asked(trial.genes, error=error)
        return Asked(trial.genes)


def reason_of(error: Exception) -> str:
    """Return what an error says, or what it is if it says nothing."""
    return str(error).strip() or type(error).__name__
