"""A space of one's own: genes, and a function that builds a network from their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from motemo.errors import GenotypeError
from motemo.space import Choice, Gene, Shape
from motemo.spaces.decision_space import Answer, Builder, Decided, DecisionSpace
from motemo.spaces.gene_count import count_combinations
from motemo.spaces.lazy_modules import with_sizes

if TYPE_CHECKING:
    from torch import nn

BuildNetwork: TypeAlias = "Callable[[Mapping[str, Choice], Shape, int], nn.Module]"
"""From a value per active gene, the shape of one image (C, H, W) and the number of classes to a
network that maps images `(N, C, H, W)` to logits `(N, classes)`."""


@dataclass(frozen=True, kw_only=True)
class FunctionSpace(DecisionSpace):
    """A space that a function defines.

    Genes may depend on genes before them: `Gene("kernel_2", (3, 5), active_if={"depth": (2, 3)})`.

    Attributes:
        name: Name of the space.
        genes: The decisions.
        build_network: Builds the full network.
        build_reduced_network: Builds the network that MOTE trains; None makes it from the full
            one by the general rule.
        invalid: Says why a combination of values cannot be searched, or None if it can.
        version: Change it whenever one of the functions changes, so that old measurements are not
            taken for new ones.
        estimate: Registered name of the estimate of accuracy that `motemo search` takes if it is
            told nothing else.

    Raises:
        GenotypeError: Genes have one name, or one depends on what is not decided before it.
    """

    name: str
    genes: tuple[Gene, ...]
    build_network: BuildNetwork = field(repr=False)
    build_reduced_network: BuildNetwork | None = field(default=None, repr=False)
    invalid: Callable[[Mapping[str, Choice]], str | None] | None = field(default=None, repr=False)
    version: str = "1"
    estimate: str = DecisionSpace.estimate

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(self.genes))  # a list is as good
        names = [gene.name for gene in self.genes]
        if not names or len(set(names)) != len(names):
            raise GenotypeError(
                f"The space {self.name!r} needs at least one gene, each with a name of its own; "
                f"got {', '.join(names) or 'none'}."
            )
        before: dict[str, Gene] = {}
        for gene in self.genes:
            _check_conditions(gene, before)
            before[gene.name] = gene

    def decide(self, answer: Answer) -> Decided:
        """Ask for each gene that is active by what was decided before."""
        values: dict[str, Choice] = {}
        for gene in self.genes:
            if gene.is_active(values):
                values[gene.name] = answer(gene)
        return Decided(values, None)

    def invalid_reason(self, genotype: str) -> str | None:
        """Ask `invalid`; where it gives no reason but True, say so."""
        reason: object = self.invalid and self.invalid(self.decided(genotype).values)
        if not reason:
            return None
        return reason if isinstance(reason, str) else f"the space's `invalid` gives {reason!r}"

    @property
    def size(self) -> int:
        """Number of written genotypes, or an upper bound if `size_is_bound`."""
        return count_combinations(self.genes).number

    @property
    def size_is_bound(self) -> bool:
        """Whether genes depend on too many others for their combinations to be counted."""
        return count_combinations(self.genes).is_bound

    def _run(
        self, builder: Builder, genotype: str, *, input_shape: Shape, classes: int
    ) -> nn.Module:
        """Call one of the functions with the values of the active genes."""
        network = builder(self.decided(genotype).values, input_shape, classes)
        return with_sizes(network, input_shape)


def _check_conditions(gene: Gene, before: Mapping[str, Gene]) -> None:
    for name, wanted in gene.conditions.items():
        if name not in before:
            raise GenotypeError(
                f"The gene {gene.name!r} depends on {name!r}, which is no gene before it. Genes "
                f"before it: {', '.join(before) or 'none'}."
            )
        for value in wanted:
            if value not in before[name].choices:
                raise GenotypeError(
                    f"The gene {gene.name!r} waits for {name} = {value!r}, which is none of its "
                    f"choices: {', '.join(map(repr, before[name].choices))}."
                )
