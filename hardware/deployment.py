"""What is deployed: the shape of an image and the number of classes."""

from __future__ import annotations

from motemo.errors import SettingsError
from motemo.space import Shape


def check_deployment(input_shape: Shape, classes: int) -> None:
    """Raise unless a network can have this input and output.

    Raises:
        SettingsError: The shape is not three positive numbers, or there is no class.
    """
    shape = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    sizes = [size for size in shape if isinstance(size, int) and size > 0]
    if len(shape) != 3 or len(sizes) != 3:
        raise SettingsError(
            f"The deployment shape must be three positive numbers (C, H, W); got {input_shape!r}."
        )
    if not isinstance(classes, int) or classes < 1:
        raise SettingsError(f"The deployed network needs at least 1 class; got {classes!r}.")
