"""From the full networks of a space to smaller and smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

from motemo.errors import SettingsError
from motemo.seeds import seeded_torch
from motemo.space import Architecture, Shape, Space
from motemo.spaces.shrinking.calls import Followed
from motemo.spaces.shrinking.cost import multiply_adds
from motemo.spaces.shrinking.fixed import Block, blocks, outermost
from motemo.spaces.shrinking.follow import follow
from motemo.spaces.shrinking.repeats import dispensable, repeats
from motemo.spaces.shrinking.rule import Plan, Shrinking, pooled, until_enough
from motemo.spaces.shrinking.sample import covering_sample, near
from motemo.spaces.shrinking.structure import structure
from motemo.spaces.shrinking.tracing import reason_of
from motemo.spaces.shrinking.widths import WidthMap

if TYPE_CHECKING:
    from torch import nn

_LEAST_SIDE = 8
_LEAST_DEPTH = 1e-6
_RATIOS_PER_HALVING = 8
_NEIGHBOURS = 8


def best_plan(rule: Shrinking, space: Space, input_shape: Shape, classes: int) -> tuple[Plan, Plan]:
    """Return the plan that changes nothing, and the one that leaves enough or else least.

    The plan is tried on the sample and on some neighbours: all networks work, and no two of them
    are one. If it fails, one is taken that does less to the networks, and more to the images.
    """
    look = Look(space, covering_sample(space), input_shape, classes)
    look.leave_out_what_fails()
    full = look.priced(look.untouched(1))
    if full.multiply_adds <= rule.multiply_adds:
        return full, full
    thin = look.thin if rule.method == "tracing" else look.shallow
    plan = _best(rule, look, thin) or _best(rule, look, look.untouched) or full
    return full, replace(plan, reason=plan.reason or look.fault)


def _best(rule: Shrinking, look: Look, base: Callable[[int], Plan]) -> Plan | None:
    """Return the first plan that is enough, else the cheapest, of those that pass the trial.

    None if the trouble is not the widths.
    """
    seen: list[Plan] = []
    for pooling in look.poolings():
        seen += until_enough(_narrower(rule, look, base(pooling)), rule.multiply_adds)
        if seen[-1].multiply_adds <= rule.multiply_adds:
            if look.passes(seen[-1]):
                return seen[-1]
            if not look.passes(base(pooling)):
                return None
    seen.sort(key=lambda plan: plan.multiply_adds)
    return next((plan for plan in seen if look.passes(plan)), None)


def _narrower(rule: Shrinking, look: Look, base: Plan) -> Iterator[Plan]:
    """Yield a plan, then that with narrower and narrower networks."""
    yield look.priced(base)
    yield from (_by_tracing if rule.method == "tracing" else _by_knobs)(rule, look, base)


def _by_tracing(rule: Shrinking, look: Look, base: Plan) -> Iterator[Plan]:
    followed = look.followed(base)
    if isinstance(followed, str):
        return
    occurring = {width for one in followed for width in one.free().values()}
    for ratio in _ratios(rule.least_ratio) if occurring else ():
        widths = WidthMap.of(occurring, ratio)
        cost = median(_narrowed_cost(one, widths) for one in followed)
        yield replace(base, widths=widths, multiply_adds=cost)


def _by_knobs(rule: Shrinking, look: Look, base: Plan) -> Iterator[Plan]:
    for ratio in _ratios(rule.least_ratio):
        try:
            scaled = base.space.scaled(width=ratio, depth=1.0)
        except SettingsError:
            return
        yield look.priced(replace(base, space=scaled))


@dataclass
class Look:
    """What is known of the full networks of a sample.

    Attributes:
        space: The space.
        sample: The architectures.
        input_shape: Shape of an image before it is averaged, (C, H, W).
        classes: Number of classes.
        fault: Why the first plan that did not pass its trial did not; None if all passed.
    """

    space: Space
    sample: list[Architecture]
    input_shape: Shape
    classes: int
    fault: str | None = field(default=None, init=False)
    _last: tuple[Plan | None, list[Followed] | str] = field(default=(None, ""), init=False)

    def poolings(self) -> Iterator[int]:
        """Yield what images may be averaged over, as long as all full networks work."""
        for pooling in poolings(self.input_shape):
            if pooling > 1 and not self.can_build(pooling):
                return
            yield pooling

    def can_build(self, pooling: int, some: Iterable[Architecture] | None = None) -> bool:
        """Return whether full networks work with images of this size; by default all."""
        shape = pooled(self.input_shape, pooling)
        try:
            for one in self.sample if some is None else some:
                multiply_adds(one.build(input_shape=shape, classes=self.classes), shape)
        except Exception:  # noqa: BLE001  (a user's own network may raise anything)
            return False
        return True

    def priced(self, plan: Plan) -> Plan:
        """Return a plan with its cost, as long as widths stay."""
        followed = self.followed(plan)
        if isinstance(followed, str):
            shape = pooled(self.input_shape, plan.pooling)
            cost = median(multiply_adds(network, shape) for network in self._networks(plan))
            return replace(plan, multiply_adds=cost, reason=followed)
        return replace(plan, multiply_adds=median(one.multiply_adds({}) for one in followed))

    def followed(self, plan: Plan) -> list[Followed] | str:
        """Return the networks with their widths, or why one of them cannot be followed."""
        if self._last[0] != plan:
            shape = pooled(self.input_shape, plan.pooling)
            found: list[Followed] | str
            try:
                found = [follow(one, shape) for one in self._networks(plan)]
            except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
                found = reason_of(error)
            self._last = (plan, found)
        return self._last[1]

    def leave_out_what_fails(self) -> None:
        """Leave architectures out whose full networks do not work, unless that is so of all."""
        if isinstance(self.followed(self.untouched(1)), str):
            self.sample = [one for one in self.sample if self.can_build(1, [one])] or self.sample
            self._last = (None, "")

    def untouched(self, pooling: int) -> Plan:
        """Return the plan that leaves networks as they are."""
        return Plan(space=self.space, pooling=pooling)

    def shallow(self, pooling: int) -> Plan:
        """Return the plan that turns a depth knob of the space down."""
        return Plan(space=_at_least_depth(self.space), pooling=pooling)

    def thin(self, pooling: int) -> Plan:
        """Return the plan that takes out of networks what is not searched."""
        plan = self.shallow(pooling)
        plan = replace(plan, repeats=self._common_repeats(plan))
        return replace(plan, fixed=self._common_blocks(plan))

    def _common_blocks(self, plan: Plan) -> frozenset[Block]:
        """Return the blocks that are the same in every network."""
        networks = self._networks(plan)
        return outermost(set.intersection(*(blocks(network) for network in networks)))

    def _common_repeats(self, plan: Plan) -> frozenset[str]:
        """Return the modules that every network repeats and can do without."""
        shape = pooled(self.input_shape, plan.pooling)
        networks = list(self._networks(plan))
        common = frozenset.intersection(*(frozenset(repeats(one)) for one in networks))
        for network in networks:
            common &= dispensable(network, common, shape) if common else common
        return common

    def passes(self, plan: Plan) -> bool:
        """Return whether all networks of a plan work and no two are one; note why not."""
        changed = plan.fixed or plan.repeats or plan.widths or plan.space != self.space
        fault = self._fault(plan) if changed else None
        self.fault = self.fault or fault
        return fault is None

    def _fault(self, plan: Plan) -> str | None:
        found: dict[Hashable, Architecture] = {}
        for one in [*self.sample, *near(self.space, self.sample, _NEIGHBOURS)]:
            try:
                computed = self._structure(plan, one)
            except Exception as error:  # noqa: BLE001  (a user's own network may raise anything)
                if one in self.sample:
                    return reason_of(error)
                continue
            other = found.setdefault(computed, one)
            if other is not one and self._differ(one, other, plan.pooling):
                return f"{one.genotype} and {other.genotype} would become one network"
        return None

    def _differ(self, one: Architecture, other: Architecture, pooling: int) -> bool:
        """Return whether full networks are different, as those of different keys should be."""
        full = self.untouched(pooling)
        return self._structure(full, one) != self._structure(full, other)

    def _structure(self, plan: Plan, one: Architecture) -> Hashable:
        with seeded_torch(0):
            return structure(plan.reduced(one.genotype, self.input_shape, self.classes))

    def _networks(self, plan: Plan) -> Iterator[nn.Module]:
        shape = pooled(self.input_shape, plan.pooling)
        for architecture in self.sample:
            with seeded_torch(0):
                network = plan.thinned(architecture.genotype, shape, self.classes)
            yield network


def _narrowed_cost(followed: Followed, widths: WidthMap) -> float:
    return followed.multiply_adds({a: widths(size) for a, size in followed.free().items()})


def _at_least_depth(space: Space) -> Space:
    """Return a space whose layers are repeated as seldom as its own knob allows."""
    try:
        return space.scaled(width=1.0, depth=_LEAST_DEPTH)
    except SettingsError:
        return space


def poolings(input_shape: Shape) -> Iterator[int]:
    """Yield 1 and powers of 2 that leave images some pixels."""
    pooling = 1
    while min(input_shape[1:]) // pooling >= _LEAST_SIDE or pooling == 1:
        yield pooling
        pooling *= 2


def _ratios(least: float) -> Iterator[float]:
    """Yield smaller and smaller ratios below 1, the last of them the least."""
    step = 1
    while (ratio := 2 ** (-step / _RATIOS_PER_HALVING)) > least:
        yield ratio
        step += 1
    yield least
