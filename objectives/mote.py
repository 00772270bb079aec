"""`mote`: the multi-objective training-based estimate of accuracy.

A candidate's reduced architecture is trained for a short while; the trace of that training gives
a landscape term and a speed term, and a calibration combines them.

Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient Neural
Architecture Search*, NeurIPS 2024, and the authors' reference implementation.

Where the default deviates from the reference, and why:

* the speed term takes no wall clock, which would make scores depend on the machine and its load;
* the landscape is evaluated without training, on batch statistics, instead of training an epoch
  from each of its points (22 % more training);
* a training that diverges starts again from other weights, a bounded number of times;
* training is far shorter, with a higher learning rate, and the landscape is taken on a sample;
* a space without published constants is calibrated from its own architectures.

`Mote.reference` gives the published behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from statistics import stdev
from typing import Literal, TypeAlias

import numpy as np

from motemo.counting import count_operators
from motemo.data.dataset import ImageData
from motemo.errors import DeviceError, EvaluationError, SettingsError, UsageError
from motemo.host import host_identity
from motemo.objective import (
    EPOCH_LOSSES,
    Direction,
    Failure,
    Measurement,
    Outcome,
    Skipped,
    Stage,
    Watch,
    Watchable,
    evaluate_each,
)
from motemo.objectives.calibration import MIN_TERMS, PUBLISHED, Calibration
from motemo.objectives.terms import Terms, landscape_term, speed_term
from motemo.objectives.trace import (
    REFERENCE_RECIPE,
    LossWatch,
    Recipe,
    Trace,
    go_on,
    record_trace,
    torch_device,
)
from motemo.seeds import derive_seed
from motemo.space import Architecture, Json, Shape, Space
from motemo.spaces.function import FunctionSpace
from motemo.spaces.nasbench201 import NasBench201

SpeedCost: TypeAlias = Literal["none", "flops", "seconds"]

# What ties our costs to the published ones: the median training time over NAS-Bench-201, in V100
# seconds, the median multiply-adds of its reduced architectures at 3x32x32, and a cell that has
# both (its published time is 7.52 s).
PUBLISHED_SECONDS = 7.516
PUBLISHED_FLOPS = 12_026_186
YARDSTICK = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"
_COUNTING_SHAPE: Shape = (3, 32, 32)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One architecture's trace and terms.

    Attributes:
        trace: The trace.
        terms: Its terms.
        seed: Seed of weights and order.
        attempts: Trainings until one did not diverge.
    """

    trace: Trace
    terms: Terms
    seed: int
    attempts: int

    def record(self) -> dict[str, Json]:
        """Return all of it, JSON-able."""
        return {
            **_training_record(self.trace, self.seed, self.attempts),
            "landscape_losses": list(self.trace.landscape_losses),
            "landscape_term": self.terms.landscape,
            "speed_term": self.terms.speed,
        }


