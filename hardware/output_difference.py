"""How much a network in reduced precision answers otherwise than in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motemo.space import Json


def output_difference(exact: NDArray[Any], reduced: NDArray[Any]) -> dict[str, Json]:
    """Return how logits `(N, K)` of the same images differ, as a record.

    Returns:
        `images`: N. `same_class`: for which share of the images the largest logit is the same.
        `mean` and `max`: the absolute difference of a logit, relative to how much the exact
        logits of a class vary from image to image (standard deviation, root mean square over the
        classes). Null where they do not vary or are not finite.
    """
    exact, reduced = exact.astype(np.float64), reduced.astype(np.float64)
    same = float((exact.argmax(axis=1) == reduced.argmax(axis=1)).mean())
    spread = float(np.sqrt(exact.var(axis=0).mean()))
    apart = np.abs(reduced - exact)
    known = spread > 0 and bool(np.isfinite(apart).all())
    return {
        "images": len(exact),
        "same_class": same,
        "mean": float(apart.mean()) / spread if known else None,
        "max": float(apart.max()) / spread if known else None,
    }
