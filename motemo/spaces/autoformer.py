"""AutoFormer: vision transformers of 12 to 14 blocks, with heads and MLP ratio of each block.

Reference: Chen et al., *AutoFormer: Searching Transformers for Visual Recognition*, ICCV 2021,
https://arxiv.org/abs/2107.00651, the tiny space as in Wei et al., *Auto-Prox: Training-Free Vision
Transformer Architecture Search via Automatic Proxy Discovery*, AAAI 2024, with its genotypes.

Deviations: learned positions of tokens, as in both, but no relative positions in the attention,
which AutoFormer has and Auto-Prox has not. The input need not be 224x224: `patch_size` follows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from motemo.drawing import Chain, Drawing, Stage
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.block_drawing import attention, fixed, shape_remark
from motemo.spaces.gene_lists import read_choice, read_object

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (192, 216, 240)
DEPTHS = (12, 13, 14)
_OF_BLOCK: Mapping[str, tuple[int, ...] | tuple[float, ...]] = {
    "num_heads": (3, 4),
    "mlp_ratio": (3.5, 4.0),
}
_GENES = (
    Gene("hidden_dim", WIDTHS),
    Gene("depth", DEPTHS),
    *(
        Gene(f"{kind}_{block}", choices)
        for block in range(1, max(DEPTHS) + 1)
        for kind, choices in _OF_BLOCK.items()
    ),
)
_KEYS = {"hidden_dim", "mlp_ratio", "depth", "num_heads"}
_FORM = (
    'The form is JSON as \'{"hidden_dim":192,"mlp_ratio":[3.5,...],"depth":12,'
    '"num_heads":[3,...]}\', with a ratio (3.5, 4.0) and a number of heads (3, 4) of each block.'
)


class Block(NamedTuple):
    """The decisions on one block."""

    heads: int
    ratio: float


class Decisions(NamedTuple):
    """The decisions on a network."""

    width: int
    blocks: Sequence[Block]


@dataclass(frozen=True)
class AutoFormer(Space):
    """The space of AutoFormer-Ti.

    Attributes:
        patch_size: Side of the image patches that become tokens. None: 16, as published, for
            images of at least 112 pixels, and 4 for smaller ones.
        head_width: Channels of queries, keys and values in each head: 64, as published. None: they
            share the width of the embedding, as in the networks that Auto-Prox trained, and their
            number costs nothing.
        reduced_width: All widths of the reduced architecture are the published ones times this;
            at least 1/24, so that different ones stay different.
        genes: Width of the embedding, number of blocks, and heads and MLP ratio of each block.

    Raises:
        SettingsError: There is no such size or width.
    """

    name: str = "autoformer"
    patch_size: int | None = None
    head_width: int | None = 64
    reduced_width: float = 1 / 4
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        for option in ("patch_size", "head_width"):
            given = getattr(self, option)
            if given is not None and given < 1:
                raise SettingsError(f"`{option}` must be at least 1, or None; got {given!r}.")
        if not self.reduced_width >= 1 / 24:
            raise SettingsError(
                f"`reduced_width` must be at least 1/24, or different widths would be one; "
                f"got {self.reduced_width}."
            )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published JSON.

        Blocks beyond the depth are left out from where on all have the first choices.
        """
        blocks = [
            {kind: values[f"{kind}_{block}"] for kind in _OF_BLOCK}
            for block in range(1, max(DEPTHS) + 1)
        ]
        first = {kind: choices[0] for kind, choices in _OF_BLOCK.items()}
        while len(blocks) > int(values["depth"]) and blocks[-1] == first:
            blocks.pop()
        return json.dumps(
            {
                "hidden_dim": values["hidden_dim"],
                "mlp_ratio": [block["mlp_ratio"] for block in blocks],
                "depth": values["depth"],
                "num_heads": [block["num_heads"] for block in blocks],
            },
            separators=(",", ":"),
        )

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene; the first choice for blocks that are left out."""
        written = _parsed(genotype)
        values: dict[str, Choice] = {}
        for gene in _GENES:
            kind, _, block = gene.name.rpartition("_")
            if kind not in _OF_BLOCK:
                value = written[gene.name]
            elif int(block) <= len(written[kind]):
                value = written[kind][int(block) - 1]
            else:
                value = gene.choices[0]
            values[gene.name] = read_choice(
                gene.name, value, gene.choices, genotype=genotype, form=_FORM
            )
        return values

    def canonical(self, genotype: str) -> str:
        """Return the genotype without anything on blocks beyond the depth."""
        values = self.read(genotype)
        for block in range(int(values["depth"]) + 1, max(DEPTHS) + 1):
            values |= {f"{kind}_{block}": choices[0] for kind, choices in _OF_BLOCK.items()}
        return self.write(values)

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network, without relative positions."""
        from motemo.spaces.autoformer_network import full_network

        return full_network(
            self._decisions(genotype),
            input_shape=input_shape,
            classes=classes,
            patch=self.patch_size,
            head_width=self.head_width,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return as many blocks, narrow, on at most 4 x 4 patches."""
        from motemo.spaces.autoformer_network import reduced_network

        return reduced_network(
            self._decisions(genotype),
            input_shape=input_shape,
            classes=classes,
            width=self.reduced_width,
            head_width=self.head_width,
        )

    def identity(self) -> dict[str, Json]:
        """Name, sizes and widths."""
        return {
            "name": self.name,
            "patch_size": self.patch_size,
            "head_width": self.head_width,
            "reduced_width": self.reduced_width,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the blocks."""
        width, blocks = self._decisions(genotype)
        boxes = tuple(
            attention(f"{block.heads} heads, {block.ratio:g}", height=block.ratio / 4)
            for block in blocks
        )
        stages = (
            fixed("patches", "conv", remark=shape_remark(width)),
            Stage(boxes, f"{len(blocks)} blocks", shape_remark(width)),
            fixed("head", "mean", "classifier"),
        )
        return Drawing((Chain("network", stages, "Of each block its heads and its mlp ratio."),))

    def _decisions(self, genotype: str) -> Decisions:
        values = self.read(genotype)
        blocks = [
            Block(int(values[f"num_heads_{block}"]), float(values[f"mlp_ratio_{block}"]))
            for block in range(1, int(values["depth"]) + 1)
        ]
        return Decisions(int(values["hidden_dim"]), blocks)


def _parsed(genotype: str) -> dict[str, Any]:
    """Return the JSON object; its lists have room for all blocks, and are equally long."""
    written = read_object(genotype, _KEYS, form=_FORM)
    depth = written["depth"]
    lists = [written[kind] for kind in _OF_BLOCK]
    if type(depth) is not int or any(not isinstance(one, list) for one in lists):
        raise GenotypeError(f"Malformed genotype {genotype!r}. {_FORM}")
    lengths = {len(one) for one in lists}
    if len(lengths) > 1 or not depth <= min(lengths) <= max(DEPTHS):
        raise GenotypeError(
            f"Malformed genotype {genotype!r}: its lists must be equally long, one entry for each "
            f"of {depth} blocks. {_FORM}"
        )
    return written
