"""PiT: vision transformers of three stages, with a pooling of the patches between them.

Reference: Heo et al., *Rethinking Spatial Dimensions of Vision Transformers*, ICCV 2021,
https://arxiv.org/abs/2103.16302; the space is that of Wei et al., *Auto-Prox: Training-Free Vision
Transformer Architecture Search via Automatic Proxy Discovery*, AAAI 2024, with its genotypes.

Deviations: the input need not be 224x224; `patch_size` follows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from motemo.drawing import Chain, Drawing, Stage
from motemo.errors import GenotypeError, SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.block_drawing import attention, fixed, shape_remark
from motemo.spaces.gene_lists import read_choice, read_object

if TYPE_CHECKING:
    from torch import nn

STAGES = 3
_GENES = (
    Gene("base_dim", (16, 24, 32, 40)),
    Gene("mlp_ratio", (2, 4, 6, 8)),
    Gene("depth_1", (1, 2, 3)),
    Gene("depth_2", (4, 6, 8)),
    Gene("depth_3", (2, 4, 6)),
    *(Gene(f"num_heads_{stage}", (2, 4, 8)) for stage in range(1, STAGES + 1)),
)
_LISTS = ("depth", "num_heads")
_KEYS = {"base_dim", "mlp_ratio", *_LISTS}
_FORM = (
    'The form is JSON as \'{"base_dim":32,"mlp_ratio":4,"depth":[2,6,4],"num_heads":[2,4,8]}\', '
    "with depth and number of heads of each of three stages."
)


class Decisions(NamedTuple):
    """The decisions on a network."""

    head_width: int
    ratio: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]


@dataclass(frozen=True)
class Pit(Space):
    """The PiT space of Auto-Prox, with the published PiT-Ti in it.

    Attributes:
        patch_size: Side of the image patches that become tokens; they overlap by half. None: 16,
            as published, for images of at least 112 pixels, and 4 for smaller ones.
        reduced_width: The head width of the reduced architecture is the published one times this;
            at least 1/8, so that different ones stay different.
        genes: Width of a head (`base_dim`), MLP ratio, and blocks and heads of each stage.

    Raises:
        SettingsError: There is no such size or width.
    """

    name: str = "pit"
    patch_size: int | None = None
    reduced_width: float = 3 / 8
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.patch_size is not None and self.patch_size < 2:
            raise SettingsError(f"`patch_size` must be at least 2; got {self.patch_size!r}.")
        if not self.reduced_width >= 1 / 8:
            raise SettingsError(
                f"`reduced_width` must be at least 1/8, or different widths would be one; "
                f"got {self.reduced_width}."
            )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published JSON."""
        return json.dumps(
            {
                "base_dim": values["base_dim"],
                "mlp_ratio": values["mlp_ratio"],
                **{
                    kind: [values[f"{kind}_{stage}"] for stage in range(1, STAGES + 1)]
                    for kind in _LISTS
                },
            },
            separators=(",", ":"),
        )

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene."""
        written = read_object(genotype, _KEYS, form=_FORM)
        flat = {name: written[name] for name in _KEYS.difference(_LISTS)}
        for kind in _LISTS:
            if not isinstance(written[kind], list) or len(written[kind]) != STAGES:
                raise GenotypeError(
                    f"Malformed genotype {genotype!r}: {kind!r} is no list of {STAGES}. {_FORM}"
                )
            flat |= {f"{kind}_{stage}": v for stage, v in enumerate(written[kind], start=1)}
        return {
            gene.name: read_choice(
                gene.name, flat[gene.name], gene.choices, genotype=genotype, form=_FORM
            )
            for gene in _GENES
        }

    def canonical(self, genotype: str) -> str:
        """Return the genotype in compact JSON; every decision makes a difference."""
        return self.write(self.read(genotype))

    def invalid_reason(self, genotype: str) -> str | None:
        """A pooling cannot lessen the channels, so no stage has fewer heads than the one before."""
        heads = self._decisions(genotype).heads
        if any(before > after for before, after in pairwise(heads)):
            return f"of its {heads} heads, a stage has fewer than the one before it"
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network."""
        from motemo.spaces.pit_network import full_network

        return full_network(
            self._decisions(genotype),
            input_shape=input_shape,
            classes=classes,
            patch=self.patch_size,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return as many blocks and heads, narrow, on at most 8 x 8 patches."""
        from motemo.spaces.pit_network import reduced_network

        return reduced_network(
            self._decisions(genotype),
            input_shape=input_shape,
            classes=classes,
            width=self.reduced_width,
        )

    def identity(self) -> dict[str, Json]:
        """Name, size and width."""
        return {
            "name": self.name,
            "patch_size": self.patch_size,
            "reduced_width": self.reduced_width,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the blocks, a row for each stage."""
        head_width, ratio, depths, heads = self._decisions(genotype)
        stages = [fixed("patches", "conv", remark=shape_remark(head_width * heads[0]))]
        for number, (depth, count) in enumerate(zip(depths, heads, strict=True), start=1):
            block = attention(f"{count} heads", width=head_width * count / 320, height=ratio / 8)
            remark = shape_remark(head_width * count, 2 if number > 1 else 1)
            stages.append(Stage(depth * (block,), f"stage {number}", remark))
        remark = f"Heads of {head_width} channels; mlp ratio {ratio}. Width: channels."
        return Drawing((Chain("network", (*stages, fixed("head", "classifier")), remark),))

    def _decisions(self, genotype: str) -> Decisions:
        values = self.read(genotype)
        depths, heads = (
            tuple(int(values[f"{kind}_{stage}"]) for stage in range(1, STAGES + 1))
            for kind in _LISTS
        )
        return Decisions(int(values["base_dim"]), int(values["mlp_ratio"]), depths, heads)
