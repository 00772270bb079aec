"""`hybrid`: several estimates in one, without labels.

Each part's value becomes its position among a reference sample of random architectures of the
same space, and the positions, or their logarithms, are averaged. Nothing is fitted to accuracies,
and the score of an architecture does not depend on which others are scored with it.

Reference: rank aggregation as in Lee and Ham, *AZ-NAS*, CVPR 2024; deviations in `positions`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from motemo.data.dataset import ImageData
from motemo.errors import EvaluationError, SettingsError
from motemo.files import require_writable
from motemo.objective import (
    Direction,
    Failure,
    Measurement,
    Objective,
    Outcome,
    Skipped,
    Stage,
    evaluate_each,
)
from motemo.objectives.positions import (
    COMBINATIONS,
    LEAST,
    Combination,
    Floats,
    Scale,
    accuracy_sign,
    combine,
)
from motemo.objectives.reference import (
    PartScores,
    Reference,
    described,
    digest,
    random_sample,
    space_digest,
)
from motemo.objectives.training import TraceEstimate, Training
from motemo.registry import OBJECTIVES
from motemo.space import Architecture, Json, Shape, Space

QUICK_PARTS = ("meco", "jacob_cov", "flops")
DEFAULT_PARTS = ("mote", *QUICK_PARTS)
DEFAULT_SIZE = 32
_STAGES = tuple(Stage)
_SHARED = ("data", "train_device")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hybrid(Objective):
    """The mean position of an architecture by several estimates. Higher is better, no unit.

    Each part is turned so that higher stands for more accurate: what is counted (parameters,
    multiply-adds) as it is, of others the better. Parts that share a training train once. A part
    without a finite value fails the evaluation.

    The record holds each part's value, position and own record, and names the reference.

    Attributes:
        parts: The estimates, each with a name of its own.
        combination: `log`, the mean of the logarithms of the positions, or `mean` of the positions.
        reference: The sample that positions are among: a value, or the path of a JSON file, which
            is read if it is there and written if not. None scores the sample before the first
            evaluation of a process.
        reference_size: Random valid architectures in the sample, if it is not a value.
        seed: Seed of the sample.
    """

    parts: tuple[Objective, ...]
    combination: Combination = "log"
    reference: Reference | str | None = None
    reference_size: int = DEFAULT_SIZE
    seed: int = 0
    name: str = "hybrid"
    unit: str = field(default="", init=False)
    direction: Direction = field(default=Direction.MAXIMIZE, init=False)
    stage: Stage = field(init=False)
    batched: bool = field(init=False)
    occupies_host: bool = field(init=False)

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if not names or len(set(names)) < len(names):
            raise SettingsError(
                f"A hybrid needs parts, each with a name of its own; got {names}. Set `name`."
            )
        if self.combination not in COMBINATIONS:
            raise SettingsError(
                f"Unknown combination {self.combination!r}. "
                f"Allowed: {', '.join(map(repr, COMBINATIONS))}."
            )
        if self.reference_size < LEAST:
            raise SettingsError(
                f"A reference needs at least {LEAST} architectures; "
                f"got reference_size={self.reference_size}."
            )
        dearest = max((part.stage for part in self.parts), key=_STAGES.index)
        object.__setattr__(self, "stage", dearest)
        object.__setattr__(self, "batched", any(part.batched for part in self.parts))
        object.__setattr__(self, "occupies_host", any(part.occupies_host for part in self.parts))

    @classmethod
    def of(
        cls,
        data: ImageData,
        *,
        parts: Sequence[str] = DEFAULT_PARTS,
        input_shape: Shape = (3, 32, 32),
        classes: int = 10,
        seed: int = 0,
        train_device: str = "cpu",
    ) -> Hybrid:
        """Return a hybrid of registered objectives, by default of those found best without labels.

        Args:
            data: Images for the parts that need some.
            parts: Their registered names.
            input_shape: Deployment shape for the parts that count.
            classes: Classes of the deployed network, for the same.
            seed: Seed of the parts and of the reference.
            train_device: torch device for the parts that compute on one.

        Raises:
            UnknownNameError: A name is not registered.
            SettingsError: A part needs something else.
        """
        offered = {
            "data": data,
            "input_shape": input_shape,
            "classes": classes,
            "seed": seed,
            "train_device": train_device,
        }
        created = tuple(OBJECTIVES.create(name, offered=offered) for name in parts)
        return cls(parts=created, seed=seed)

    @classmethod
    def quick(
        cls,
        data: ImageData,
        *,
        input_shape: Shape = (3, 32, 32),
        classes: int = 10,
        seed: int = 0,
        train_device: str = "cpu",
    ) -> Hybrid:
        """Return the hybrid of the default parts that do not train; for the arguments see `of`."""
        hybrid = cls.of(
            data,
            parts=QUICK_PARTS,
            input_shape=input_shape,
            classes=classes,
            seed=seed,
            train_device=train_device,
        )
        return replace(hybrid, name="hybrid_quick")

    def identity(self) -> dict[str, Json]:
        """Parts, combination and reference."""
        of_parts = {part.name: described(part) for part in self.parts}
        options = [part.identity() for part in self.parts]
        shared = {name: o[name] for name in _SHARED for o in reversed(options) if name in o}
        reference: Json = (
            self.reference.digest
            if isinstance(self.reference, Reference)
            else {"size": self.reference_size, "seed": self.seed}
        )
        return {
            **shared,
            "parts": dict[str, Json](of_parts),
            "combination": self.combination,
            "reference": reference,
        }

    def prepare(self, space: Space) -> None:
        """Score the reference, or read it; prepare the parts."""
        for part in self.parts:
            part.prepare(space)
        _reference(self, space)

    def evaluate(self, architectures: Sequence[Architecture]) -> list[Outcome]:
        """Score each architecture by all parts and combine their positions."""
        outcomes = score_parts(self.parts, architectures)
        found = dict(zip(architectures, zip(*outcomes, strict=True), strict=True))
        return evaluate_each(architectures, lambda a: self._combined(a, found[a]))

    def fit(self, space: Space) -> Reference:
        """Score the reference sample of a space; pass it on as `reference` to score it once.

        Raises:
            EvaluationError: A part has a finite value for too few architectures of the sample.
        """
        sample = random_sample(space, self.reference_size, seed=self.seed)
        _logger.info("hybrid: scoring the reference, %d random architectures", len(sample))
        scored = score_parts(self.parts, sample)
        _logger.info("hybrid: the reference is there")
        return Reference(
            space=space_digest(space),
            seed=self.seed,
            size=self.reference_size,
            architectures=tuple(architecture.genotype for architecture in sample),
            parts=tuple(map(_part_scores, self.parts, scored)),
        )

    def _combined(self, architecture: Architecture, outcomes: Sequence[Outcome]) -> Outcome:
        for part, outcome in zip(self.parts, outcomes, strict=True):
            if isinstance(outcome, Skipped):
                return Skipped(f"the part {part.name!r}: {outcome.reason}", paid=outcome.paid)
            if _finite(outcome) is None:
                return Failure(f"the part {part.name!r}: {_problem(outcome)}")
        reference = _reference(self, architecture.space)
        if isinstance(reference, Failure):
            return reference
        scales = reference.scales(architecture.space, self.parts)
        measured = [outcome for outcome in outcomes if isinstance(outcome, Measurement)]
        positions = np.stack(list(map(_positions, self.parts, scales, measured)))
        low, value, high = combine(positions, self.combination).tolist()
        of_parts = zip(self.parts, measured, positions[:, 1].tolist(), strict=True)
        return Measurement(
            value=value,
            unit=self.unit,
            low=low,
            high=high,
            record={
                "reference": {"sha256": reference.digest, "size": len(reference.architectures)},
                "parts": {
                    part.name: {"value": m.value, "position": place, "record": dict(m.record)}
                    for part, m, place in of_parts
                },
            },
        )


def score_parts(
    parts: Sequence[Objective], architectures: Sequence[Architecture]
) -> list[list[Outcome]]:
    """Return the outcomes of each part for each architecture; a shared training is done once."""
    groups: dict[str, list[TraceEstimate]] = {}
    for part in parts:
        if isinstance(part, TraceEstimate):
            groups.setdefault(digest(part.training_identity()), []).append(part)
    found: dict[str, list[Outcome]] = {}
    for sharing in groups.values():
        if len(sharing) > 1:
            found |= _by_one_training(sharing, architectures)
    return [
        found[part.name] if part.name in found else part.evaluate(architectures) for part in parts
    ]


def _by_one_training(
    parts: Sequence[TraceEstimate], architectures: Sequence[Architecture]
) -> dict[str, list[Outcome]]:
    together = all(part.batched for part in parts)
    found: dict[str, list[Outcome]] = {part.name: [] for part in parts}
    for group in [architectures] if together else [[one] for one in architectures]:
        trained = parts[0].train_all(group)
        for part in parts:
            for architecture, training in zip(group, trained, strict=True):
                found[part.name] += evaluate_each([architecture], partial(_judge, part, training))
    return found


def _judge(
    part: TraceEstimate, training: Training | Failure | Skipped, architecture: Architecture
) -> Outcome:
    return part.judge(architecture, training) if isinstance(training, Training) else training


@lru_cache(maxsize=8)
def _reference(hybrid: Hybrid, space: Space) -> Reference | Failure:
    """Return the reference of a hybrid: given, read, or scored here and now.

    Raises:
        UsageError: It does not belong to the hybrid, or cannot be read.
    """
    if isinstance(hybrid.reference, Reference):
        return hybrid.reference
    path = hybrid.reference
    if path is not None and Path(path).exists():
        reference = Reference.read(path)
        if (reference.seed, reference.size) != (hybrid.seed, hybrid.reference_size):
            raise SettingsError(
                f"The reference {path} was made with seed {reference.seed} and size "
                f"{reference.size}; asked for are seed {hybrid.seed} and size "
                f"{hybrid.reference_size}. Use the same, or another file."
            )
        return reference
    if path is not None:
        require_writable(Path(path))  # before what may take minutes
    try:
        reference = hybrid.fit(space)
    except EvaluationError as error:
        return Failure(f"the hybrid has no reference: {error}")
    if path is not None:
        reference.write(path)
    return reference


def _positions(part: Objective, scale: Scale, measured: Measurement) -> Floats:
    """Return where `(low, value, high)` stand in the reference, higher for more accurate."""
    values = np.array([measured.low, measured.value, measured.high])
    if accuracy_sign(part) > 0:
        return scale.position(values)
    return scale.turned().position(-values[::-1])  # 1 - position could round to 0: no logarithm


def _part_scores(part: Objective, outcomes: Sequence[Outcome]) -> PartScores:
    """Return what a part gave for the reference.

    Raises:
        EvaluationError: It has a finite value for too few.
    """
    values = tuple(map(_finite, outcomes))
    known = sum(value is not None for value in values)
    if known < LEAST:
        reasons = [_problem(o) for o in outcomes if _finite(o) is None]
        last = reasons[-1] if reasons else "the space has no more"
        raise EvaluationError(
            f"the part {part.name!r} has a value for {known} of {len(outcomes)} random "
            f"architectures, {LEAST} are needed; the last reason: {last}"
        )
    return PartScores(part.name, digest(described(part)), values)


def _finite(outcome: Outcome) -> float | None:
    if isinstance(outcome, Measurement) and math.isfinite(outcome.value):
        return float(outcome.value)
    return None


def _problem(outcome: Outcome) -> str:
    return f"the value is {outcome.value}" if isinstance(outcome, Measurement) else outcome.reason
