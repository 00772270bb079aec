#!/usr/bin/env python
"""The pictures of the documents: an architecture of each registered space.

scripts/draw_spaces.py           # write docs/images/NAME.svg anew
scripts/draw_spaces.py --check   # fail if one is not as it would be written
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from motemo.registry import SPACES
from motemo.rendering.drawing import architecture_svg
from motemo.space import Architecture, Space

IMAGES = Path(__file__).parent.parent / "docs" / "images"
_MOBILENETV2_DEPTHS = {"d_1": 2, "d_2": 3, "d_3": 4, "d_4": 3, "d_5": 3}
_INCEPTION_LIKE = {
    "matrix": [
        [0, 1, 1, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    "ops": [
        "input",
        "conv1x1-bn-relu",
        *(3 * ["conv3x3-bn-relu"]),
        "maxpool3x3",
        "output",
    ],
}
_DARTS_SECOND_ORDER = {
    "normal": [
        *(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        *(("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)),
    ],
    "reduce": [
        *(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)),
        *(("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)),
    ],
}
GENOTYPES = {
    "nasbench201": (
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+"
        "|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    ),
    "nasbench101": json.dumps(_INCEPTION_LIKE),
    "darts": json.dumps(_DARTS_SECOND_ORDER),
    "nasbench_macro": "12002110",
    "nats_size": "8:16:24:32:40",
    "transnas_micro": "64-41414-3_02_013",
    "transnas_macro": "64-41212-basic",
    "mnasnet": (
        '{"e":[1,6,6,6,6,6,6],"k":[3,3,5,3,5,5,3],"l":[1,2,2,3,3,4,1],"se":[1,1,1,1,1,1,1]}'
    ),
    "autoformer": json.dumps(
        {"hidden_dim": 192, "mlp_ratio": 12 * [4.0], "depth": 12, "num_heads": 12 * [3]}
    ),
    "pit": '{"base_dim":32,"mlp_ratio":4,"depth":[2,6,4],"num_heads":[2,4,8]}',
}
"""Published architectures and those that the pages speak of; of other spaces a random one."""


def main() -> int:
    """Write or check the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if a picture is not up to date")
    check = parser.parse_args().check
    wanted = {
        IMAGES / f"{entry.name}.svg": f"{architecture_svg(example(SPACES.create(entry.name)))}\n"
        for entry in SPACES.builtin
    }
    old = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if check:
        for path in old:
            print(f"{path} is out of date: run scripts/draw_spaces.py", file=sys.stderr)
        return int(bool(old))
    IMAGES.mkdir(exist_ok=True)
    for path in old:
        path.write_text(wanted[path])
        print(f"wrote {path}")
    return 0


def example(space: Space) -> Architecture:
    """Return the architecture whose picture stands for a space."""
    if space.name == "mobilenetv2":
        expansions = {gene.name: 6 for gene in space.genes if gene.name.startswith("e_")}
        first = {gene.name: gene.choices[0] for gene in space.genes}
        return space.architecture(space.write(first | expansions | _MOBILENETV2_DEPTHS)).canonical
    if space.name in GENOTYPES:
        return space.architecture(GENOTYPES[space.name])
    rng = np.random.default_rng(4)
    drawn = (space.sample(rng) for _ in range(1000))
    return next(one for one in drawn if one.invalid_reason is None).canonical


if __name__ == "__main__":
    sys.exit(main())
