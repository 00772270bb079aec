"""A space like NASViT's: convolutions at first, then stages of attention.

Reference: Gong et al., *NASViT: Neural Architecture Search for Efficient Vision Transformers with
Gradient Conflict-Aware Supernet Training*, ICLR 2022, https://openreview.net/forum?id=Qaw16njk6L.
Choices, strides, widths of heads and values are those of the released supernet.

Deviations: attention has no relative positions, no mixing of heads and no convolution of the
values, its output is not rescaled, and one perceptron of twice the width stands for two in a row;
so published costs are not reproduced. Where the shape changes, no pooled input is added. The
resolution is no decision: it is that of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from motemo.drawing import Drawing
from motemo.errors import SettingsError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.gene_lists import read_choice, read_lists, write_lists

if TYPE_CHECKING:
    from torch import nn

STRIDES = (1, 2)
_CHOICES: Mapping[str, Sequence[tuple[int, ...]]] = {
    "width": (
        (16, 24),
        (16, 24),
        (24, 32),
        (32, 40),
        (64, 72),
        (112, 120, 128),
        (160, 168, 176, 184),
        (208, 216, 224),
        (1792, 1984),
    ),
    "depth": (
        (1, 2),
        (3, 4, 5),
        (3, 4, 5, 6),
        (3, 4, 5, 6),
        (3, 4, 5, 6, 7, 8, 9),
        (3, 4, 5, 6, 7, 8),
        (3, 4, 5, 6),
    ),
    "kernel_size": ((3, 5), (3, 5), (3,), (3,), (3,), (3,), (3,)),
    "expand_ratio": ((1,), (4, 5, 6), (4, 5, 6), (4, 5, 6), (4, 5, 6), (6,), (6,)),
}
"""What there is to choose from: widths of stem, seven stages and head; the rest of the stages."""
_LENGTHS = {kind: len(choices) for kind, choices in _CHOICES.items()}


def _name(kind: str, number: int) -> str:
    return f"{kind}_{number if kind == 'width' else number + 1}"


_DECISIONS = {
    _name(kind, number): choices
    for kind, several in _CHOICES.items()
    for number, choices in enumerate(several)
}
_GENES = tuple(Gene(name, choices) for name, choices in _DECISIONS.items() if len(choices) > 1)


class Stage(NamedTuple):
    """The decisions on one stage; kernel and expansion are of its convolutions."""

    width: int
    depth: int
    kernel: int
    expansion: int


class Decisions(NamedTuple):
    """The decisions on a network."""

    stem: int
    stages: Sequence[Stage]
    head: int


@dataclass(frozen=True)
class NasVit(Space):
    """The space.

    Attributes:
        early_stride: Stride of the stem and of stages 2 and 3. None: 2, as published, for images
            of at least 112 pixels, and 1 for smaller ones, or attention would have one pixel.
        reduced_width: All widths of the reduced architecture are the published ones times this;
            at least 1/8, so that different ones stay different.
        genes: Widths of the stem (`width_0`), the stages (`width_1` to `width_7`) and the head
            (`width_8`); of each stage blocks (`depth_1`), and kernel (`kernel_size_1`) and
            expansion (`expand_ratio_2`) of its convolutions. What has one choice is no gene.

    Raises:
        SettingsError: There is no such stride or width.
    """

    name: str = "nasvit"
    early_stride: int | None = None
    reduced_width: float = 3 / 8
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.early_stride not in (None, *STRIDES):
            raise SettingsError(
                f"`early_stride` must be one of {STRIDES} or None; got {self.early_stride!r}."
            )
        if not self.reduced_width >= 1 / 8:
            raise SettingsError(
                f"`reduced_width` must be at least 1/8, or different widths would be one; "
                f"got {self.reduced_width}."
            )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return JSON with the lists of a NASViT subnet."""
        return write_lists(
            {
                kind: [
                    int(values.get(_name(kind, number), choices[0]))
                    for number, choices in enumerate(several)
                ]
                for kind, several in _CHOICES.items()
            }
        )

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the value of every gene."""
        lists = read_lists(genotype, _LENGTHS, form=_FORM)
        written = {
            _name(kind, number): value
            for kind, values in lists.items()
            for number, value in enumerate(values)
        }
        for name, choices in _DECISIONS.items():
            read_choice(name, written[name], choices, genotype=genotype, form=_FORM)
        return {gene.name: written[gene.name] for gene in _GENES}

    def canonical(self, genotype: str) -> str:
        """Return the genotype in compact JSON; every decision makes a difference."""
        return self.write(self.read(genotype))

    def invalid_reason(self, genotype: str) -> str | None:
        """Every genotype can be searched."""
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the full network."""
        from motemo.spaces.nasvit_network import full_network

        return full_network(
            _decisions(genotype),
            input_shape=input_shape,
            classes=classes,
            early_stride=self.early_stride,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same blocks with few channels and few strides."""
        from motemo.spaces.nasvit_network import reduced_network

        return reduced_network(
            _decisions(genotype),
            input_shape=input_shape,
            classes=classes,
            width=self.reduced_width,
        )

    def identity(self) -> dict[str, Json]:
        """Name, stride and width."""
        return {
            "name": self.name,
            "early_stride": self.early_stride,
            "reduced_width": self.reduced_width,
        }

    def drawing(self, genotype: str) -> Drawing:
        """Return the blocks, a row for each stage."""
        from motemo.spaces.nasvit_drawing import draw_network

        return Drawing((draw_network(_decisions(genotype)),))


def _decisions(genotype: str) -> Decisions:
    lists = read_lists(genotype, _LENGTHS, form=_FORM)
    stem, *widths, head = lists["width"]
    others = (lists[kind] for kind in ("depth", "kernel_size", "expand_ratio"))
    return Decisions(stem, [Stage(*each) for each in zip(widths, *others, strict=True)], head)


_FORM = (
    "The form is JSON with nine widths (stem, seven stages, head) and seven depths, kernel sizes "
    f"and expand ratios, for example '{NasVit().write({})}'."
)
