"""Choosing from a front: the best under a budget, the knee, the closest to a wish, a few of all.

Every pick comes with its reason, plain sentences with numbers. How far values are apart is counted
in shares of the range that the members of the front span, on a linear scale (`motemo.decision`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from motemo import decision
from motemo.errors import SettingsError, UnknownNameError
from motemo.front import Front, Member
from motemo.objective import Direction
from motemo.rendering.wording import Wording, percent


@dataclass(frozen=True)
class Pick:
    """A chosen member of a front.

    Attributes:
        member: The member.
        reason: Why it was chosen, for people: sentences with numbers.
    """

    member: Member
    reason: str


def select(
    front: Front,
    *,
    constraints: Sequence[str] = (),
    prefer: str | None = None,
    knee: bool = False,
    reference: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    spread: int | None = None,
) -> tuple[Pick, ...]:
    """Choose members of a front, each with the reason.

    Bounds come first; each of the other settings then adds its picks, and a member that is chosen
    twice stands once with both reasons. With bounds alone, it is the best in the first objective;
    with nothing at all, the knee and the best of each objective. If nothing keeps the bounds, the
    one pick is the architecture that misses them least.

    Args:
        front: What to choose from.
        constraints: Bounds, such as `"latency_ms<=5"`, beside those of the search.
        prefer: Objective of which the best is wanted.
        knee: Whether to choose the knee: where a little more of what is maximised starts to cost
            much of what is minimised. Objectives of one direction count together, by their mean.
        reference: A wish, such as `{"mote": 30, "latency_ms": 2}`: chosen is the member that
            misses it least, or exceeds it most evenly (achievement scalarising function).
        weights: How much objectives matter, such as `{"mote": 2, "latency_ms": 1}`: chosen is the
            member with the closest pseudo weights. The others do not matter.
        spread: How many members to choose so that every other one is near one of them.

    Returns:
        The picks, in the order of the settings above.

    Raises:
        SettingsError: The front is empty, or a number makes no sense.
        ConstraintError: A bound is malformed or on an objective that the front does not have.
        UnknownNameError: The front has no such objective.
    """
    narrowed = front.within(*constraints) if constraints else front
    if not narrowed.evaluated:
        raise SettingsError("Nothing has been evaluated yet: there is nothing to choose from.")
    _check(front, prefer, reference or {}, weights or {}, spread)
    choice = _Choice(narrowed)
    if not narrowed.feasible:
        return tuple(choice.merged([choice.nearest()]))
    picks: list[Pick] = []
    if prefer is not None:
        picks.append(choice.best(prefer))
    if knee:
        picks.append(choice.knee())
    if reference:
        picks.append(choice.closest(reference))
    if weights:
        picks.append(choice.by_weights(weights))
    if spread is not None:
        picks += choice.spaced(spread)
    if not picks:
        picks = [choice.best(front.axes[0].name)] if constraints else [*choice.typical()]
    return tuple(choice.merged(picks))


def _check(
    front: Front,
    prefer: str | None,
    reference: Mapping[str, float],
    weights: Mapping[str, float],
    spread: int | None,
) -> None:
    names = [axis.name for axis in front.axes]
    for name in (*([] if prefer is None else [prefer]), *reference, *weights):
        if name not in names:
            raise UnknownNameError("objective of the front", name, names)
    for name, value in reference.items():
        if not np.isfinite(value):
            raise SettingsError(f"The reference for {name} must be a number; got {value}.")
    given = [*weights.values()]
    if given and not (all(0 <= weight < np.inf for weight in given) and sum(given) > 0):
        raise SettingsError(
            f"Weights are numbers of at least 0, and one is above 0; got {dict(weights)}."
        )
    if spread is not None and spread < 1:
        raise SettingsError(f"A spread needs at least 1 member; got {spread}.")


@dataclass(frozen=True)
class _Choice:
    """The members of a front, and how to choose among them."""

    front: Front

    @cached_property
    def say(self) -> Wording:
        return Wording(self.front)

    @cached_property
    def names(self) -> list[str]:
        return [axis.name for axis in self.front.axes]

    @cached_property
    def ranges(self) -> decision.Ranges:
        return decision.Ranges.of(self._values, [axis.direction for axis in self.front.axes])

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Shares `(n, m)` of the members."""
        return self.ranges.shares(self._values)

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        return np.array([[m.measurements[n].value for n in self.names] for m in self.front])

    def typical(self) -> Iterator[Pick]:
        """Choose what most want to see: the knee, and the best of each objective."""
        if len(self.names) > 1:
            yield self.knee()
        for name in self.names:
            yield self.best(name)

    def best(self, name: str) -> Pick:
        """Choose the best in one objective."""
        if len(self.front) == 1:
            return self.only()
        say, beside = self.say, self._beside(name)
        first, following, *_ = self._best_first(name)
        return Pick(
            first,
            f"Best {say.name(name)} of {say.members()}: {say.at(first, name, beside)}; the next "
            f"best is {say.at(following, name, beside)}{say.overlap(first, following, name)}",
        )

    def only(self) -> Pick:
        """Choose the only member."""
        (member,) = self.front.members
        return Pick(member, f"It is {self.say.members()}: {self.say.values(member, self.names)}")

    def knee(self) -> Pick:
        """Choose the knee."""
        if len(self.front) == 1:
            return self.only()
        say, name = self.say, self.names[0]
        row, bends = decision.knee(self._by_direction())
        member = self.front.members[row]
        if not bends:
            return Pick(
                member,
                f"No knee among {say.members()}, as nothing between the ends pays more; of the "
                f"ends, this is nearer to the best of all: {say.values(member, self.names)}",
            )
        ordered, beside = self._best_first(name), self._beside(name)
        place = ordered.index(member)
        steps = [
            f"the next {word} is {say.at(ordered[other], name, beside)}"
            for word, other in (("better", place - 1), ("worse", place + 1))
            if 0 <= other < len(ordered)
        ]
        value = f"{say.name(name)} {say.at(member, name, beside)}"
        return Pick(member, "; ".join([f"Knee of {say.members()}: {value}", *steps]))

    def _by_direction(self) -> NDArray[np.float64]:
        """Return shares `(n, 2)` of the means of what is maximised and minimised; of one kind, all.

        Parameters, multiply-adds and latency say much the same: each by itself, they would outvote
        the one objective that says how good a network is.
        """
        up = np.array([axis.direction is Direction.MAXIMIZE for axis in self.front.axes])
        if up.all() or not up.any():
            return self.shares
        means = np.column_stack([self.shares[:, up].mean(axis=1), self.shares[:, ~up].mean(axis=1)])
        return decision.Ranges.of(means, [Direction.MINIMIZE] * 2).shares(means)

    def closest(self, reference: Mapping[str, float]) -> Pick:
        """Choose the member that misses a wish least."""
        say, columns = self.say, [self.names.index(name) for name in reference]
        wished = np.zeros(len(self.names))
        wished[columns] = [*reference.values()]
        row = decision.closest(self.shares, self.ranges.shares(wished)[columns], columns)
        member = self.front.members[row]
        wish = ", ".join(f"{name}={value:g}" for name, value in reference.items())
        met = "; ".join(say.met(member, name, value) for name, value in reference.items())
        return Pick(member, f"Closest of {say.members()} to {wish}: {met}")

    def by_weights(self, weights: Mapping[str, float]) -> Pick:
        """Choose the member that divides itself between the objectives as wanted."""
        say, columns = self.say, [self.names.index(name) for name in weights]
        wanted = np.array([*weights.values()])
        wanted = wanted / wanted.sum()
        row, own = decision.by_weights(self.shares[:, columns], wanted)
        member = self.front.members[row]
        pairs = [
            f"{say.name(name)} {mine:.2f} (wanted {want:.2f})"
            for name, mine, want in zip(weights, own, wanted, strict=True)
        ]
        return Pick(
            member,
            f"Closest pseudo weights of {say.members()}: {', '.join(pairs)}, that is "
            f"{say.values(member, [*weights])}",
        )

    def spaced(self, count: int) -> Iterator[Pick]:
        """Choose members that stand for all."""
        rows, away = decision.spaced(self.shares, count)
        left = len(rows) < len(self.front)
        near = f", each of the others within {percent(away)} of the range of one of them"
        for number, row in enumerate(rows, start=1):
            reason = f"Number {number} of {len(rows)} spread over {self.say.members()}"
            yield Pick(self.front.members[row], reason + (near if left else ""))

    def nearest(self) -> Pick:
        """Choose what misses the bounds least."""
        bounds = self.front.constraints

        def violations(member: Member) -> list[float]:
            return [c.relative_violation(member.measurements[c.objective].value) for c in bounds]

        member = min(self.front, key=lambda m: sum(violations(m)))
        missed = [c for c, v in zip(bounds, violations(member), strict=True) if v > 0]
        reason = (
            f"None of {len(self.front.evaluated)} evaluated architectures keeps "
            f"{' and '.join(map(str, bounds))}; this one misses least: "
            f"{'; '.join(self.say.missed(member, bound) for bound in missed)}"
        )
        return Pick(member, reason)

    def merged(self, picks: Sequence[Pick]) -> Iterator[Pick]:
        """Yield every member once, with all its reasons and what is in doubt of its bounds."""
        members = {pick.member.trial: pick.member for pick in picks}
        for trial, member in members.items():
            reasons = dict.fromkeys(p.reason for p in picks if p.member.trial == trial)
            yield Pick(member, ". ".join([*reasons, *self.say.doubtful(member)]) + ".")

    def _best_first(self, name: str) -> list[Member]:
        """Return the members by one objective, of equal ones the better in all others first."""
        own, total = self.shares[:, self.names.index(name)], self.shares.sum(axis=1)
        return [self.front.members[row] for row in np.lexsort((total, own))]

    def _beside(self, name: str) -> list[str]:
        """Return what to name beside an objective: what is bounded, or else what it trades with."""
        bounded = dict.fromkeys(c.objective for c in self.front.constraints)
        others = [other for other in bounded if other != name]
        if others or len(self.names) == 1:
            return others
        return [self.names[0] if name != self.names[0] else self.names[-1]]