@dataclass(frozen=True, kw_only=True)
class Mote(Watchable):
    """MOTE of the reduced architecture, trained on `data`. Higher is better, no unit.

    The record holds the trace, both terms, the seed and the attempts, so that terms can be
    recomputed without training again. The value repeats exactly on one machine.

    Attributes:
        data: The images to train on, best a reduced data set.
        recipe: How to train.
        speed_cost: The cost T in the speed term: `none` takes one constant for all, `flops` the
            multiply-adds of the reduced architecture, `seconds` the wall clock; each scaled to
            the published median.
        calibration: Constants of the combination. None takes the published ones of the space,
            or, where there are none, fits them to `calibration_size` random architectures.
        calibration_size: Architectures that a new space is calibrated from.
        seed: Seed of weights and order of images, together with each architecture's key.
        retries: How often a diverged training starts again from other weights.
        train_device: torch device to train on, such as `cpu` or `cuda`.
    """

    data: ImageData
    name: str = "mote"
    recipe: Recipe = field(default_factory=Recipe)
    speed_cost: SpeedCost = "none"
    calibration: Calibration | None = None
    calibration_size: int = 8
    seed: int = 0
    retries: int = 3
    train_device: str = "cpu"
    unit: str = field(default="", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(default=Stage.TRAIN, init=False)

    def __post_init__(self) -> None:
        if self.speed_cost not in ("none", "flops", "seconds"):
            raise SettingsError(
                f"Unknown speed_cost {self.speed_cost!r}. Allowed: 'none', 'flops', 'seconds'."
            )
        if self.calibration_size < MIN_TERMS:
            raise SettingsError(
                f"A calibration needs at least {MIN_TERMS} architectures; "
                f"got calibration_size={self.calibration_size}."
            )
        if self.retries < 0:
            raise SettingsError(f"retries cannot be negative; got {self.retries}. Give 0 or more.")
        torch_device(self.train_device)

    @classmethod
    def reference(
        cls,
        data: ImageData,
        *,
        seed: int = 0,
        train_device: str = "cpu",
        calibration: Calibration | None = None,
    ) -> Mote:
        """Return the published behaviour: recipe, landscape by fitting, wall-clock speed term.

        Seconds are scaled so that one fixed cell, trained for two epochs before anything else,
        has its published time: the Box-Cox constants then hold on other machines.
        """
        return cls(
            data=data,
            name="mote_reference",
            recipe=REFERENCE_RECIPE,
            speed_cost="seconds",
            calibration=calibration,
            seed=seed,
            train_device=train_device,
        )

    def evaluate_watched(
        self, architectures: Sequence[Architecture], watch: Watch
    ) -> list[Outcome]:
        """Train each reduced architecture and score its trace."""
        return evaluate_each(architectures, lambda a: self._measure(a, partial(watch, a)))

    def identity(self) -> dict[str, Json]:
        """Data, recipe, cost, calibration, seed, retries."""
        fitted: dict[str, Json] = {"published_or_fitted_on": self.calibration_size}
        measured = host_identity() if self.speed_cost == "seconds" else {}
        return {
            "data": self.data.identity(),
            "recipe": self.recipe.identity(),
            "speed_cost": self.speed_cost,
            "calibration": self.calibration.identity() if self.calibration else fitted,
            "seed": self.seed,
            "retries": self.retries,
            "train_device": self.train_device.partition(":")[0],
            **measured,
        }

    def _measure(self, architecture: Architecture, watch: LossWatch) -> Outcome:
        calibration = self.calibration or _space_calibration(self, architecture.space)
        if isinstance(calibration, Failure):
            return calibration
        scored = self.score(architecture, watch)
        if not isinstance(scored, Scored):
            return scored
        low, high = (
            calibration.combine(Terms(scored.terms.landscape, scored.terms.speed * factor))
            for factor in self._clock_spread(scored.trace)
        )
        return Measurement(
            value=calibration.combine(scored.terms),
            unit=self.unit,
            low=low,
            high=high,
            record={**scored.record(), "calibration": calibration.identity()},
        )

    def _clock_spread(self, trace: Trace) -> tuple[float, float]:
        """Return the factors between which the clock's share may vary in a repetition (95 %)."""
        seconds = trace.epoch_seconds
        if self.speed_cost != "seconds" or len(seconds) == 1:
            return 1.0, 1.0
        spread = 1.96 * stdev(seconds) * len(seconds) ** 0.5 / trace.train_seconds
        return max(0.0, 1 - spread), 1 + spread

    def score(
        self, architecture: Architecture, watch: LossWatch = go_on
    ) -> Scored | Failure | Skipped:
        """Train until a trace is finite; return it with its terms, not yet combined.

        A training that `watch` stops is skipped, with what there is of its trace.
        """
        reasons: list[str] = []
        for attempt in range(1 + self.retries):
            seed = derive_seed("mote", self.seed, architecture.key, attempt)
            try:
                trace = self._train(architecture, seed, watch)
            except EvaluationError as error:
                reasons.append(str(error))
                continue
            if trace.stopped is not None:
                record = _training_record(trace, seed, attempt + 1)
                return Skipped(trace.stopped, record, paid=True)
            terms = Terms(
                landscape=landscape_term(trace.landscape_losses),
                speed=speed_term(trace.epoch_losses, self._cost(architecture, trace)),
            )
            return Scored(trace=trace, terms=terms, seed=seed, attempts=attempt + 1)
        return Failure(f"{reasons[-1]} (in each of {len(reasons)} attempts)")

    def _train(self, architecture: Architecture, seed: int, watch: LossWatch) -> Trace:
        network = architecture.build_reduced(
            input_shape=self.data.image_shape, classes=self.data.classes, seed=seed
        )
        return record_trace(
            network,
            self.data,
            recipe=self.recipe,
            seed=seed,
            train_device=self.train_device,
            watch=watch,
        )

    def _cost(self, architecture: Architecture, trace: Trace) -> float:
        """Return T of the speed term, in published seconds."""
        match self.speed_cost:
            case "none":
                return PUBLISHED_SECONDS
            case "flops":
                network = architecture.build_reduced(input_shape=_COUNTING_SHAPE, classes=10)
                flops = count_operators(network, _COUNTING_SHAPE).flops
                return PUBLISHED_SECONDS * flops / PUBLISHED_FLOPS
            case "seconds":
                return PUBLISHED_SECONDS * trace.train_seconds / _yardstick_seconds(self)


def _training_record(trace: Trace, seed: int, attempts: int) -> dict[str, Json]:
    return {
        EPOCH_LOSSES: list(trace.epoch_losses),
        "epoch_seconds": list(trace.epoch_seconds),
        "seed": seed,
        "attempts": attempts,
    }


@lru_cache(maxsize=8)
def _space_calibration(mote: Mote, space: Space) -> Calibration | Failure:
    """Return the constants of a space: published, or fitted to random architectures of it."""
    published = PUBLISHED.get(space.name)
    if published is not None and not isinstance(space, FunctionSpace):
        return published
    rng = np.random.default_rng(derive_seed("calibration", mote.seed, space.name))
    chosen: dict[str, Architecture] = {}
    for _ in range(100 * mote.calibration_size):
        if len(chosen) == mote.calibration_size:
            break
        architecture = space.sample(rng)
        if architecture.invalid_reason is None:
            chosen.setdefault(architecture.key, architecture.canonical)
    terms: list[Terms] = []
    reason = "the space has no more"
    for architecture in chosen.values():
        try:
            scored = mote.score(architecture)  # unwatched: constants must not depend on the study
        except (UsageError, DeviceError):
            raise
        except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
            scored = Failure(f"{type(error).__name__}: {error}")
        if isinstance(scored, Scored):
            terms.append(scored.terms)
        else:
            reason = scored.reason
    if len(terms) < MIN_TERMS:
        return Failure(
            f"calibration failed: {len(terms)} of {len(chosen)} random architectures could be "
            f"trained, {MIN_TERMS} are needed; the last reason: {reason}. Give Mote a calibration."
        )
    return Calibration.fit(terms)


@lru_cache(maxsize=8)
def _yardstick_seconds(mote: Mote) -> float:
    """Return the seconds that the yardstick cell takes here, from its second epoch.

    The first one warms up: memory, kernels, clocks.
    """
    yardstick = NasBench201().architecture(YARDSTICK)
    network = yardstick.build_reduced(input_shape=mote.data.image_shape, classes=mote.data.classes)
    two_epochs = replace(
        mote.recipe, epochs=2, landscape_intervals=1, landscape_mode="evaluate", landscape_images=2
    )
    trace = record_trace(
        network, mote.data, recipe=two_epochs, seed=0, train_device=mote.train_device
    )
    return trace.epoch_seconds[-1] * mote.recipe.epochs
