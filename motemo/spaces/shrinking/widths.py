"""Fewer channels, in such a way that what differed still differs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class WidthMap:
    """Maps the widths that occur in a space to smaller ones; strictly increasing.

    A width is multiplied by the ratio and rounded. Where that would make two widths of the space
    equal, the larger one is raised to the next number. None but 1 becomes 1: a convolution with
    groups of one channel is depthwise, which is another decision. A width that is not among those
    of the map lies between its neighbours; it can be equal to one of them only if there is no
    number between.

    Attributes:
        ratio: In (0, 1].
        known: The widths that occur, increasing.
        mapped: What each becomes.
    """

    ratio: float
    known: tuple[int, ...]
    mapped: tuple[int, ...]

    @classmethod
    def of(cls, widths: Iterable[int], ratio: float) -> WidthMap:
        """Return the map of the widths of a space."""
        known = tuple(sorted(set(widths)))
        mapped: list[int] = []
        for width in known:
            least = mapped[-1] + 1 if mapped else min(2, width)
            mapped.append(max(least, _rounded(ratio * width)))
        return cls(ratio, known, tuple(mapped))

    def __call__(self, width: int) -> int:
        """Return the width of the reduced architecture, at least 1 and at most as it was."""
        place = bisect_left(self.known, width)
        if place < len(self.known) and self.known[place] == width:
            return self.mapped[place]
        least = self.mapped[place - 1] + 1 if place else min(2, width)
        most = self.mapped[place] - 1 if place < len(self.known) else width
        return max(1, min(max(least, _rounded(self.ratio * width)), max(most, 1)))


def _rounded(width: float) -> int:
    return math.floor(width + 0.5)
