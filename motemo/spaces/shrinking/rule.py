"""The general reduced architecture: what is left out, and how much.

A space is looked at once, through a sample in which every choice of every gene occurs:

1. Blocks that only repeat the one before them, in every architecture of the sample, are left out.
   A searched depth is not such a repeat, since it is not there in every architecture.
2. Blocks that are the same in every architecture are replaced by pooling and a 1x1 convolution, so
   that they do not learn in place of what is searched (`fixed`).
3. Widths are multiplied by one ratio for all architectures, in such a way that different ones stay
   different (`widths`).
4. Where the least ratio is not enough, or a network cannot be followed, images are made smaller.
5. The plan is tried: networks that do not work, or two that became one, make it a lesser one.

Operations, connections, kernels, heads and strides stay as they are. Each step goes as far as the
median of the sample needs to come down to a number of multiply-adds, so that all architectures of
a space are reduced alike.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias, final

from motemo.errors import SettingsError
from motemo.space import Json, Shape, Space
from motemo.spaces.shrinking.widths import WidthMap

if TYPE_CHECKING:
    from torch import nn

    from motemo.spaces.shrinking.fixed import Block

_logger = logging.getLogger(__name__)

Method: TypeAlias = Literal["tracing", "knobs"]
_METHODS = ("tracing", "knobs")
_VERSION = 2


@final
@dataclass(frozen=True, kw_only=True)
class Shrinking:
    """The general rule for reduced architectures.

    Attributes:
        multiply_adds: What a median architecture shall cost for one image. The default is about
            the median of MOTE's reduced architectures of NAS-Bench-201 at 3x32x32.
        method: `tracing` follows networks through torch.fx and narrows their layers; it needs
            nothing of the space. `knobs` builds the full networks of `Space.scaled`.
        least_ratio: Widths are at least this share of what they were; images get smaller first.
    """

    multiply_adds: int = 12_000_000
    method: Method = "tracing"
    least_ratio: float = 0.25

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise SettingsError(
                f"Unknown method {self.method!r} of a reduced architecture. "
                f"Allowed: {', '.join(map(repr, _METHODS))}."
            )
        if self.multiply_adds < 1 or not 0 < self.least_ratio <= 1:
            raise SettingsError(
                "A reduced architecture needs multiply_adds of at least 1 and a least_ratio above "
                f"0 and at most 1; got {self.multiply_adds} and {self.least_ratio}."
            )

    def identity(self) -> dict[str, Json]:
        """All fields, and the version of the rule."""
        return {"rule": "general", "version": _VERSION, **asdict(self)}

    def build(self, space: Space, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the reduced architecture of a genotype.

        It maps images `(N, C, H, W)` to logits `(N, classes)`, as the full network does.
        """
        from motemo.spaces.shrinking.tracing import NotFollowedError

        plan = plan_of(self, space, input_shape, classes)
        try:
            return plan.build(genotype, input_shape=input_shape, classes=classes)
        except NotFollowedError as error:
            _logger.info("%s is not narrowed: %s", genotype, error)
        plan = self._at_full_width(plan, space, genotype, input_shape, classes)
        return plan.build(genotype, input_shape=input_shape, classes=classes)

    def _at_full_width(
        self, plan: Plan, space: Space, genotype: str, input_shape: Shape, classes: int
    ) -> Plan:
        """Return a plan of images that are small enough for one architecture as it is."""
        from motemo.spaces.shrinking.steps import Look, poolings

        look = Look(space, [space.architecture(genotype)], input_shape, classes)
        sizes = (one for one in poolings(input_shape) if one >= plan.pooling)
        plans = (look.priced(look.untouched(one)) for one in sizes if look.can_build(one))
        found = list(until_enough(plans, self.multiply_adds))
        return found[-1] if found else look.untouched(1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How all architectures of a space are reduced.

    Attributes:
        space: The space that networks are built in; it may be a scaled one.
        pooling: Images are averaged over squares of so many pixels.
        fixed: The blocks that pooling and a 1x1 convolution take the place of.
        repeats: Paths of the modules that are left out.
        widths: What becomes of widths; None leaves them.
        multiply_adds: The median over a sample.
        reason: Why networks are not made smaller by other means, where that is so.
    """

    space: Space
    pooling: int = 1
    fixed: frozenset[Block] = frozenset()
    repeats: frozenset[str] = frozenset()
    widths: WidthMap | None = None
    multiply_adds: float = math.nan
    reason: str | None = None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the reduced architecture of a genotype, as `Shrinking.build` does."""
        from torch import nn

        from motemo.spaces.layers import initialise_reduced

        network = self.reduced(genotype, input_shape, classes)
        if self.fixed or self.repeats or self.widths:
            initialise_reduced(network)
        if self.pooling == 1:
            return network
        return nn.Sequential(nn.AvgPool2d(self.pooling, ceil_mode=True), network)

    def reduced(self, genotype: str, input_shape: Shape, classes: int) -> nn.Module:
        """Return the network for images that are averaged already, with weights as they were.

        Raises:
            NotFollowedError: It cannot be narrowed.
        """
        from motemo.spaces.shrinking.narrow import narrowed

        shape = pooled(input_shape, self.pooling)
        network = self.thinned(genotype, shape, classes)
        return network if self.widths is None else narrowed(network, self.widths, shape)

    def thinned(self, genotype: str, shape: Shape, classes: int) -> nn.Module:
        """Return the network without what repeats, and with little where it is always the same."""
        from motemo.spaces.shrinking.fixed import blocks, with_adapters
        from motemo.spaces.shrinking.repeats import dispensable, repeats, without

        network = self.space.build(genotype, input_shape=shape, classes=classes)
        if paths := self.repeats and self.repeats & repeats(network):
            without(network, dispensable(network, paths, shape))
        if alike := self.fixed and self.fixed & blocks(network):
            with_adapters(network, [path for path, _ in alike], shape)
        return network


def pooled(shape: Shape, pooling: int) -> Shape:
    """Return the shape of images that are averaged over squares of so many pixels."""
    channels, height, width = shape
    return channels, -(-height // pooling), -(-width // pooling)


def until_enough(plans: Iterable[Plan], multiply_adds: float) -> Iterator[Plan]:
    """Yield plans up to the first one that costs so little."""
    for plan in plans:
        yield plan
        if plan.multiply_adds <= multiply_adds:
            return


@lru_cache(maxsize=16)
def plan_of(rule: Shrinking, space: Space, input_shape: Shape, classes: int) -> Plan:
    """Return how a rule reduces the architectures of a space: as little as is enough."""
    from motemo.spaces.shrinking.steps import best_plan

    full, plan = best_plan(rule, space, input_shape, classes)
    _logger.info(
        "reduced architectures of %s: %.3g of %.3g multiply-adds (median), widths x %.2g, "
        "%d repeats left out, %d fixed blocks made small, images averaged over %d pixels%s",
        space.name,
        plan.multiply_adds,
        full.multiply_adds,
        plan.widths.ratio if plan.widths else 1,
        len(plan.repeats),
        len(plan.fixed),
        plan.pooling,
        f"; no more than that: {plan.reason}" if plan.reason else "",
    )
    return plan
