"""What pictures of networks like NASViT's show."""

from __future__ import annotations

from motemo.drawing import Chain
from motemo.drawing import Stage as Row
from motemo.spaces.block_drawing import (
    attention,
    fixed,
    inverted_residual,
    mobile_chain,
    shape_remark,
)
from motemo.spaces.nasvit import Decisions
from motemo.spaces.nasvit_network import EXPANSION, FIRST_ATTENTION, HEAD_WIDTH, SQUEEZES

_WIDEST, _MOST_EXPANSION = 224, 6


def draw_network(decisions: Decisions) -> Chain:
    """Return stem, stages and head."""
    shown = [fixed("stem", "conv 3×3", remark=shape_remark(decisions.stem))]
    for number, stage in enumerate(decisions.stages):
        share = stage.width / _WIDEST
        convolution = inverted_residual(
            stage.kernel, stage.expansion, width=share, height=stage.expansion / _MOST_EXPANSION
        )
        heads = attention(f"{stage.width // HEAD_WIDTH} heads", width=share, height=0.5)
        convolutions = stage.depth if number < FIRST_ATTENTION else 1
        blocks = convolutions * (convolution,) + (stage.depth - convolutions) * (heads,)
        squeezes = ("SE",) if SQUEEZES[number] else ()
        shown.append(Row(blocks, f"stage {number + 1}", shape_remark(stage.width, 1, *squeezes)))
    expanded = EXPANSION * decisions.stages[-1].width
    layers = (f"conv 1×1, {expanded}", "pool", f"conv 1×1, {decisions.head}", "classifier")
    return mobile_chain([*shown, fixed("head", *layers)])
