"""What pictures of NAS-Bench-Macro show."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Block, Chain, Operation, Stage
from motemo.spaces.block_drawing import fixed, inverted_residual, mobile_chain, shape_remark
from motemo.spaces.nasbench_macro_network import BLOCKS, HEAD


def draw_network(stages: Sequence[Sequence[str]], *, channels: int) -> Chain:
    """Return stem, stages and head; `channels` are those of the stem."""
    shown = [fixed("stem", "conv 3×3", remark=shape_remark(channels))]
    for number, kinds in enumerate(stages, start=1):
        blocks = tuple(_block(kind, 2.0 ** (number - len(stages))) for kind in kinds)
        shown.append(Stage(blocks, f"stage {number}", shape_remark(channels * 2**number, 2)))
    head = f"conv 1×1, {HEAD * channels}"
    return mobile_chain([*shown, fixed("head", head, "pool", "classifier")])


def _block(kind: str, width: float) -> Block:
    if kind not in BLOCKS:
        return Block(Operation(kind, "skip"), width)
    expansion, kernel = BLOCKS[kind]
    return inverted_residual(kernel, expansion, width=width, height=expansion / 6, name=kind)
