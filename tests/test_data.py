"""Image data: every source, every step, and every message."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from motemo.data.dataset import ImageData
from motemo.data.digits import load_digits
from motemo.data.folder import load_folder
from motemo.data.npz import load_npz
from motemo.data.pipeline import load_data, resize, take
from motemo.data.torchvision_sets import convert, load_cifar10, load_cifar100
from motemo.errors import DataError

AnyArray = NDArray[Any]
RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
LABELS = np.array([0, 1, 2, 0, 1, 2])


def image_data(images: AnyArray | None = None, name: str = "made") -> ImageData:
    """Return 40 images of four classes, or the given ones of two."""
    if images is None:
        images = np.random.default_rng(1).integers(0, 256, (40, 3, 6, 5), dtype=np.uint8)
    classes = 4 if len(images) == 40 else 2
    labels = np.arange(len(images), dtype=np.int64) * 7 % classes
    return ImageData(name, images, labels, tuple("abcd"[:classes]))


def save(path: Path, **arrays: AnyArray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def load_arrays(folder: Path, images: AnyArray, labels: AnyArray = LABELS) -> ImageData:
    return load_npz(save(folder / "data.npz", x_train=images, y_train=labels))


def save_image(path: Path, pixels: AnyArray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def save_folder(root: Path, images: AnyArray, suffix: str = ".png") -> Path:
    """Write images into the class folders `cat` and `dog`, in turn."""
    for index, pixels in enumerate(images):
        save_image(root / ("cat", "dog")[index % 2] / f"{index}{suffix}", pixels)
    return root


# ImageData


def test_equality_is_identity() -> None:
    data, same = image_data(), image_data()
    assert data == same
    assert hash(data) == hash(same)
    assert data != image_data(name="other")
    assert data != image_data(data.images ^ 1)
    assert data != "made"


# digits


def test_digits() -> None:
    data = load_digits()
    assert data.name == "digits"
    assert data.images.shape == (1797, 1, 8, 8)
    assert data.class_names == tuple("0123456789")
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert sorted(set(data.images.flat))[:3] == [0, 16, 32]
    assert data.labels[:10].tolist() == list(range(10))
    assert data == load_digits()


# npz


def test_npz_colour(tmp_path: Path) -> None:
    data = load_arrays(tmp_path, COLOUR)
    assert data.name == "data.npz"
    assert data.image_shape == (3, 5, 4)
    assert data.images.flags.c_contiguous
    assert data.images[2, 1, 3, 2] == COLOUR[2, 3, 2, 1]
    assert data.class_names == ("0", "1", "2")


@settings(max_examples=25, deadline=None)
@given(
    images=hnp.arrays(np.uint8, st.tuples(st.just(6), st.integers(4, 9), st.integers(4, 9))),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.float16, np.float32, np.float64]),
    last=st.booleans(),
)
def test_npz_layouts_and_types_give_the_same_data(
    tmp_path_factory: pytest.TempPathFactory,
    images: AnyArray,
    channels: int,
    dtype: type[np.generic],
    last: bool,
) -> None:
    pixels = np.stack([images + np.uint8(index) for index in range(channels)], axis=1)
    reference = ImageData("data.npz", pixels, LABELS.astype(np.int64), ("0", "1", "2"))
    arranged = pixels.transpose(0, 2, 3, 1) if last else pixels
    scaled = arranged if dtype is np.uint8 else (arranged / 255).astype(dtype)
    assert load_arrays(tmp_path_factory.mktemp("npz"), scaled) == reference


def test_npz_grey_without_channel_axis(tmp_path: Path) -> None:
    assert load_arrays(tmp_path, GREY) == load_arrays(tmp_path, GREY[..., np.newaxis])


def test_npz_ambiguous_layout_has_the_channels_last(tmp_path: Path) -> None:
    images = COLOUR[:, :3, :3]
    assert np.array_equal(load_arrays(tmp_path, images).images, images.transpose(0, 3, 1, 2))


def test_npz_images_and_labels(tmp_path: Path) -> None:
    path = save(tmp_path / "data.npz", images=COLOUR, labels=LABELS, y_train=LABELS)
    assert load_npz(str(path)) == load_arrays(tmp_path, COLOUR)


def test_npz_ignores_other_arrays(tmp_path: Path) -> None:
    pickled = np.array([None, 1], dtype=object)
    path = save(tmp_path / "data.npz", x_train=COLOUR, y_train=LABELS, notes=pickled)
    assert load_npz(path) == load_arrays(tmp_path, COLOUR)


@settings(max_examples=25, deadline=None)
@given(
    labels=hnp.arrays(
        st.sampled_from([np.int8, np.int64, np.uint8, np.uint64]),
        6,
        elements=st.integers(0, 99),
    ).filter(lambda labels: len(set(labels.tolist())) > 1),
    column=st.booleans(),
)
def test_npz_maps_sorted_labels(
    tmp_path_factory: pytest.TempPathFactory, labels: AnyArray, column: bool
) -> None:
    stored = labels[:, np.newaxis] if column else labels
    data = load_arrays(tmp_path_factory.mktemp("npz"), GREY, stored)
    assert [int(data.class_names[label]) for label in data.labels] == labels.tolist()
    assert list(data.class_names) == sorted(data.class_names, key=int)


def test_npz_negative_labels(tmp_path: Path) -> None:
    data = load_arrays(tmp_path, GREY, np.array([1, -1, 1, -1, 1, -1]))
    assert data.class_names == ("-1", "1")
    assert data.labels.tolist() == [1, 0, 1, 0, 1, 0]


def test_npz_class_names_belong_to_stored_labels(tmp_path: Path) -> None:
    names = np.array(["ant", "bee", "cat", "dog"])
    path = save(tmp_path / "d.npz", x_train=GREY, y_train=LABELS + 1, class_names=names)
    assert load_npz(path).class_names == ("bee", "cat", "dog")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (COLOUR.astype(np.int64), r"dtype int64.*uint8 or as floats in \[0, 1\].*astype"),
        (COLOUR.astype(str), "dtype <U"),
        (COLOUR > 0, "dtype bool"),
        (COLOUR.astype(np.float32), r"floats from 0 to 255|floats from \d+ to 25\d.*normalisation"),
        (COLOUR / 255 - 0.5, "floats from -0"),
        (np.where(COLOUR > 9, COLOUR / 255, np.inf), r"floats from .* to inf"),
        (np.where(COLOUR > 9, COLOUR / 255, np.nan), r"contains NaN in \d of 6 images"),
        (COLOUR[..., :2], r"shape \(6, 5, 4, 2\).*\(N, H, W\), \(N, H, W, C\)"),
        (COLOUR[0, 0], r"shape \(4, 3\)"),
        (COLOUR[..., np.newaxis], r"shape \(6, 5, 4, 3, 1\)"),
        (COLOUR[:0], r"is empty, of shape \(0, 5, 4, 3\)"),
        (COLOUR[:, :0], r"is empty, of shape \(6, 0, 4, 3\)"),
        (COLOUR[:5], "'x_train' holds 5 images but 'y_train' holds 6 labels"),
    ],
)
def test_npz_rejects_images(tmp_path: Path, images: AnyArray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_arrays(tmp_path, images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.astype(float), "dtype float64.*must be integers"),
        (LABELS.astype(str), "dtype <U.*must be integers"),
        (np.eye(3, dtype=int)[LABELS], r"shape \(6, 3\).*argmax"),
        (np.array(1), r"shape \(\)"),
        (LABELS * 0 + 7, "every label in 'y_train' is 7.*at least two classes"),
        (LABELS[:4], "6 images but 'y_train' holds 4"),
    ],
)
def test_npz_rejects_labels(tmp_path: Path, labels: AnyArray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_arrays(tmp_path, COLOUR, labels)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (np.array(["a", "b"]), "labels run from 0 to 2, but 'class_names' names labels 0 to 1"),
        (np.array([1, 2, 3]), "dtype int64 and shape.*list of strings"),
        (np.array([["a", "b", "c"]]), r"shape \(1, 3\)"),
    ],
)
def test_npz_rejects_class_names(tmp_path: Path, names: AnyArray, message: str) -> None:
    path = save(tmp_path / "d.npz", x_train=GREY, y_train=LABELS, class_names=names)
    with pytest.raises(DataError, match=message):
        load_npz(path)


def test_npz_rejects_negative_labels_with_class_names(tmp_path: Path) -> None:
    names = np.array(["a", "b", "c"])
    path = save(tmp_path / "d.npz", x_train=GREY, y_train=LABELS - 1, class_names=names)
    with pytest.raises(DataError, match="labels run from -1 to 1"):
        load_npz(path)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"y_train": LABELS, "x": GREY}, "'x', 'y_train'"),
        ({"x_train": GREY, "labels": LABELS}, "'labels', 'x_train'"),
        ({}, "none"),
    ],
)
def test_npz_lists_the_arrays_found(
    tmp_path: Path, arrays: dict[str, AnyArray], found: str
) -> None:
    message = f"'x_train' and 'y_train' or 'images' and 'labels'.*found: {found}"
    with pytest.raises(DataError, match=message):
        load_npz(save(tmp_path / "d.npz", **arrays))


def test_npz_missing_or_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.npz: does not exist\. Give"):
        load_npz(tmp_path / "no.npz")
    with pytest.raises(DataError, match="is a folder, not a file"):
        load_npz(tmp_path)


@pytest.mark.parametrize("content", [b"", b"some text", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_npz_rejects_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not an \.npz file.*savez_compressed"):
        load_npz(path)


def test_npz_rejects_pickled_content(tmp_path: Path) -> None:
    pickled = np.array([*GREY, None], dtype=object)[:6]
    with pytest.raises(DataError, match=r"Object arrays.*not pickled"):
        load_arrays(tmp_path, pickled)


def test_npz_rejects_damaged_content(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x_train=GREY, y_train=LABELS)
    content = bytearray(path.read_bytes())
    content[180] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read: Bad CRC-32"):
        load_npz(path)


# folder


def test_folder_colour(tmp_path: Path) -> None:
    data = load_folder(save_folder(tmp_path / "pets", COLOUR))
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(data.images, COLOUR[[0, 2, 4, 1, 3, 5]].transpose(0, 3, 1, 2))
    assert data.images.flags.c_contiguous
    assert data == load_folder(str(tmp_path / "pets"), size=(5, 4))


@pytest.mark.parametrize("suffix", [".png", ".BMP", ".pgm", ".tiff", ".gif"])
def test_folder_grey(tmp_path: Path, suffix: str) -> None:
    data = load_folder(save_folder(tmp_path, GREY, suffix))
    assert np.array_equal(data.images[:, 0], GREY[[0, 2, 4, 1, 3, 5]])


def test_folder_one_colour_image_makes_all_colour(tmp_path: Path) -> None:
    save_folder(tmp_path, GREY)
    save_image(tmp_path / "cat" / "0.png", COLOUR[0])
    data = load_folder(tmp_path)
    assert np.array_equal(data.images[0], COLOUR[0].transpose(2, 0, 1))
    assert np.array_equal(data.images[1], np.stack([GREY[2]] * 3))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_folder_scales_16_bits(tmp_path: Path, suffix: str) -> None:
    data = load_folder(save_folder(tmp_path, GREY.astype(np.uint16) * 257, suffix))
    assert np.array_equal(data.images[:, 0], GREY[[0, 2, 4, 1, 3, 5]])


def test_folder_black_and_white_transparent_and_palette(tmp_path: Path) -> None:
    save_image(tmp_path / "a" / "1.png", GREY[0], "1")
    save_image(tmp_path / "b" / "1.png", GREY[1], "LA")
    assert load_folder(tmp_path).image_shape == (1, 5, 4)
    assert set(load_folder(tmp_path).images[0].flat) <= {0, 255}
    save_image(tmp_path / "b" / "2.png", COLOUR[2], "RGBA")
    save_image(tmp_path / "b" / "3.png", COLOUR[3], "P")
    with Image.open(tmp_path / "b" / "3.png") as image:
        image.save(tmp_path / "b" / "4.png", transparency=bytes(range(200)))
    images = load_folder(tmp_path).images
    assert np.array_equal(images[2], COLOUR[2].transpose(2, 0, 1))
    assert np.array_equal(images[3], images[4])


def test_folder_resizes_to_32_where_sizes_differ(tmp_path: Path) -> None:
    save_folder(tmp_path / "pets", COLOUR)
    save_image(tmp_path / "pets" / "dog" / "9.png", COLOUR[0].transpose(1, 0, 2))
    data = load_folder(tmp_path / "pets")
    assert data.name == "pets[32x32]"
    assert data.image_shape == (3, 32, 32)
    assert data == load_folder(tmp_path / "pets", size=(32, 32))
    assert load_folder(tmp_path / "pets", size=(7, 9)).image_shape == (3, 7, 9)


def test_folder_size_equals_resize(tmp_path: Path) -> None:
    save_folder(tmp_path, COLOUR)
    assert load_folder(tmp_path, size=(3, 8)) == resize(load_folder(tmp_path), (3, 8))


def test_folder_ignores_hidden_and_other_files(tmp_path: Path) -> None:
    save_folder(tmp_path / "pets", COLOUR)
    plain = load_folder(tmp_path / "pets")
    save_image(tmp_path / "pets" / ".cache" / "1.png", GREY[0])
    (tmp_path / "pets" / "cat" / "._0.png").write_bytes(b"")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "pets" / "cat" / "folder.png").mkdir()
    save_image(tmp_path / "pets" / "outside.png", GREY[0])
    assert load_folder(tmp_path / "pets") == plain


def test_folder_name_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(save_folder(tmp_path / "pets", COLOUR))
    assert load_folder(".").name == "pets"


def test_folder_names_and_counts_broken_images(tmp_path: Path) -> None:
    save_folder(tmp_path, RANDOM.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))
    cut = tmp_path / "cat" / "2.png"
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cat/2\.png: cannot be read.*1 of 6 image files"):
        load_folder(tmp_path)
    (tmp_path / "dog" / "1.png").write_text("no image")
    with pytest.raises(DataError, match=r"cat/2\.png.*2 of 6 image files.*repair or remove"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (GREY.astype(np.float32), "floating-point pixels"),
        (GREY.astype(np.int32) - 1000, "grey values from -.* over 16 bits"),
    ],
)
def test_folder_rejects_unknown_ranges(tmp_path: Path, pixels: AnyArray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_folder(save_folder(tmp_path, pixels, ".tif"))


@pytest.mark.parametrize("limit", [15, 5])
def test_folder_rejects_decompression_bombs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    save_folder(tmp_path, COLOUR)  # 20 pixels each: PIL warns above the limit, fails above twice
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"decompression bomb.*6 of 6"):
        load_folder(tmp_path)


def test_folder_reads_images_with_damaged_metadata(tmp_path: Path) -> None:
    save_folder(tmp_path, COLOUR, ".tif")
    file = tmp_path / "cat" / "0.tif"
    damaged = file.read_bytes().replace(b"\x1c\x01\x03\x00\x01", b"\x1c\x01\x03\x00\xff")
    file.write_bytes(damaged)
    with pytest.warns(UserWarning, match="(?i)tag|metadata"), Image.open(file) as image:
        image.load()
    assert np.array_equal(load_folder(tmp_path).images[0], COLOUR[0].transpose(2, 0, 1))


def test_folder_without_two_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0 class folder\(s\) found\. .*at least two"):
        load_folder(tmp_path)
    save_image(tmp_path / "cat" / "1.png", GREY[0])
    with pytest.raises(DataError, match=r"1 class folder\(s\) found \('cat'\)"):
        load_folder(tmp_path)


def test_folder_with_empty_classes(tmp_path: Path) -> None:
    save_folder(tmp_path, COLOUR)
    (tmp_path / "ape").mkdir()
    with pytest.raises(DataError, match=r"1 of 3 class folders hold no images: 'ape'\. .*\.png"):
        load_folder(tmp_path)
    for name in "bcd":
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"4 of 6 .*'ape', 'b', 'c' and 1 more"):
        load_folder(tmp_path)


def test_folder_missing_or_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist\. Give a folder"):
        load_folder(tmp_path / "no")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, not a folder"):
        load_folder(tmp_path / "file")


def test_folder_impossible_size(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Image size 0x8 is impossible"):
        load_folder(save_folder(tmp_path, COLOUR), size=(0, 8))


# torchvision


@pytest.mark.parametrize("load", [load_cifar10, load_cifar100])
def test_cifar_without_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Any
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    message = f"{load.__name__[5:]} needs torchvision.*pip install motemo\\[torchvision\\]"
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_cifar_conversion() -> None:
    images = RANDOM.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    cifar = SimpleNamespace(data=images, targets=[1, 0, 1, 0], classes=["cat", "dog"])
    data = convert("cifar", cifar)
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0, 1, 0]
    assert np.array_equal(data.images[3, 2], images[3, :, :, 2])
    assert data.images.flags.c_contiguous


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    def opened(root: str, *, train: bool, download: bool) -> SimpleNamespace:
        if error is not None:
            raise error
        assert train
        assert download
        images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
        return SimpleNamespace(data=images, targets=[0, 1], classes=["cat", root])

    module = ModuleType("torchvision.datasets")
    monkeypatch.setattr(module, "CIFAR10", opened, raising=False)
    monkeypatch.setattr(module, "CIFAR100", opened, raising=False)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_through_load_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fake_torchvision(monkeypatch, None)
    data = load_data(name, root=tmp_path)
    assert (data.name, data.class_names) == (name, ("cat", str(tmp_path)))
    assert load_data(name).class_names[1] == str(Path("~/.cache/motemo").expanduser())


@pytest.mark.parametrize("error", [RuntimeError("not found or corrupted"), OSError("offline")])
def test_cifar_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fake_torchvision(monkeypatch, error)
    with pytest.raises(DataError, match=f"could not read or download .*: {error}"):
        load_cifar10(tmp_path)


# resize


def test_resize_name_and_shape() -> None:
    data = image_data()
    small = resize(data, (4, 8))
    assert small.name == "made[4x8]"
    assert small.image_shape == (3, 4, 8)
    assert small.images.flags.c_contiguous
    assert np.array_equal(small.labels, data.labels)
    assert small == resize(data, (4, 8))
    assert resize(data, (6, 5)) is data


@given(value=st.integers(0, 255), size=st.tuples(st.integers(1, 20), st.integers(1, 20)))
@settings(max_examples=25, deadline=None)
def test_resize_keeps_flat_images(value: int, size: tuple[int, int]) -> None:
    data = image_data(np.full((2, 1, 6, 5), value, dtype=np.uint8))
    assert set(resize(data, size).images.flat) == {value}


def test_resize_averages_when_it_shrinks() -> None:
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    images = np.stack([board, 255 - board]).astype(np.uint8)[:, np.newaxis]
    assert np.abs(resize(image_data(images), (4, 4)).images.astype(int) - 127).max() < 8


def test_resize_treats_channels_alike() -> None:
    data = image_data()
    reds = ImageData("made", data.images[:, :1], data.labels, data.class_names)
    assert np.array_equal(resize(data, (9, 3)).images[:, :1], resize(reds, (9, 3)).images)


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_resize_impossible_size(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"{size[0]}x{size[1]} is impossible.*at least 1"):
        resize(image_data(), size)


# take


def test_take_nothing_asked() -> None:
    data = image_data()
    assert take(data, seed=3) is data


@pytest.mark.parametrize(
    ("classes", "images", "name"),
    [
        (2, 3, "made[classes=2,images_per_class=3,seed=5]"),
        (2, None, "made[classes=2,seed=5]"),
        (None, 3, "made[images_per_class=3,seed=5]"),
    ],
)
def test_take_name(classes: int | None, images: int | None, name: str) -> None:
    assert take(image_data(), classes=classes, images_per_class=images, seed=5).name == name


@settings(max_examples=50, deadline=None)
@given(classes=st.integers(2, 4), images=st.integers(1, 10), seed=st.integers(0, 2**40))
def test_take_counts_and_order(classes: int, images: int, seed: int) -> None:
    data = image_data()
    part = take(data, classes=classes, images_per_class=images, seed=seed)
    assert np.bincount(part.labels).tolist() == [images] * classes
    assert list(part.class_names) == sorted(part.class_names)
    position_of = {pixels.tobytes(): position for position, pixels in enumerate(data.images)}
    positions = [position_of[pixels.tobytes()] for pixels in part.images]
    assert positions == sorted(positions)
    assert [data.class_names[data.labels[position]] for position in positions] == [
        part.class_names[label] for label in part.labels
    ]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_take_is_nested(seed: int) -> None:
    data = image_data()
    few = take(data, classes=2, images_per_class=4, seed=seed)
    many = take(data, classes=3, images_per_class=7, seed=seed)
    assert set(few.class_names) < set(many.class_names)
    assert {pixels.tobytes() for pixels in few.images} < {p.tobytes() for p in many.images}


def test_take_depends_on_the_seed_only() -> None:
    data = image_data()
    taken = {take(data, images_per_class=5, seed=seed).sha256 for seed in range(10)}
    assert len(taken) == 10
    assert take(data, images_per_class=5) == take(image_data(), images_per_class=5)


def test_take_is_the_same_on_every_machine() -> None:
    part = take(load_digits(), classes=3, images_per_class=2, seed=0)
    assert part.class_names == ("2", "8", "9")
    assert part.sha256[:16] == "f73c82c16bad7591"


@pytest.mark.parametrize("classes", [-1, 0, 1, 5])
def test_take_impossible_classes(classes: int) -> None:
    with pytest.raises(DataError, match=f"made: {classes} classes .* has 4. Ask for 2 to 4"):
        take(image_data(), classes=classes)


@pytest.mark.parametrize("images", [-1, 0, 11])
def test_take_impossible_images(images: int) -> None:
    message = f"{images} images per class asked for; class 'a' has 10. Ask for 1 to 10"
    with pytest.raises(DataError, match=message):
        take(image_data(), images_per_class=images)


# load_data


def test_load_data_composes() -> None:
    data = load_data("digits", image_size=(16, 16), classes=5, images_per_class=20)
    assert data.name == "digits[classes=5,images_per_class=20,seed=0][16x16]"
    assert data.images.shape == (100, 1, 16, 16)
    assert data == resize(take(load_digits(), classes=5, images_per_class=20), (16, 16))
    assert load_data("digits") == load_digits()


def test_load_data_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = load_arrays(tmp_path, COLOUR)
    folder = load_folder(save_folder(tmp_path / "digits", COLOUR), size=(8, 8))
    assert load_data(str(tmp_path / "data.npz")) == arrays
    monkeypatch.chdir(tmp_path)
    assert load_data("data.npz") == arrays
    assert load_data("./digits", image_size=(8, 8)) == folder
    assert load_data("digits") == load_digits()
    reduced = load_data("./digits", image_size=(8, 8), images_per_class=2)
    assert reduced.name == "digits[8x8][images_per_class=2,seed=0]"


def test_load_data_folder_called_npz(tmp_path: Path) -> None:
    assert load_data(str(save_folder(tmp_path / "pets.npz", COLOUR))).name == "pets.npz"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", r"Data source 'digit' is unknown. Did you mean 'digits'\? Give one of digits,"),
        ("CIFAR10", "'CIFAR10' is unknown. Did you mean 'cifar10'"),
        ("pet", "Did you mean 'pets'"),
        ("data", r"Did you mean 'data\.npz'|existing folder"),
        ("xyzzy", r"'xyzzy' is unknown\. Give one of digits, cifar10, cifar100, the path of an"),
        ("no/such/folder", r"unknown\. Give one of"),
        ("", r"'' is unknown\."),
        ("photo.png", r"'photo.png' is a file, but not an \.npz file\. Give one of"),
        ("no.npz", "no.npz: does not exist"),
    ],
)
def test_load_data_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "data.npz").touch()
    (tmp_path / "photo.png").touch()
    with pytest.raises(DataError, match=message):
        load_data(source)


def test_load_data_checks_the_size_first() -> None:
    with pytest.raises(DataError, match="impossible"):
        load_data("no/such/folder", image_size=(0, 0))


def test_load_data_cifar100_reduced(shared_data: Path) -> None:
    path = shared_data / "cifar100_rd10.npz"
    data = load_data(str(path))
    assert data.name == "cifar100_rd10.npz"
    assert data.images.shape == (5000, 3, 32, 32)
    assert np.bincount(data.labels).tolist() == [500] * 10
    assert set(data.class_names) >= {"sea", "seal", "willow_tree", "poppy"}
    part = load_data(str(path), classes=4, images_per_class=10, image_size=(16, 16))
    assert part.images.shape == (40, 3, 16, 16)
