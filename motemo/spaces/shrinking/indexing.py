"""Parts of tensors."""

from __future__ import annotations

from typing import Any

from motemo.spaces.shrinking.calls import Arguments, Axes, Call, NewSize
from motemo.spaces.shrinking.sizes import Axis, constant


def item(call: Call) -> Any:  # noqa: ANN401
    """Part of a tuple, or of a tensor."""
    source, index = call.node.args
    if isinstance(call.value(source), list | tuple):
        return call.axes(source)[index]
    if not _plain(index):
        return call.unknown()
    return _indexed(call, call.axes(source), index if isinstance(index, tuple) else (index,))


def _plain(index: Any) -> bool:  # noqa: ANN401
    if isinstance(index, tuple):
        return all(map(_plain, index))
    ends = (index.start, index.stop, index.step) if isinstance(index, slice) else ()
    whole = all(end is None or isinstance(end, int) for end in ends)
    return whole and (index is None or isinstance(index, int | slice) or index is Ellipsis)


def _indexed(call: Call, axes: Axes, index: tuple[Any, ...]) -> Any:  # noqa: ANN401
    taken = sum(one is not None and one is not Ellipsis for one in index)
    rest = (slice(None),) * (len(axes) - taken)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *rest, *index[at + 1 :])
    waiting = list(axes)
    found: Axes = []
    cut: dict[int, list[Axis]] = {}
    for place, one in enumerate(index):
        if one is None:
            found.append(constant(1))
            continue
        axis = waiting.pop(0)
        if isinstance(one, int):
            call.sizes.freeze(axis)
        elif one == slice(None):
            found.append(axis)
        else:
            parts = _sliced(call, axis, one)
            found.append(parts[1])
            cut[place] = parts

    def written(args: Arguments, new: NewSize) -> Arguments:
        now = [
            slice(start := new(cut[i][0]), start + new(cut[i][1])) if i in cut else one
            for i, one in enumerate(index)
        ]
        return (args[0], tuple(now))

    free = {i for i, parts in cut.items() if any(call.sizes.free(part) for part in parts)}
    cut = {i: parts for i, parts in cut.items() if i in free}
    if cut:
        call.followed.literals[call.node.name] = written
    return found + waiting


def _sliced(call: Call, axis: Axis, one: slice) -> list[Axis]:
    """Return what is before a slice, the slice, and what is after it."""
    size = call.sizes.size(axis)
    start, stop, step = one.indices(size)
    if step != 1:
        call.sizes.freeze(axis)
        return [constant(0), constant(len(range(start, stop, step))), constant(0)]
    lengths = [start, stop - start, size - stop]
    some = [i for i, length in enumerate(lengths) if length]
    parts = call.sizes.split(axis, [lengths[i] for i in some]) if len(some) > 1 else [axis]
    found = [constant(0)] * 3
    for i, part in zip(some, parts, strict=True):
        found[i] = part
    return found
