"""Baselines that read a training curve: the same short training that MOTE looks at.

With the same data, recipe and seed, they judge the very training that `Mote` does.

References:
    TSE, TSE-E, TSE-EMA: Ru et al., *Speedy Performance Estimation for Neural Architecture Search*,
    NeurIPS 2021. Deviates: one value per epoch, the mean over its steps, so that sums over steps
    are sums over epochs; negated, so that higher is better.
    Early-stopping accuracy: the plain baseline of many papers, such as Dong and Yang, ICLR 2020.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import reduce

from motemo.data.examples import Examples
from motemo.errors import EvaluationError, SettingsError
from motemo.objective import Measurement, Outcome
from motemo.objectives.terms import landscape_term, speed_term
from motemo.objectives.trace import Trace
from motemo.objectives.training import TraceEstimate, Training
from motemo.space import Architecture, Json


@dataclass(frozen=True, kw_only=True)
class _Curve(TraceEstimate):
    """A number that is read from the trace alone. Higher is better, no unit."""

    @abstractmethod
    def read(self, trace: Trace) -> float:
        """Return the number."""

    def judge(self, architecture: Architecture, training: Training) -> Outcome:
        """Read the trace."""
        return Measurement.exact(self.read(training.trace), self.unit, training.record())


@dataclass(frozen=True, kw_only=True)
class Tse(_Curve):
    """`tse`: minus the sum of the mean training losses of all epochs."""

    name: str = field(default="tse", init=False)

    def read(self, trace: Trace) -> float:
        """Return minus the sum of `(E,)` losses."""
        return -sum(trace.epoch_losses)


@dataclass(frozen=True, kw_only=True)
class TseE(_Curve):
    """`tse_e`: minus the sum over the last epochs only; the first are dominated by the start.

    Attributes:
        last: How many epochs at the end count.
    """

    name: str = field(default="tse_e", init=False)
    last: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last < 1:
            raise SettingsError(f"tse_e needs at least the last epoch; got last={self.last}.")

    def read(self, trace: Trace) -> float:
        """Return minus the sum of the last of `(E,)` losses."""
        return -sum(trace.epoch_losses[-self.last :])

    def identity(self) -> dict[str, Json]:
        """The training and the number of epochs that count."""
        return {**self.training_identity(), "last": self.last}


@dataclass(frozen=True, kw_only=True)
class TseEma(_Curve):
    """`tse_ema`: minus the exponential moving average of the losses.

    Deviates from the paper, which sums the mean losses of all epochs, each with 0.999 to the power
    of the epochs after it: this is an average, begins with the first loss, and forgets much
    faster, since there are few epochs.

    Attributes:
        decay: Weight of what came before, in each epoch.
    """

    name: str = field(default="tse_ema", init=False)
    decay: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay < 1:
            raise SettingsError(f"tse_ema needs a decay in [0, 1); got {self.decay}.")

    def read(self, trace: Trace) -> float:
        """Return minus the average of `(E,)` losses; it begins with the first."""
        return -reduce(
            lambda average, loss: self.decay * average + (1 - self.decay) * loss,
            trace.epoch_losses,
        )

    def identity(self) -> dict[str, Json]:
        """The training and the decay."""
        return {**self.training_identity(), "decay": self.decay}


@dataclass(frozen=True, kw_only=True)
class Landscape(_Curve):
    """`landscape`: the landscape term of MOTE, alone.

    Attributes:
        every: Take every so many of the G + 1 points, from the initial weights on; it divides G.
    """

    name: str = field(default="landscape", init=False)
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.every < 1 or self.recipe.landscape_intervals % self.every:
            raise SettingsError(
                f"landscape needs an `every` that divides the {self.recipe.landscape_intervals} "
                f"intervals of its recipe; got {self.every}."
            )

    def read(self, trace: Trace) -> float:
        """Return the sum of 1 / L over the points."""
        return landscape_term(trace.landscape_losses[:: self.every])

    def identity(self) -> dict[str, Json]:
        """The training and which points are taken."""
        return {**self.training_identity(), "every": self.every}


@dataclass(frozen=True, kw_only=True)
class Speed(_Curve):
    """`speed`: the speed term of MOTE, alone and without a clock: 1 / mean loss."""

    name: str = field(default="speed", init=False)

    def read(self, trace: Trace) -> float:
        """Return one over the mean of `(E,)` losses."""
        return speed_term(trace.epoch_losses, 1.0)


@dataclass(frozen=True, kw_only=True)
class EarlyAccuracy(_Curve):
    """`early_accuracy`: accuracy on held-out images after the short training, in [0, 1].

    Its training differs from MOTE's: part of the images is held out.

    Attributes:
        share: Share of the images that is held out.
    """

    name: str = field(default="early_accuracy", init=False)
    share: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.data, Examples) and not self.data.has_classes:
            raise SettingsError(
                "early_accuracy needs a class for each example: targets (N,) of whole numbers; "
                f"{self.data.name!r} has {tuple(self.data.targets.shape)} of "
                f"{self.data.targets.dtype}. Take another estimate, such as landscape."
            )
        if not 0 < self.share < 1:
            raise SettingsError(f"early_accuracy needs a share in (0, 1); got {self.share}.")
        held_out = round(self.share * len(self.data))
        if not 1 <= held_out <= len(self.data) - 2:
            raise SettingsError(
                f"early_accuracy needs at least 1 image to hold out and 2 to train on; a share of "
                f"{self.share} holds out {held_out} of {len(self.data)}. Give another share."
            )

    @property
    def held_out(self) -> float:
        """The share."""
        return self.share

    def read(self, trace: Trace) -> float:
        """Return the accuracy."""
        if trace.held_out_accuracy is None:
            raise EvaluationError("the training held no images out")
        return trace.held_out_accuracy
