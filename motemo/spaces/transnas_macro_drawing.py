"""What pictures of TransNAS-Bench-101's macro networks show."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Block, Chain, Operation, Stage
from motemo.spaces.block_drawing import fixed, shape_remark
from motemo.spaces.transnas_macro import BOTH, SMALLER, WIDER
from motemo.spaces.transnas_macro_network import BLOCKS_PER_MODULE
from motemo.spaces.transnas_micro_network import BASE_CHANNELS

_MOST_WIDENING = 8


def draw_network(modules: Sequence[int], *, stem_stride: int) -> Chain:
    """Return stem, modules and classifier."""
    channels = BASE_CHANNELS
    shown = [fixed("stem", "conv 3×3", "conv 3×3", remark=shape_remark(channels, stem_stride))]
    for number, kind in enumerate(modules, start=1):
        channels *= 2 if kind in (WIDER, BOTH) else 1
        share = channels / (_MOST_WIDENING * BASE_CHANNELS)
        block = Block(Operation("residual", "conv_3", "residual block of 3x3 filters"), share)
        remark = shape_remark(channels, 2 if kind in (SMALLER, BOTH) else 1)
        shown.append(Stage(BLOCKS_PER_MODULE * (block,), f"module {number}", remark))
    stages = (*shown, fixed("head", "pool", "classifier"))
    return Chain("network", stages, "Width of a box: channels.")
