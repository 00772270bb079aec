"""Running a builder for its questions alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from motemo.errors import EvaluationError, MotemoError
from motemo.seeds import seeded_torch
from motemo.space import Choice, Gene, Shape
from motemo.spaces.decision_space import Builder
from motemo.spaces.lazy_modules import require_network
from motemo.spaces.suggestions import Suggestions


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
                require_network(self.build(trial, self.input_shape, self.classes))
        except EvaluationError as error:
            return Asked(trial.genes, error=error)
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
