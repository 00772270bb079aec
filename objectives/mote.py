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
* training is far shorter, on fewer images, with a higher learning rate, and the landscape is
  taken on a sample;
* no ReLU follows the cells of NAS-Bench-201's reduced architectures;
* all architectures see the same images in the same order, so that these set none apart;
* a space without published constants is calibrated from its own architectures.

`Mote.reference` gives the published behaviour.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import stdev
from typing import Literal, TypeAlias

import numpy as np

from motemo.counting import count_operators
from motemo.data.dataset import ImageData
from motemo.errors import DeviceError, SettingsError, UsageError
from motemo.host import host_identity
from motemo.objective import Failure, Measurement, Outcome
from motemo.objectives.calibration import MIN_TERMS, PUBLISHED, Calibration
from motemo.objectives.recipe import REFERENCE_RECIPE
from motemo.objectives.terms import Terms, landscape_term, speed_term
from motemo.objectives.trace import Trace
from motemo.objectives.training import TraceEstimate, Training
from motemo.seeds import derive_seed
from motemo.space import Architecture, Json, Shape, Space
from motemo.spaces.decision_space import DecisionSpace
from motemo.spaces.nasbench201 import NasBench201

_logger = logging.getLogger(__name__)

SpeedCost: TypeAlias = Literal["none", "flops", "seconds"]

# What ties our costs to the published ones: the median training time over NAS-Bench-201, in V100
# seconds, the median multiply-adds of its reduced architectures at 3x32x32, and a cell that has
# both (its published time is 7.52 s).
PUBLISHED_SECONDS = 7.516
PUBLISHED_FLOPS = 12_026_186
YARDSTICK = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"
_COUNTING_SHAPE: Shape = (3, 32, 32)


