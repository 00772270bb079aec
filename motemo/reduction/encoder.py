"""`Encoder`: from images to codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from motemo.errors import EvaluationError, SettingsError
from motemo.space import Json

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of images encoded so far, and of all."""
Form: TypeAlias = Literal["unit", "softmax", "raw"]
"""What codes are made of an encoder's outputs: scaled to length 1, softmax of them, or as is."""
FORMS: tuple[Form, ...] = get_args(Form)

_BATCH = 64


class Encoder(ABC):
    """A function from images to vectors, such that images of one kind come out close together."""

    @property
    @abstractmethod
    def form(self) -> Form:
        """The form that suits its outputs."""

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return what decides its outputs: its name, and the SHA-256 of weights if it has any."""

    @abstractmethod
    def encode(
        self, images: NDArray[np.uint8], on_progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the outputs, `(N, D)`, of images `(N, 1 or 3, H, W)`.

        Raises:
            DataError: It cannot be loaded, or does not take such images.
            EvaluationError: It fails.
        """


def encode(
    encoder: Encoder,
    images: NDArray[np.uint8],
    *,
    form: Form | None = None,
    on_progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Return the codes of images: the encoder's outputs in a form.

    Args:
        encoder: The encoder.
        images: `(N, 1 or 3, H, W)`.
        form: What to make of the outputs; None takes the encoder's own.
        on_progress: Called after every batch.

    Returns:
        `(N, D)`, finite.

    Raises:
        SettingsError: The form is unknown.
        EvaluationError: The encoder fails, or gives NaN or infinity.
    """
    form = encoder.form if form is None else form
    if form not in FORMS:
        raise SettingsError(f"Unknown form of codes {form!r}. Allowed: {', '.join(FORMS)}.")
    outputs = encoder.encode(images, on_progress).astype(np.float64)
    broken = np.count_nonzero(~np.isfinite(outputs).all(axis=1))
    if broken:
        raise EvaluationError(
            f"The encoder {encoder.identity()['name']} gives NaN or infinity for {broken} of "
            f"{len(images)} images. Choose another encoder."
        )
    if form == "unit":
        length = np.linalg.norm(outputs, axis=1, keepdims=True)
        return outputs / np.where(length > 0, length, 1)
    if form == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return outputs


def batches(
    images: NDArray[np.uint8], on_progress: Progress | None, size: int = _BATCH
) -> Iterator[NDArray[np.uint8]]:
    """Yield the images in batches, RGB, `(n, 3, H, W)`; after each, tell how many are done."""
    for start in range(0, len(images), size):
        yield as_rgb(images[start : start + size])
        if on_progress is not None:
            on_progress(min(start + size, len(images)), len(images))


def as_rgb(images: NDArray[Any]) -> NDArray[Any]:
    """Return images `(N, 3, H, W)`; grey becomes equal red, green and blue."""
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images
