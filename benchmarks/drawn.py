"""Which architectures a benchmark takes."""

from __future__ import annotations

import numpy as np

from motemo.space import Architecture, Space


def random_architectures(space: Space, count: int, *, seed: int) -> list[Architecture]:
    """Return random valid architectures as they are written; one may come twice."""
    rng = np.random.default_rng(seed)
    found: list[Architecture] = []
    while len(found) < count:
        drawn = space.sample(rng)
        if drawn.invalid_reason is None:
            found.append(drawn)
    return found
