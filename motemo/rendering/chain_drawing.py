"""A chain of blocks, a row for each stage."""

from __future__ import annotations

from collections.abc import Sequence

from motemo.drawing import Block, Chain, Stage
from motemo.rendering.svg import SMALL, Piece, Point, box, lines, snake, text, text_width

_MOST_WIDTH = 540.0
"""Pixels of a row before the next one begins."""
_LEAST_HEIGHT, _HEIGHT, _WIDTH, _SIDE = 24.0, 20.0, 60.0, 16.0
"""Least height of a block, what is added at most for its height and its width, and its sides."""
_GAP, _ROW_GAP, _TURN = 12.0, 16.0, 14.0
_NAMED_HEIGHT = 30.0
"""Least height of a row with a name and a remark beside it."""


def draw_chain(chain: Chain) -> Piece:
    """Return the chain; its title is not drawn. Stages without blocks are left out."""
    rows = [(stage, n, row) for stage in chain.stages for n, row in enumerate(_rows(stage.blocks))]
    names = max((_names_width(stage) for stage in chain.stages), default=0.0)
    turn = _TURN if len(rows) > 1 else 0.0
    left = names + turn + (_GAP if names else 0.0)
    drawn, turns = "", ""
    y, right = 0.0, 0.0
    end: Point | None = None
    for stage, number, row in rows:
        height = max(_NAMED_HEIGHT if stage.remark else 0.0, *map(_height, row))
        start = (left, y + height / 2)
        turns += snake(end, start, gap=y - _ROW_GAP / 2) if end else ""
        drawn += _names(stage, start[1]) if not number else ""
        boxes, end = _draw_row(row, start)
        drawn += boxes
        right = max(right, end[0] + turn)
        y += height + _ROW_GAP
    if chain.remark:
        drawn += text(left, y + SMALL / 2, chain.remark, style="small", anchor="start")
        right = max(right, left + text_width(chain.remark, SMALL))
        y += SMALL + _ROW_GAP
    return Piece(lines(turns, faint=True) + drawn, right, y - _ROW_GAP)


def _draw_row(row: Sequence[Block], start: Point) -> tuple[str, Point]:
    """Return blocks with lines between them, and where they end."""
    x, y = start
    boxes, joints = "", ""
    for block in row:
        width, height = _width(block), _height(block)
        joints += f'<path d="M{x - _GAP:.1f} {y:.1f}h{_GAP}"/>' if boxes else ""
        boxes += box(block.operation, x, y - height / 2, width=width, height=height)
        x += width + _GAP
    return lines(joints) + boxes, (x - _GAP, y)


def _names(stage: Stage, middle: float) -> str:
    apart = 7.5 if stage.name and stage.remark else 0.0
    name = text(0, middle - apart, stage.name, style="name", anchor="start")
    remark = text(0, middle + apart, stage.remark, style="small", anchor="start")
    return (name if stage.name else "") + (remark if stage.remark else "")


def _names_width(stage: Stage) -> float:
    return max(1.05 * text_width(stage.name), text_width(stage.remark, SMALL))


def _rows(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return the blocks of a stage in rows that are not too wide and about equally wide."""
    count = len(_filled(blocks, _MOST_WIDTH))
    most = sum(_width(block) + _GAP for block in blocks) / max(count, 1)
    while len(rows := _filled(blocks, most)) > count:
        most += _GAP
    return rows


def _filled(blocks: Sequence[Block], most: float) -> list[list[Block]]:
    """Return the blocks in rows of at most that width, if none is wider by itself."""
    rows: list[list[Block]] = []
    taken = 0.0
    for block in blocks:
        taken += _width(block) + _GAP
        if not rows or taken - _GAP > most:
            rows.append([])
            taken = _width(block) + _GAP
        rows[-1].append(block)
    return rows


def _width(block: Block) -> float:
    return text_width(block.operation.label) + _SIDE + _WIDTH * block.width


def _height(block: Block) -> float:
    return _LEAST_HEIGHT + _HEIGHT * block.height
