"""Image files in a folder: one sub-folder per class."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from motemo.data.dataset import MIN_CLASSES, ImageData
from motemo.data.sizes import Size, check_size, format_size, scale
from motemo.errors import DataError

DEFAULT_SIZE: Size = (32, 32)
"""Size that images get when theirs differ and none was asked for."""
SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
    | {".webp"}
)
"""Suffixes of files that count as images, in any case. Other files are ignored."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_GREY_8_BIT = ("1", "L", "LA")
_GREY_16_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_PALETTE = ("P", "PA")
_UNREADABLE = (
    OSError,  # also PIL's UnidentifiedImageError, and truncated files
    EOFError,
    IndexError,
    OverflowError,
    SyntaxError,  # PIL's word for a broken PNG
    ValueError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
_WHITE_16_BIT = 65535
_TO_8_BITS = 257
_SHOWN = 3
"""How many folders a message lists."""

Result = TypeVar("Result")


def load_folder(path: str | Path, *, size: Size | None = None) -> ImageData:
    """Return the images of a folder that has one sub-folder per class.

    Classes are the sub-folders in the order of their names; images are the files directly inside,
    in the order of theirs. Hidden files and folders, and files that are not images by their
    suffix, are ignored. Of an animation the first frame counts; transparency is dropped and EXIF
    orientation ignored.

    The data are grey if every image is (1, 8 or 16 bits per pixel), otherwise RGB.

    Args:
        path: The folder. Its name is the name of the data.
        size: Height and width in pixels to which all images are scaled. Without it images keep
            their size if it is the same for all, and become 32x32 otherwise. Where images are
            scaled the size is added to the name, as in `pets[32x32]`.

    Raises:
        DataError: There are fewer than two classes, a class has no images, or a file cannot be
            read.
    """
    if size is not None:
        check_size(size)
    folders = _class_folders(Path(path))
    files_by_class = _image_files(folders)
    files = [file for files in files_by_class for file in files]
    headers = _read_each(files, _read_header)
    sizes = {header.size for header in headers}
    if size is None:
        size = next(iter(sizes)) if len(sizes) == 1 else DEFAULT_SIZE
    suffix = "" if sizes == {size} else f"[{format_size(size)}]"
    mode = "L" if all(header.grey for header in headers) else "RGB"
    return ImageData(
        name=f"{Path(path).resolve().name}{suffix}",
        images=np.stack(_read_each(files, partial(_read_pixels, mode=mode, size=size))),
        labels=np.repeat(np.arange(len(folders), dtype=np.int64), list(map(len, files_by_class))),
        class_names=tuple(folder.name for folder in folders),
    )


@dataclass(frozen=True)
class _Header:
    size: Size
    grey: bool


def _class_folders(path: Path) -> list[Path]:
    if not path.is_dir():
        found = "is a file, not a folder" if path.exists() else "does not exist"
        raise DataError(f"{path}: {found}. Give a folder that has one sub-folder per class.")
    folders = sorted(entry for entry in _visible(path) if entry.is_dir())
    if len(folders) < MIN_CLASSES:
        listing = f" ({folders[0].name!r})" if folders else ""
        raise DataError(
            f"{path}: {len(folders)} class folder(s) found{listing}. Classification needs at "
            "least two; put the images of each class into a sub-folder of its own."
        )
    return folders


def _image_files(folders: Sequence[Path]) -> list[list[Path]]:
    """Return the image files of every class folder."""
    files = [sorted(filter(_is_image, _visible(folder))) for folder in folders]
    empty = [folder.name for folder, found in zip(folders, files, strict=True) if not found]
    if empty:
        raise DataError(
            f"{folders[0].parent}: {len(empty)} of {len(folders)} class folders hold no images: "
            f"{_listing(empty)}. Put images directly into them "
            f"({', '.join(sorted(SUFFIXES))}), or remove them."
        )
    return files


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error}. Check its permissions.") from error


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file()


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _read_each(files: Sequence[Path], read: Callable[[Path], Result]) -> list[Result]:
    try:
        return [read(file) for file in files]
    except _UNREADABLE as error:
        broken = _find_broken(files)
        file, reason = broken[0]
        raise DataError(
            f"{file}: cannot be read as an image: {reason}. {len(broken)} of {len(files)} image "
            "files cannot be read; repair or remove them."
        ) from error


def _find_broken(files: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return every file that cannot be decoded, with the reason."""
    broken = []
    for file in files:
        try:
            _read_pixels(file, mode="RGB", size=(1, 1))
        except _UNREADABLE as error:
            broken.append((file, str(error).rstrip(".")))
    return broken


def _read_header(file: Path) -> _Header:
    with _opened(file) as image:
        return _Header((image.height, image.width), image.mode in _GREY_8_BIT + _GREY_16_BIT)


def _read_pixels(file: Path, *, mode: str, size: Size) -> NDArray[np.uint8]:
    """Return one image, `(C, H, W)`, C = 1 for mode `L` and 3 for mode `RGB`."""
    with _opened(file) as image:
        return scale(_to_8_bits(image).convert(mode), size)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image file.

    What PIL takes for a decompression bomb is an error; damaged metadata is no matter.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=_FORMATS) as image:
            yield image


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return the image in a mode that PIL converts to grey and RGB without loss or warning."""
    if image.mode in _PALETTE:
        return image.convert("RGBA")
    if image.mode in _GREY_16_BIT:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > _WHITE_16_BIT:
            raise ValueError(f"grey values from {values.min()} to {values.max()} need over 16 bits")
        return Image.fromarray(np.rint(values / _TO_8_BITS).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    return image
