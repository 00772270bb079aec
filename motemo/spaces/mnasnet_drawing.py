"""What pictures of MnasNet's space show."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Chain
from motemo.drawing import Stage as Row
from motemo.spaces.block_drawing import fixed, inverted_residual, mobile_chain, shape_remark
from motemo.spaces.mnasnet import Stage
from motemo.spaces.mnasnet_network import HEAD, SHAPES, STEM
from motemo.spaces.mobile_blocks import divisible

_MOST_EXPANSION = 6


def draw_network(stages: Sequence[Stage], *, width: float, stem_stride: int) -> Chain:
    """Return stem, stages and head; widths are the published ones times `width`."""
    widest = max(channels for channels, _ in SHAPES)
    shown = [fixed("stem", "conv 3×3", remark=shape_remark(divisible(width * STEM), stem_stride))]
    for number, (stage, (channels, stride)) in enumerate(zip(stages, SHAPES, strict=True), start=1):
        block = inverted_residual(
            stage.kernel,
            stage.expansion,
            width=channels / widest,
            height=stage.expansion / _MOST_EXPANSION,
        )
        squeezes = ("SE",) if stage.squeezes else ()
        remark = shape_remark(divisible(width * channels), stride, *squeezes)
        shown.append(Row(stage.layers * (block,), f"stage {number}", remark))
    head = f"conv 1×1, {divisible(width * HEAD)}"
    return mobile_chain([*shown, fixed("head", head, "pool", "classifier")])
