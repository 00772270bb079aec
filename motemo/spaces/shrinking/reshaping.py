"""Operators that arrange axes anew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from motemo.spaces.shrinking.calls import Arguments, Axes, Call, NewSize
from motemo.spaces.shrinking.sizes import Axis, constant


def permute(call: Call) -> Axes:
    """Axes in another order, given as numbers or as a tuple of them."""
    axes: Axes = call.first
    order: Any = call.node.args[1:] or (call.node.kwargs["dims"],)
    return [axes[place] for place in (order if isinstance(order[0], int) else order[0])]


def transpose(call: Call) -> Axes:
    """Two axes change places."""
    axes: Axes = list(call.first)
    one, other = call.argument(1, "dim0"), call.argument(2, "dim1")
    axes[one], axes[other] = axes[other], axes[one]
    return axes


def reshape(call: Call) -> Axes:
    """Other axes of the same numbers, by sizes."""
    result = reshaped(call, call.first, call.result, computed=_computed(call))
    _write_sizes_anew(call, result)
    return result


def _computed(call: Call) -> list[int]:
    """Return the places of sizes that the program computes; the others stand in it."""
    sizes: Any = call.node.args[1:]
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = sizes[0]
    return [i for i, size in enumerate(sizes) if not isinstance(size, int) or size == -1]


def _write_sizes_anew(call: Call, result: Axes) -> None:
    """Note what becomes of sizes that stand in the program, alone or as a tuple."""
    wanted: Any = call.node.args[1:]
    nested = len(wanted) == 1 and isinstance(wanted[0], list | tuple)

    def written(args: Arguments, new: NewSize) -> Arguments:
        sizes = args[1] if nested else args[1:]
        now = tuple(
            new(axis) if isinstance(size, int) and size != -1 else size
            for size, axis in zip(sizes, result, strict=True)
        )
        return (args[0], now) if nested else (args[0], *now)

    if len(wanted[0] if nested else wanted) == len(result):
        call.followed.literals[call.node.name] = written


def flatten(call: Call) -> Axes:
    """Several axes become one."""
    return reshaped(call, call.first, call.result)


def reshaped(call: Call, axes: Axes, result: torch.Tensor, *, computed: Sequence[int] = ()) -> Axes:
    """Match groups of axes before and after that hold equally many numbers.

    Where one axis is written as several, those at the places that are `computed` may change.
    """
    before = [call.sizes.size(axis) for axis in axes]
    found: Axes = []
    i = 0
    for held, after in _groups(before, list(result.shape)):
        places = [place - len(found) for place in computed]
        places = [place for place in places if 0 <= place < len(after)]
        found += _matched(call, axes[i : i + len(held)], after, places or None)
        i += len(held)
    return found


def _groups(before: list[int], after: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the smallest runs of sizes, before and after, whose products are equal."""
    before, after = before[:], after[:]
    while before or after:
        held = [before.pop(0)] if before else []
        has = [after.pop(0)] if after else []
        while math.prod(held) != math.prod(has):
            if math.prod(held) < math.prod(has):
                held.append(before.pop(0))
            else:
                has.append(after.pop(0))
        yield held, has


def _matched(call: Call, axes: Axes, after: Sequence[int], places: Sequence[int] | None) -> Axes:
    while len(axes) > len(after) and any(is_one(call, axis) for axis in axes):
        axes = list(axes)
        axes.remove(next(axis for axis in axes if is_one(call, axis)))
    if [call.sizes.size(axis) for axis in axes] == list(after):
        return axes
    if len(after) == 1:
        return [call.sizes.product(axes)]
    return call.sizes.factor(call.sizes.product(axes), after, places=places)


def is_one(call: Call, axis: Axis) -> bool:
    """Return whether an axis is there for form's sake."""
    return call.sizes.size(axis) == 1 and not call.sizes.free(axis)


def unsqueeze(call: Call) -> Axes:
    """One more axis, of one."""
    axes: Axes = list(call.first)
    axes.insert(call.argument(1, "dim") % (len(axes) + 1), constant(1))
    return axes


def expand(call: Call) -> Axes:
    """Axes of one are repeated."""
    axes: Axes = call.first
    added = call.result.dim() - len(axes)
    result = [
        axis if call.sizes.size(axis) == size else constant(size)
        for axis, size in zip([constant(1)] * added + axes, call.result.shape, strict=True)
    ]
    _write_sizes_anew(call, result)
    return result
