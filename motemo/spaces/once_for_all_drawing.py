"""What pictures of Once-for-All networks show."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Chain
from motemo.drawing import Stage as Row
from motemo.spaces.block_drawing import fixed, inverted_residual, mobile_chain, shape_remark
from motemo.spaces.mobile_blocks import divisible
from motemo.spaces.once_for_all_families import Family
from motemo.spaces.once_for_all_genotype import Block


def draw_network(
    family: Family,
    stages: Sequence[Sequence[Block]],
    *,
    width: float,
    stem_stride: int,
    resolution: int | None,
) -> Chain:
    """Return stem, first block, stages and head.

    Args:
        family: The space.
        stages: The blocks of each stage.
        width: All published widths are multiplied by it.
        stem_stride: By how much the stem divides the resolution.
        resolution: Height of the input, if that is searched.
    """
    shown = [fixed("input", f"{resolution} pixels high")] if resolution is not None else []
    shown.append(
        fixed("stem", "conv 3×3", remark=shape_remark(divisible(width * family.stem), stem_stride))
    )
    shown.append(fixed("first", "3×3 e1", remark=shape_remark(divisible(width * family.first))))
    widest = max(stage.channels for stage in family.stages)
    for number, (stage, blocks) in enumerate(zip(family.stages, stages, strict=True), start=1):
        drawn = tuple(
            inverted_residual(
                block.kernel,
                block.expansion,
                width=stage.channels / widest,
                height=block.expansion / max(family.expansions),
            )
            for block in blocks
        )
        squeezes = ("SE",) if stage.squeezes else ()
        remark = shape_remark(divisible(width * stage.channels), stage.stride, *squeezes)
        shown.append(Row(drawn, f"stage {number}", remark))
    layers = [f"conv 1×1, {divisible(width * family.pooled)}", "pool"]
    if family.features is not None:
        layers.append(f"conv 1×1, {divisible(width * family.features)}")
    return mobile_chain([*shown, fixed("head", *layers, "classifier")])
