"""From the full networks of a space to smaller and smaller ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from motemo.errors import SettingsError
from motemo.seeds import seeded_torch
from motemo.space import Architecture, Shape, Space
from motemo.spaces.shrinking.calls import Followed
from motemo.spaces.shrinking.cost import multiply_adds
from motemo.spaces.shrinking.fixed import Block, blocks, outermost
from motemo.spaces.shrinking.follow import NotFollowedError, follow
from motemo.spaces.shrinking.repeats import dispensable, repeats, signature
from motemo.spaces.shrinking.rule import Plan, Shrinking, pooled
from motemo.spaces.shrinking.sample import covering_sample
from motemo.spaces.shrinking.widths import WidthMap

if TYPE_CHECKING:
    from torch import nn

_LEAST_SIDE = 8
_LEAST_DEPTH = 1e-6
_RATIOS_PER_HALVING = 8

_Paths: TypeAlias = frozenset[str]


def steps(rule: Shrinking, space: Space, input_shape: Shape, *, classes: int) -> Iterator[Plan]:
    """Yield plans, from the one that changes nothing to the one that leaves least."""
    look = _Look(covering_sample(space), input_shape, classes)
    look.sample = [one for one in look.sample if look.can_build(one, pooling=1)] or look.sample
    yield look.priced(Plan(space=space))
    space = _at_least_depth(space)
    by_method = _by_tracing if rule.method == "tracing" else _by_knobs
    for pooling in _poolings(input_shape):
        if pooling > 1 and not all(look.can_build(one, pooling=pooling) for one in look.sample):
            return
        yield from by_method(rule, space, look, pooling)


def _by_tracing(rule: Shrinking, space: Space, look: _Look, pooling: int) -> Iterator[Plan]:
    thin = Plan(
        space=space,
        pooling=pooling,
        fixed=look.common_blocks(space, pooling),
        repeats=look.common_repeats(space, pooling),
    )
    plan = look.priced(thin)
    yield plan
    followed = look.followed(thin)
    if isinstance(followed, str):
        return
    occurring = {width for one in followed for width in one.free().values()}
    for ratio in _ratios(rule.least_ratio):
        widths = WidthMap.of(occurring, ratio)
        cost = median(_narrowed_cost(one, widths) for one in followed)
        yield replace(plan, widths=widths, multiply_adds=cost)


def _by_knobs(rule: Shrinking, space: Space, look: _Look, pooling: int) -> Iterator[Plan]:
    """Yield plans of scaled spaces, as long as these keep the sample apart."""
    yield look.priced(Plan(space=space, pooling=pooling))
    for ratio in _ratios(rule.least_ratio):
        try:
            scaled = space.scaled(width=ratio, depth=1.0)
        except SettingsError:
            return
        if not look.all_distinct(scaled, pooling):
            return
        yield look.priced(Plan(space=scaled, pooling=pooling))


@dataclass
class _Look:
    """What is known of the full networks of a sample.

    Attributes:
        sample: The architectures.
        input_shape: Shape of an image before it is averaged, (C, H, W).
        classes: Number of classes.
    """

    sample: list[Architecture]
    input_shape: Shape
    classes: int
    _last: tuple[Plan | None, list[Followed] | str] = field(default=(None, ""), init=False)

    def can_build(self, architecture: Architecture, *, pooling: int) -> bool:
        """Return whether the full network works with images of this size."""
        shape = pooled(self.input_shape, pooling)
        try:
            network = architecture.build(input_shape=shape, classes=self.classes)
            multiply_adds(network, shape)
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
            except NotFollowedError as error:
                found = str(error)
            self._last = (plan, found)
        return self._last[1]

    def common_blocks(self, space: Space, pooling: int) -> frozenset[Block]:
        """Return the blocks that are the same in every network."""
        networks = self._networks(Plan(space=space, pooling=pooling))
        return outermost(set.intersection(*(blocks(network) for network in networks)))

    def common_repeats(self, space: Space, pooling: int) -> _Paths:
        """Return the modules that every network repeats and can do without."""
        shape = pooled(self.input_shape, pooling)
        networks = list(self._networks(Plan(space=space, pooling=pooling)))
        common = frozenset.intersection(*(frozenset(repeats(one)) for one in networks))
        for network in networks:
            common &= dispensable(network, common, shape) if common else common
        return common

    def all_distinct(self, space: Space, pooling: int) -> bool:
        """Return whether no two full networks of the sample have the same structure."""
        networks = self._networks(Plan(space=space, pooling=pooling))
        return len({signature(network) for network in networks}) == len(self.sample)

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


def _poolings(input_shape: Shape) -> Iterator[int]:
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
