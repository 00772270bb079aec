"""What pictures of FBNets show."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Block, Chain, Operation, Stage
from motemo.spaces.block_drawing import fixed, inverted_residual, mobile_chain, shape_remark
from motemo.spaces.fbnet_network import BLOCK, CHANNELS, HEAD, STEM, STRIDES
from motemo.spaces.mobile_blocks import divisible

_MOST_EXPANSION = 6


def draw_network(stages: Sequence[Sequence[str]], *, layout: str, width: float) -> Chain:
    """Return stem, stages and head.

    Args:
        stages: The kinds of block of each stage.
        layout: Its strides and its head, `cifar` or `imagenet`.
        width: All published widths are multiplied by it.
    """
    stem_stride, *strides = STRIDES[layout]
    shown = [fixed("stem", "conv 3×3", remark=shape_remark(divisible(width * STEM), stem_stride))]
    for number, (kinds, channels, stride) in enumerate(
        zip(stages, CHANNELS, strides, strict=False), start=1
    ):
        blocks = tuple(_block(kind, channels / max(CHANNELS)) for kind in kinds)
        remark = shape_remark(divisible(width * channels), stride)
        shown.append(Stage(blocks, f"stage {number}", remark))
    head = f"conv 1×1, {divisible(width * HEAD[layout])}"
    return mobile_chain([*shown, fixed("head", head, "pool", "classifier")])


def _block(kind: str, width: float) -> Block:
    found = BLOCK.fullmatch(kind)
    if found is None:
        return Block(Operation(kind, "skip"), width)
    kernel, expansion, groups = (int(number or 1) for number in found.groups())
    height = expansion / _MOST_EXPANSION
    return inverted_residual(
        kernel, expansion, width=width, height=height, groups=groups, name=kind
    )
