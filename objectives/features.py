"""Architectures as rows of numbers, for predictors: genes, wiring, and any scores beside them.

Reference: White et al., *A Study on Encodings for Neural Architecture Search*, NeurIPS 2020, for
what encodings buy; the wiring is a summary of theirs by paths that needs no knowledge of a space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from motemo.errors import SettingsError
from motemo.gene_features import gene_columns
from motemo.objectives.positions import Floats
from motemo.space import Architecture, Shape

if TYPE_CHECKING:
    import onnx

WIRING = (
    "log_paths",
    "most_layers",
    "mean_layers",
    "fewest_layers",
    "most_filters",
    "mean_filters",
    "fewest_filters",
)
"""What `wiring` returns: paths from input to output; layers with weights on them; convolutions
larger than 1x1 among these."""

_SMALL: Shape = (3, 16, 16)
_WEIGHTED = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, eq=False)
class Features:
    """Numbers that describe architectures.

    Attributes:
        names: What each column is.
        values: `(n, d)`, finite.
    """

    names: tuple[str, ...]
    values: Floats

    def __len__(self) -> int:
        return len(self.values)


def features(
    architectures: Sequence[Architecture],
    scores: Mapping[str, Floats] | None = None,
    *,
    wired: bool = True,
) -> Features:
    """Describe architectures of one space by their canonical genotype and by scores.

    Genes are one-hot, and each choice is counted over the genes. Scores, also those that span
    orders of magnitude, become normal scores of their ranks among these architectures: give all
    that are to be predicted at once.

    Args:
        architectures: n of them, valid.
        scores: By name, `(n,)` values of estimates, of counts such as multiply-adds, or of points
            of a training curve; what is not finite stands in the middle.
        wired: Whether the paths through the networks are described, too; it takes milliseconds
            for each, to build it.

    Raises:
        SettingsError: There are none, or a score has another length.
        EvaluationError: A network cannot be written as a graph.
    """
    if not architectures:
        raise SettingsError("Features need at least one architecture; got none.")
    columns = gene_columns(architectures[0].space, [a.key for a in architectures])
    if wired:
        paths = np.array([wiring(architecture.canonical) for architecture in architectures])
        columns |= dict(zip(WIRING, paths.T, strict=True))
    for name, values in (scores or {}).items():
        if len(values) != len(architectures):
            raise SettingsError(
                f"The score {name!r} has {len(values)} values for {len(architectures)} "
                "architectures. Give one each."
            )
        columns[name] = normal_scores(values)
    return Features(tuple(columns), np.stack(list(columns.values()), axis=1))


def normal_scores(values: Floats) -> Floats:
    """Return `(n,)` values as quantiles of the normal distribution by rank; 0 if not finite."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    known = np.isfinite(values)
    scores = np.zeros(len(values))
    if known.any():
        scores[known] = ndtri((rankdata(values[known]) - 0.5) / known.sum())
    return scores


def wiring(architecture: Architecture) -> tuple[float, ...]:
    """Return how the layers of the reduced architecture are connected; see `WIRING`.

    A branch that is multiplied by zero is no path. All zero if there is no path.

    Raises:
        EvaluationError: The network cannot be written as a graph.
    """
    from motemo.onnx.graph import build_onnx

    network = architecture.build_reduced(input_shape=_SMALL, classes=2)
    return _Paths.of(build_onnx(network, _SMALL).graph)


@dataclass(frozen=True)
class _Paths:
    """All paths from the input to one tensor: how many, and how long in layers and in filters.

    Lengths are (most, sum over all paths, fewest).
    """

    count: float
    layers: tuple[float, float, float]
    filters: tuple[float, float, float]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> tuple[float, ...]:
        """Return the features of a graph."""
        weights = {w.name: w for w in graph.initializer}
        start = cls(1.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        known: dict[str, _Paths] = {graph.input[0].name: start}
        for node in graph.node:  # in an order in which inputs come first
            joined = cls._joined([known[name] for name in node.input if name in known])
            if joined is not None and not _is_zeroed(node, weights):
                weighted = node.op_type in _WEIGHTED
                reached = joined._longer(weighted, weighted and _is_spatial(node, weights))
                known |= dict.fromkeys(node.output, reached)
        found = known.get(graph.output[0].name)
        return found._summary() if found else (0.0,) * len(WIRING)

    @classmethod
    def _joined(cls, inputs: Sequence[_Paths]) -> _Paths | None:
        if not inputs:
            return None
        lengths = [
            (max(x[0] for x in kind), sum(x[1] for x in kind), min(x[2] for x in kind))
            for kind in ([i.layers for i in inputs], [i.filters for i in inputs])
        ]
        return cls(sum(i.count for i in inputs), lengths[0], lengths[1])

    def _longer(self, layer: bool, spatial: bool) -> _Paths:
        def add(length: tuple[float, float, float], one: bool) -> tuple[float, float, float]:
            return (length[0] + one, length[1] + one * self.count, length[2] + one)

        return _Paths(self.count, add(self.layers, layer), add(self.filters, spatial))

    def _summary(self) -> tuple[float, ...]:
        lengths = [
            value
            for most, total, fewest in (self.layers, self.filters)
            for value in (most, total / self.count, fewest)
        ]
        return (float(np.log(self.count)), *lengths)


def _is_zeroed(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    from onnx import numpy_helper

    factors = [weights[name] for name in node.input if name in weights]
    return node.op_type == "Mul" and any(not numpy_helper.to_array(f).any() for f in factors)


def _is_spatial(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    """Return whether a convolution looks at more than one place."""
    kernel = next((list(weights[name].dims) for name in node.input if name in weights), [])
    return node.op_type == "Conv" and any(size > 1 for size in kernel[2:])
