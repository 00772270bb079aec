"""A space of one's own: genes, and a function that builds a network from their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from motemo.errors import GenotypeError
from motemo.space import Choice, Gene, Json, Shape, Space

if TYPE_CHECKING:
    from torch import nn

BuildNetwork: TypeAlias = "Callable[[Mapping[str, Choice], Shape, int], nn.Module]"
"""From a value per gene, the shape of one image (C, H, W) and the number of classes to a network
that maps images `(N, C, H, W)` to logits `(N, classes)`."""


@dataclass(frozen=True, kw_only=True)
class FunctionSpace(Space):
    """A space that a function defines.

    A genotype is compact JSON, `{"depth":2,"width":16}`, in the order of the genes. Every
    genotype stands for a function of its own: no two are taken for duplicates.

    Attributes:
        name: Name of the space.
        genes: The decisions.
        build_network: Builds the full network.
        build_reduced_network: Builds the network that MOTE trains; None trains the full one.
        invalid: Says why a combination of values cannot be searched, or None if it can.
        version: Change it whenever `build_network` changes, so that old measurements are not
            taken for new ones.
    """

    name: str
    genes: tuple[Gene, ...]
    build_network: BuildNetwork = field(repr=False)
    build_reduced_network: BuildNetwork | None = field(default=None, repr=False)
    invalid: Callable[[Mapping[str, Choice]], str | None] | None = field(default=None, repr=False)
    version: str = "1"

    def __post_init__(self) -> None:
        names = [gene.name for gene in self.genes]
        if not names or len(set(names)) != len(names):
            raise GenotypeError(
                f"The space {self.name!r} needs at least one gene, each with a name of its own; "
                f"got {', '.join(names) or 'none'}."
            )

    def write(self, values: Mapping[str, Choice]) -> str:
        """Return the values as compact JSON."""
        chosen = {gene.name: values[gene.name] for gene in self.genes}
        return json.dumps(chosen, separators=(",", ":"))

    def read(self, genotype: str) -> dict[str, Choice]:
        """Return the values of compact JSON.

        Raises:
            GenotypeError: It is not JSON, lacks a gene, or a value is not among the choices.
        """
        try:
            values = json.loads(genotype)
        except json.JSONDecodeError as error:
            raise GenotypeError(f"Malformed genotype {genotype!r}: {error}.") from error
        names = [gene.name for gene in self.genes]
        if not isinstance(values, dict) or sorted(values) != sorted(names):
            raise GenotypeError(
                f"Malformed genotype {genotype!r}. A genotype of {self.name!r} is a JSON object "
                f"with exactly the genes {', '.join(names)}."
            )
        for gene in self.genes:
            value = values[gene.name]
            if not any(type(value) is type(choice) and value == choice for choice in gene.choices):
                raise GenotypeError(
                    f"The gene {gene.name!r} cannot be {value!r}. "
                    f"Choices: {', '.join(map(repr, gene.choices))}."
                )
        return {name: values[name] for name in names}

    def canonical(self, genotype: str) -> str:
        """Return the genotype with its genes in order."""
        return self.write(self.read(genotype))

    def invalid_reason(self, genotype: str) -> str | None:
        """Ask `invalid`."""
        return (self.invalid(self.read(genotype)) or None) if self.invalid else None

    def build(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Call `build_network`."""
        return self.build_network(self.read(genotype), input_shape, classes)

    def build_reduced(self, genotype: str, *, input_shape: Shape, classes: int) -> nn.Module:
        """Call `build_reduced_network`, or `build_network` if there is none."""
        build = self.build_reduced_network or self.build_network
        return build(self.read(genotype), input_shape, classes)

    def identity(self) -> dict[str, Json]:
        """Name, genes and version."""
        genes: list[Json] = [json.loads(json.dumps(asdict(gene))) for gene in self.genes]
        return {"name": self.name, "genes": genes, "version": self.version}
