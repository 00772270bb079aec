"""Genes as columns of numbers: what every predictor can know of any architecture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motemo.space import Choice, Space


def gene_columns(space: Space, genotypes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return each gene one-hot, and how many genes have each choice; `(n,)` each, by name."""
    read = [space.read(genotype) for genotype in genotypes]
    columns = {
        f"{gene.name}={choice}": np.array([float(values[gene.name] == choice) for values in read])
        for gene in space.genes
        for choice in gene.choices
    }
    choices: dict[Choice, None] = dict.fromkeys(c for gene in space.genes for c in gene.choices)
    for choice in choices:
        counts = [sum(value == choice for value in values.values()) for values in read]
        columns[f"count={choice}"] = np.array(counts, dtype=np.float64)
    return columns
