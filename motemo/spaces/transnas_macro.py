"""TransNAS-Bench-101, macro: a chain of four to six modules of residual blocks, 3,256 networks.

Reference: Duan et al., *TransNAS-Bench-101: Improving Transferability and Generalizability of
Cross-Task Neural Architecture Search*, CVPR 2021, https://arxiv.org/abs/2105.11871.

Deviations: the published input is 256x256; ours has any size and resolutions round up. The
published stem divides the resolution by 4 and the modules by up to 16, so small images end at one
pixel; `stem_stride` makes the stem keep more of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from motemo.drawing import Drawing
from motemo.errors import GenotypeError
from motemo.space import Choice, Gene, Json, Shape, Space
from motemo.spaces.stem_stride import check_stem_stride

if TYPE_CHECKING:
    from torch import nn

SAME, WIDER, SMALLER, BOTH = 1, 2, 3, 4
"""What a module does: nothing to the shape, doubles its width, halves its resolution, or both."""
NO_MODULE = 0
ALWAYS, MODULES = 4, 6
"""Modules that every network has, and that there can be."""
STEM_STRIDES = (1, 2, 4)

_KINDS = (SAME, WIDER, SMALLER, BOTH)
_WIDENINGS = range(1, 4)
_HALVINGS = range(1, 5)
_GENES = tuple(
    Gene(f"module_{number}", _KINDS if number <= ALWAYS else (NO_MODULE, *_KINDS))
    for number in range(1, MODULES + 1)
)
_FORM = re.compile(r"64-([1-4]{4}(?:[0-4]?[1-4])?)-basic")


@dataclass(frozen=True)
class TransNasMacro(Space):
    """The macro space of TransNAS-Bench-101, with the network of its classification tasks.

    Attributes:
        stem_stride: By how much the stem divides the resolution: 4 as published, 2 or 1.
        genes: The kind of each module; 0 for no fifth or sixth one.

    Raises:
        SettingsError: The stem has no such stride.
    """

    name: str = "transnas_macro"
    stem_stride: int = 4
    genes: tuple[Gene, ...] = field(default=_GENES, init=False, repr=False)

    def __post_init__(self) -> None:
        check_stem_stride(self.stem_stride, STEM_STRIDES)

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the published string, such as `64-41212-basic`; absent last modules are left out.

        Only where a sixth module follows an absent fifth one, a 0 stands for that.
        """
        digits = "".join(str(values[gene.name]) for gene in _GENES)
        return f"64-{digits.rstrip(str(NO_MODULE))}-basic"

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the kind of every module."""
        found = _FORM.fullmatch(genotype)
        if found is None:
            raise GenotypeError(
                f"Malformed TransNAS macro genotype {genotype!r}. The form is '64-MODULES-basic' "
                "with four to six digits from 1 to 4 (same shape, twice the channels, half the "
                "resolution, both), for example '64-41212-basic'."
            )
        digits = found[1].ljust(MODULES, str(NO_MODULE))
        return {gene.name: int(digit) for gene, digit in zip(_GENES, digits, strict=True)}

    def canonical(self, genotype: str) -> str:
        """Return the published string, without an absent module before the last."""
        return f"64-{''.join(map(str, self._modules(genotype)))}-basic"

    def invalid_reason(self, genotype: str) -> str | None:
        """The published networks widen one to three times and halve one to four times."""
        modules = self._modules(genotype)
        for kind, what, allowed in (
            (WIDER, "doubles its channels", _WIDENINGS),
            (SMALLER, "halves its resolution", _HALVINGS),
        ):
            times = modules.count(kind) + modules.count(BOTH)
            if times not in allowed:
                return f"it {what} {times} times, not {allowed[0]} to {allowed[-1]} times"
        return None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the published network: stem, modules of two residual blocks, classifier."""
        from motemo.spaces.transnas_macro_network import full_network

        return full_network(
            self._modules(genotype),
            in_channels=input_shape[0],
            classes=classes,
            stem_stride=self.stem_stride,
        )

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Return the same modules with few channels."""
        from motemo.spaces.transnas_macro_network import reduced_network

        return reduced_network(self._modules(genotype), input_shape=input_shape, classes=classes)

    def identity(self) -> dict[str, Json]:
        """Name and stride of the stem."""
        return {"name": self.name, "stem_stride": self.stem_stride}

    def drawing(self, genotype: str) -> Drawing:
        """Return the network, a row for each module."""
        from motemo.spaces.transnas_macro_drawing import draw_network

        return Drawing((draw_network(self._modules(genotype), stem_stride=self.stem_stride),))

    def _modules(self, genotype: str) -> list[int]:
        kinds = (int(kind) for kind in self.read(genotype).values())
        return [kind for kind in kinds if kind != NO_MODULE]
