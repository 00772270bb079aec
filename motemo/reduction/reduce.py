"""`reduce_data`: a reduced data set, by any of the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from motemo.data.dataset import MIN_CLASSES, ImageData
from motemo.errors import DataError, SettingsError
from motemo.reduction import selection
from motemo.reduction.encoder import Encoder, Form, Progress, encode
from motemo.reduction.pixel_statistics import PixelStatistics
from motemo.seeds import derive_seed
from motemo.space import Json

Method: TypeAlias = Literal["farthest", "random-classes", "random", "k-centre", "facility"]
METHODS: tuple[Method, ...] = get_args(Method)
ENCODING: tuple[Method, ...] = ("farthest", "k-centre", "facility")
"""Methods that look at codes; the others need no encoder."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduced:
    """A reduced data set, and how it came about.

    Attributes:
        data: Its images. Classes are in their original order and count from 0.
        kept: The index of each of its classes in the source, ascending.
        groups: For each of its classes, all classes of the source that it stands for, itself
            among them; empty unless classes were grouped.
        provenance: Method, settings, encoder, source and classes, JSON-able.
    """

    data: ImageData
    kept: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    provenance: dict[str, Json]


def reduce_data(
    data: ImageData,
    *,
    method: Method = "farthest",
    classes: int = 10,
    images_per_class: int | None = None,
    encoder: Encoder | None = None,
    form: Form | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Reduced:
    """Return a part of the data that stands for all of it.

    Two methods choose classes and keep all their images, or a random sample of each:

    * `farthest`: encode the images, take the mean code of each class, group these by k-means, and
      keep of each group the class that is farthest from the centres of the other groups. That is
      the reduced data set of MOTE-NAS; its encoder is `Vgg16`.
    * `random-classes`: classes at random.

    Three choose images and keep all classes; without `images_per_class`, they choose as many
    images as `classes` average classes have:

    * `random`: images at random, whatever their class. MOTE-NAS calls it RD-RS.
    * `k-centre`: equally many of each class, such that no image of the class is far from a
      chosen one (see `selection.k_centre`).
    * `facility`: equally many of each class, such that images of the class are close to a chosen
      one on average (see `selection.facility_location`).

    Of a class that has fewer images than its share, `k-centre` and `facility` keep all.

    Reference: Zhang et al., *MOTE-NAS: Multi-Objective Training-based Estimate for Efficient
    Neural Architecture Search*, NeurIPS 2024.

    Args:
        data: The full data.
        method: One of the above.
        classes: Number of classes to choose, or whose number of images to choose.
        images_per_class: Images of each class; None is all of them where classes are chosen.
        encoder: What gives the codes; None is `PixelStatistics`, which needs no weights.
        form: What to make of the encoder's outputs; None takes the encoder's own.
        seed: Seed of everything random.
        on_progress: Called while images are encoded.

    Raises:
        DataError: There are fewer classes or images than asked for, or the encoder cannot be used.
        SettingsError: The method or form is unknown, or an encoder is given that it does not need.
        EvaluationError: The encoder fails.
    """
    _check(data, method, classes, images_per_class)
    if method not in ENCODING and (encoder is not None or form is not None):
        raise SettingsError(
            f"The method {method!r} chooses at random and looks at no codes. Leave the encoder "
            f"and the form of codes out, or choose one of {', '.join(ENCODING)}."
        )
    codes = np.empty((len(data), 0))
    if method in ENCODING:
        encoder = PixelStatistics() if encoder is None else encoder
        form = encoder.form if form is None else form
        codes = encode(encoder, data.images, form=form, on_progress=on_progress)
    groups: tuple[tuple[int, ...], ...] = ()
    match method:
        case "farthest":
            kept, groups = _farthest(codes, data.labels, classes, seed)
            positions = _images_of(data, kept, images_per_class, seed)
        case "random-classes":
            kept = _draw(data.classes, classes, "class", seed)
            positions = _images_of(data, kept, images_per_class, seed)
        case "random":
            wanted = _image_count(data, classes, images_per_class)
            positions = np.asarray(_draw(len(data), wanted, "image", seed))
        case "k-centre" | "facility":
            wanted = _image_count(data, classes, images_per_class)
            positions = _core_set(codes, data, method, wanted)
    kept = np.unique(data.labels[positions]).tolist()
    provenance: dict[str, Json] = {
        "method": method,
        "classes": classes,
        "images_per_class": images_per_class,
        "seed": seed,
        "encoder": None if encoder is None else encoder.identity(),
        "form": form,
        "source": data.identity(),
        "chosen": [data.class_names[index] for index in kept],
        "groups": [[data.class_names[index] for index in group] for group in groups],
    }
    reduced = _part(data, positions, kept, f"{data.name}[{method},classes={classes},seed={seed}]")
    return Reduced(data=reduced, kept=tuple(kept), groups=groups, provenance=provenance)


def _check(data: ImageData, method: str, classes: int, images_per_class: int | None) -> None:
    if method not in METHODS:
        raise SettingsError(f"Unknown method {method!r}. Allowed: {', '.join(METHODS)}.")
    if not MIN_CLASSES <= classes <= data.classes:
        raise DataError(
            f"{data.name}: {classes} classes asked for; it has {data.classes}. "
            f"Ask for {MIN_CLASSES} to {data.classes}."
        )
    fewest = int(np.bincount(data.labels).min())
    if images_per_class is not None and not 1 <= images_per_class <= fewest:
        raise DataError(
            f"{data.name}: {images_per_class} images per class asked for; its smallest class has "
            f"{fewest}. Ask for 1 to {fewest}."
        )


def _farthest(
    codes: NDArray[np.float64], labels: NDArray[np.int64], classes: int, seed: int
) -> tuple[list[int], tuple[tuple[int, ...], ...]]:
    """Return the chosen classes, ascending, and the group of each."""
    means = selection.class_codes(codes, labels)
    group_of, centres = selection.k_means(means, classes, derive_seed("reduce", "k-means", seed))
    kept = sorted(selection.farthest_of_groups(means, group_of, centres))
    groups = (np.flatnonzero(group_of == group_of[index]) for index in kept)
    return kept, tuple(tuple(group.tolist()) for group in groups)


def _images_of(
    data: ImageData, kept: Sequence[int], images_per_class: int | None, seed: int
) -> NDArray[np.int64]:
    """Return the positions of the images to keep of the kept classes."""
    found = []
    for index in kept:
        positions = np.flatnonzero(data.labels == index)
        wanted = len(positions) if images_per_class is None else images_per_class
        found.append(positions[_draw(len(positions), wanted, "images", seed, index)])
    return np.concatenate(found)


def _image_count(data: ImageData, classes: int, images_per_class: int | None) -> int:
    """Return how many images to choose where all classes are kept.

    At least one of each class, so that few images of many classes are not none.
    """
    if images_per_class is not None:
        return images_per_class * data.classes
    return max(len(data) * classes // data.classes, data.classes)


def _core_set(
    codes: NDArray[np.float64], data: ImageData, method: Method, wanted: int
) -> NDArray[np.int64]:
    choose = selection.k_centre if method == "k-centre" else selection.facility_location
    found = []
    for index, share in enumerate(_even_shares(np.bincount(data.labels), wanted)):
        positions = np.flatnonzero(data.labels == index)
        found.append(positions[choose(codes[positions], share)])
    return np.concatenate(found)


def _even_shares(available: NDArray[np.int64], wanted: int) -> list[int]:
    """Return how many to take of each class: as evenly as they have them, `wanted` in all."""
    shares = np.zeros_like(available)
    while wanted > shares.sum() and (left := np.flatnonzero(available > shares)).size:
        each, more = divmod(wanted - int(shares.sum()), left.size)
        shares[left] += each
        shares[left[:more]] += 1
        shares = np.minimum(shares, available)
    return list(map(int, shares))


def _part(
    data: ImageData, positions: NDArray[np.int64], kept: Sequence[int], name: str
) -> ImageData:
    order = np.sort(positions)
    return ImageData(
        name=name,
        images=data.images[order],
        labels=np.searchsorted(kept, data.labels[order]).astype(np.int64),
        class_names=tuple(data.class_names[index] for index in kept),
    )


def _draw(count: int, wanted: int, *parts: str | int) -> list[int]:
    """Return `wanted` of the numbers below `count` at random, ascending.

    They are ranked by seeds derived from `parts`, so that the draw is the same with every version
    of numpy, and smaller draws are subsets of larger ones.
    """
    ranked = sorted(range(count), key=lambda number: derive_seed("reduce", *parts, number))
    return sorted(ranked[:wanted])
