"""Which classes or images to choose, given their codes. Codes are rows; distance is Euclidean."""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from motemo.errors import DataError

_RUNS = 100
"""Of k-means. On class codes of CIFAR-100 the groups of the best of 10 differ much by seed."""
_CHUNK = 2**22
"""Distances computed at once."""
_HELD = 2**25
"""Distances held at most: all, between fewer than 5,793 rows; 256 MiB."""


def class_codes(codes: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean code of each class, `(K, D)`, of codes `(N, D)` with labels 0..K-1."""
    return np.stack([codes[labels == label].mean(axis=0) for label in range(labels.max() + 1)])


def k_means(
    codes: NDArray[np.float64], groups: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Group codes `(K, D)`; return the group of each and the centres `(groups, D)`.

    The best of a hundred runs of k-means.

    Raises:
        DataError: There are fewer distinct codes than groups.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # One thread: the order of sums depends on their number. The warning is the error below.
    with (
        threadpool_limits(1),
        warnings.catch_warnings(category=ConvergenceWarning, action="ignore"),
    ):
        found = KMeans(groups, n_init=_RUNS, random_state=seed % 2**32).fit(codes)
    distinct = len(np.unique(found.labels_))
    if distinct < groups:
        raise DataError(
            f"{groups} groups of classes asked for, but of {len(codes)} class codes only "
            f"{distinct} differ. Ask for fewer classes, or choose another encoder."
        )
    return found.labels_.astype(np.int64), found.cluster_centers_


def farthest_of_groups(
    codes: NDArray[np.float64], groups: NDArray[np.int64], centres: NDArray[np.float64]
) -> list[int]:
    """Return one row of each group: the farthest from the centres of the other groups.

    That is the row whose distance to the nearest of these centres is greatest; the first of equals.

    Args:
        codes: `(K, D)`.
        groups: `(K,)`, the group of each row.
        centres: `(G, D)`, G >= 2.
    """
    to_centres = distances(codes, centres)
    to_centres[np.arange(len(codes)), groups] = np.inf
    isolation = to_centres.min(axis=1)
    return [
        int(max(np.flatnonzero(groups == group), key=lambda row: isolation[row]))
        for group in range(len(centres))
    ]


def k_centre(codes: NDArray[np.float64], count: int) -> list[int]:
    """Return `count` rows such that the farthest row is close to one of them, by greedy choice.

    The first is the row closest to the mean; each next one is the row farthest from those chosen.
    The greatest distance to the nearest chosen row is at most twice what the best choice gives.

    Reference: Gonzalez, *Clustering to minimize the maximum intercluster distance*, Theoretical
    Computer Science 38, 1985; as a core-set: Sener and Savarese, *Active Learning for
    Convolutional Neural Networks: A Core-Set Approach*, ICLR 2018.

    Args:
        codes: `(N, D)`.
        count: From 1 to N.
    """
    chosen = [int(distances(codes, codes.mean(axis=0, keepdims=True)).argmin())]
    to = _distances_to(codes)
    nearest = np.full(len(codes), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, to(chosen[-1]))
        nearest[chosen] = -np.inf  # never again, even among equal codes
        chosen.append(int(nearest.argmax()))
    return chosen


def facility_location(codes: NDArray[np.float64], count: int) -> list[int]:
    """Return `count` rows such that all rows are close to one of them on average.

    Greedy choice of the row that lowers the sum of distances to the nearest chosen row most. A
    row's gain only shrinks as others are chosen, so that old gains are bounds, and most rows need
    not be looked at again (lazy greedy). Distances between many rows are computed as they are
    needed, again and again, and take far longer.

    Reference: Minoux, *Accelerated greedy algorithms for maximizing submodular set functions*,
    1978; for training data: Mirzasoleiman et al., *Coresets for Data-efficient Training of Machine
    Learning Models*, ICML 2020.

    Args:
        codes: `(N, D)`.
        count: From 1 to N.
    """
    to = _distances_to(codes)
    first = int(_gains(codes, None).argmax())
    chosen = [first]
    nearest = to(first)
    gains = _gains(codes, nearest)
    bounds = [(-gain, row) for row, gain in enumerate(gains.tolist()) if row != first]
    heapq.heapify(bounds)
    while len(chosen) < count:
        _, row = heapq.heappop(bounds)
        now = (-float(np.maximum(nearest - to(row), 0).sum()), row)
        if bounds and bounds[0] < now:
            heapq.heappush(bounds, now)
            continue
        chosen.append(row)
        nearest = np.minimum(nearest, to(row))
    return chosen


def _distances_to(codes: NDArray[np.float64]) -> Callable[[int], NDArray[np.float64]]:
    """Return a function from a row to the distances of all rows to it."""
    if len(codes) ** 2 <= _HELD:
        held = distances(codes, codes)
        return lambda row: held[row]
    return lambda row: distances(codes, codes[[row]])[:, 0]


def _gains(codes: NDArray[np.float64], nearest: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return by how much each row would lower the sum of distances to the nearest chosen row.

    With nothing chosen yet, `nearest` is None and gains are up to a constant.
    """
    gains = np.empty(len(codes))
    step = max(1, _CHUNK // len(codes))
    for start in range(0, len(codes), step):
        chunk = distances(codes, codes[start : start + step])
        drop = -chunk if nearest is None else np.maximum(nearest[:, np.newaxis] - chunk, 0)
        gains[start : start + step] = drop.sum(axis=0)
    return gains


def distances(rows: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances `(N, M)` between rows `(N, D)` and others `(M, D)`."""
    squares = (rows**2).sum(axis=1)[:, np.newaxis] + (others**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares - 2 * rows @ others.T, 0)))