@dataclass(frozen=True, kw_only=True)
class Mote(TraceEstimate):
    """MOTE of the reduced architecture, trained on `data`. Higher is better, no unit.

    The record holds the trace, both terms, the seed and the attempts, so that terms can be
    recomputed without training again. The value repeats exactly on one machine.

    Attributes:
        speed_cost: The cost T in the speed term: `none` takes one constant for all, `flops` the
            multiply-adds of the reduced architecture, `seconds` the time of its training; each
            scaled to the published median.
        terms: Which terms count: `both`, `landscape` or `speed`.
        calibration: Constants of the combination. None takes the published ones of the space,
            or, where there are none for its reduced architectures, fits them to
            `calibration_size` random architectures.
        calibration_size: Architectures that a new space is calibrated from.
    """

    name: str = "mote"
    speed_cost: SpeedCost = "none"
    terms: Literal["both", "landscape", "speed"] = "both"
    calibration: Calibration | None = None
    calibration_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (
            ("speed_cost", ("none", "flops", "seconds")),
            ("terms", ("both", "landscape", "speed")),
        ):
            if getattr(self, name) not in allowed:
                raise SettingsError(
                    f"Unknown {name} {getattr(self, name)!r}. "
                    f"Allowed: {', '.join(map(repr, allowed))}."
                )
        if self.speed_cost == "seconds" and not isinstance(self.data, ImageData):
            raise SettingsError(
                "speed_cost 'seconds' is scaled by a cell that is trained on images; got "
                f"{self.data.name!r}, which are none. Choose 'none' or 'flops'."
            )
        if self.calibration_size < MIN_TERMS:
            raise SettingsError(
                f"A calibration needs at least {MIN_TERMS} architectures; "
                f"got calibration_size={self.calibration_size}."
            )

    @classmethod
    def reference(
        cls,
        data: ImageData,
        *,
        seed: int = 0,
        train_device: str = "cpu",
        calibration: Calibration | None = None,
    ) -> Mote:
        """Return the published behaviour: network, recipe, landscape by fitting, seconds.

        Seconds are scaled so that one fixed cell, trained for two epochs before anything else,
        has its published time: the Box-Cox constants then hold on other machines.
        """
        return cls(
            data=data,
            name="mote_reference",
            recipe=REFERENCE_RECIPE,
            network="published",
            speed_cost="seconds",
            common_order=False,
            calibration=calibration,
            seed=seed,
            train_device=train_device,
        )

    def identity(self) -> dict[str, Json]:
        """The training, and how its terms are made and combined."""
        fitted: dict[str, Json] = {"published_or_fitted_on": self.calibration_size}
        measured = host_identity() if self.speed_cost == "seconds" else {}
        return {
            **self.training_identity(),
            "speed_cost": self.speed_cost,
            "terms": self.terms,
            "calibration": self.calibration.identity() if self.calibration else fitted,
            **measured,
        }

    def prepare(self, space: Space) -> None:
        """Calibrate the space, and time the cell that stands for published seconds."""
        if self.terms == "both" and self.calibration is None:
            _space_calibration(self, space)
        if self.speed_cost == "seconds":
            _yardstick_seconds(self)

    def judge(self, architecture: Architecture, training: Training) -> Outcome:
        """Combine the terms of the trace."""
        terms = self.terms_of(architecture, training.trace)
        record = {
            **training.record(),
            "landscape_term": terms.landscape,
            "speed_term": terms.speed,
        }
        if self.terms == "landscape":
            return Measurement.exact(terms.landscape, self.unit, record)
        slow, fast = self._clock_spread(training.trace)
        if self.terms == "speed":
            return Measurement(
                value=terms.speed,
                unit=self.unit,
                low=terms.speed * slow,
                high=terms.speed * fast,
                record=record,
            )
        calibration = self.calibration or _space_calibration(self, architecture.space)
        if isinstance(calibration, Failure):
            return calibration
        low, value, high = (
            calibration.combine(Terms(terms.landscape, terms.speed * factor))
            for factor in (slow, 1.0, fast)
        )
        return Measurement(
            value=value,
            unit=self.unit,
            low=low,
            high=high,
            record={**record, "calibration": calibration.identity()},
        )

    def terms_of(self, architecture: Architecture, trace: Trace) -> Terms:
        """Return both terms of a trace."""
        return Terms(
            landscape=landscape_term(trace.landscape_losses),
            speed=speed_term(trace.epoch_losses, self._cost(architecture, trace)),
        )

    def _clock_spread(self, trace: Trace) -> tuple[float, float]:
        """Return the factors between which the clock's share may vary in a repetition (95 %)."""
        seconds = trace.epoch_seconds
        if self.speed_cost != "seconds" or len(seconds) == 1:
            return 1.0, 1.0
        spread = 1.96 * stdev(seconds) * len(seconds) ** 0.5 / trace.train_seconds
        return max(0.0, 1 - spread), 1 + spread

    def _cost(self, architecture: Architecture, trace: Trace) -> float:
        """Return T of the speed term, in published seconds."""
        match self.speed_cost:
            case "none":
                return PUBLISHED_SECONDS
            case "flops":
                network = self.reduced(architecture, input_shape=_COUNTING_SHAPE, classes=10)
                flops = count_operators(network, _COUNTING_SHAPE).flops
                return PUBLISHED_SECONDS * flops / PUBLISHED_FLOPS
            case "seconds":
                return PUBLISHED_SECONDS * trace.train_seconds / _yardstick_seconds(self)


@lru_cache(maxsize=8)
def _space_calibration(mote: Mote, space: Space) -> Calibration | Failure:
    """Return the constants of a space: published, or fitted to random architectures of it."""
    published = PUBLISHED.get(space.name)
    own = isinstance(space, DecisionSpace)  # may be called like a published one
    if published is not None and not own and mote.network != "general":
        return published
    rng = np.random.default_rng(derive_seed("calibration", mote.seed, space.name))
    chosen: dict[str, Architecture] = {}
    for _ in range(100 * mote.calibration_size):
        if len(chosen) == mote.calibration_size:
            break
        architecture = space.sample(rng)
        if architecture.invalid_reason is None:
            chosen.setdefault(architecture.key, architecture.canonical)
    _logger.info("%s: calibrating on %d random architectures", mote.name, len(chosen))
    terms: list[Terms] = []
    reason = "the space has no more"
    for architecture in chosen.values():
        try:
            scored = mote.train(architecture)  # unwatched: constants must not depend on the study
            if isinstance(scored, Training):
                terms.append(mote.terms_of(architecture, scored.trace))
        except (UsageError, DeviceError):
            raise
        except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
            scored = Failure(f"{type(error).__name__}: {error}")
        if not isinstance(scored, Training):
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
    two_epochs = replace(
        mote.recipe, epochs=2, landscape_intervals=1, landscape_mode="evaluate", landscape_images=2
    )
    trace = replace(mote, recipe=two_epochs).trace(yardstick, seed=0)
    return trace.epoch_seconds[-1] * mote.recipe.epochs
