"""The reduced data set: what is chosen, what is written, and what is refused."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from motemo import cli
from motemo.data.dataset import ImageData
from motemo.data.npz import load_npz
from motemo.errors import DataError, EvaluationError, OutputError, SettingsError
from motemo.reduction import selection
from motemo.reduction.encoder import FORMS, encode
from motemo.reduction.encoders import encoder_by_name
from motemo.reduction.file import check_output, read_provenance, write_reduced
from motemo.reduction.held_out import load_held_out
from motemo.reduction.onnx_encoder import OnnxEncoder
from motemo.reduction.pixel_statistics import PixelStatistics
from motemo.reduction.reduce import METHODS, Method, reduce_data
from motemo.reduction.vgg16 import WEIGHTS, Vgg16

Floats = NDArray[np.float64]
RANDOM_CODES = np.random.default_rng(3).normal(size=(11, 2))

# Six classes of eight equal images in plain colours: two reds, two greens, two blues. The second
# of each is the purer one, so it is farther from the other colours.
COLOURS = ((200, 60, 60), (255, 0, 0), (60, 200, 60), (0, 255, 0), (60, 60, 200), (0, 0, 255))
NAMES = ("brick", "red", "moss", "green", "slate", "blue")


def coloured(each: int = 8, size: int = 5) -> ImageData:
    images = np.repeat(np.array(COLOURS, dtype=np.uint8), each, axis=0)
    return ImageData(
        name="coloured",
        images=np.broadcast_to(images[..., None, None], (*images.shape, size, size)).copy(),
        labels=np.repeat(np.arange(6), each),
        class_names=NAMES,
    )


def noisy(counts: tuple[int, ...], channels: int = 3, size: int = 8) -> ImageData:
    shape = (sum(counts), channels, size, size)
    return ImageData(
        name="noisy",
        images=np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        labels=np.repeat(np.arange(len(counts)), counts),
        class_names=tuple(f"class {number}" for number in range(len(counts))),
    )


def save_onnx(
    path: Path,
    *,
    name: str = "pixels",
    shape: tuple[int | str, ...] = ("n", 3, "h", "w"),
    kind: int = TensorProto.FLOAT,
    operator: str = "GlobalAveragePool",
    inputs: int = 1,
) -> Path:
    """Write a model of one operator; by default the mean colour, `(N, 3, 1, 1)`."""
    given = [helper.make_tensor_value_info(name + "'" * i, kind, shape) for i in range(inputs)]
    result = helper.make_tensor_value_info("features", TensorProto.FLOAT, None)
    node = helper.make_node(operator, [name], ["features"])
    graph = helper.make_graph([node], "encoder", given, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def mean_colour(tmp_path: Path) -> OnnxEncoder:
    return OnnxEncoder(path=save_onnx(tmp_path / "mean_colour.onnx"))


# Choosing by codes


def test_class_codes_are_means() -> None:
    codes = np.array([[0.0, 0], [2, 4], [5, 5]])
    assert selection.class_codes(codes, np.array([0, 0, 1])).tolist() == [[1, 2], [5, 5]]


def test_farthest_of_groups_on_a_line() -> None:
    codes = np.array([[0.0], [1], [2], [10], [11], [30], [32], [29]])
    groups, centres = selection.k_means(codes, 3, seed=0)
    assert sorted(np.bincount(groups).tolist()) == [2, 3, 3]
    # 0 lies farthest from the centre 10.5; 10 is 9 from the centre 1, but 11 is 10; 32 is outermost
    assert sorted(selection.farthest_of_groups(codes, groups, centres)) == [0, 4, 6]


def test_farthest_of_groups_heeds_the_nearest_of_the_other_centres() -> None:
    centres = np.array([[0.0, 0], [4, 0], [-100, 0]])
    codes = np.array([[1.0, 0], [-1, 0], [4, 0], [-100, 0]])
    groups = np.array([0, 0, 1, 2])
    assert selection.farthest_of_groups(codes, groups, centres) == [1, 2, 3]


def test_k_means_needs_distinct_codes() -> None:
    with pytest.raises(
        DataError, match="3 groups of classes asked for, but of 4 class codes only 2"
    ):
        selection.k_means(np.array([[0.0], [0], [1], [1]]), 3, seed=0)


def radius(codes: Floats, chosen: Any) -> float:
    return float(selection.distances(codes, codes[list(chosen)]).min(axis=1).max())


def cost(codes: Floats, chosen: Any) -> float:
    return float(selection.distances(codes, codes[list(chosen)]).min(axis=1).sum())


def test_distances() -> None:
    found = selection.distances(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0], [3, 0]]))
    assert found.tolist() == [[0, 3], [5, 4]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 11])
def test_k_centre_is_greedy_and_within_twice_the_best(count: int) -> None:
    codes = RANDOM_CODES
    chosen = selection.k_centre(codes, count)
    assert len(set(chosen)) == count
    assert chosen[0] == np.linalg.norm(codes - codes.mean(axis=0), axis=1).argmin()
    for number in range(1, count):
        before = chosen[:number]
        others = set(range(len(codes))) - set(before)
        gaps = {i: min(np.linalg.norm(codes[i] - codes[j]) for j in before) for i in others}
        assert chosen[number] == max(gaps, key=lambda i: gaps[i])
    best = min(radius(codes, subset) for subset in combinations(range(len(codes)), count))
    assert radius(codes, chosen) <= 2 * best + 1e-9


@pytest.mark.parametrize("room", [1, 2**22])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 11])
def test_facility_location_is_the_plain_greedy_choice(
    count: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_CHUNK", room)
    monkeypatch.setattr(selection, "_HELD", room)
    plain: list[int] = []
    while len(plain) < count:
        others = [row for row in range(len(RANDOM_CODES)) if row not in plain]
        plain.append(min(others, key=lambda row: cost(RANDOM_CODES, [*plain, row])))
    assert selection.facility_location(RANDOM_CODES, count) == plain


def test_facility_location_saves_as_much_as_it_promises() -> None:
    single = cost(RANDOM_CODES, selection.facility_location(RANDOM_CODES, 1))
    for count in (2, 3, 4):
        best = min(cost(RANDOM_CODES, s) for s in combinations(range(11), count))
        saved = single - cost(RANDOM_CODES, selection.facility_location(RANDOM_CODES, count))
        assert saved >= (1 - 1 / np.e) * (single - best)


@pytest.mark.parametrize("choose", [selection.k_centre, selection.facility_location])
def test_equal_codes_are_chosen_once_each(choose: Any) -> None:
    assert sorted(choose(np.ones((5, 3)), 5)) == [0, 1, 2, 3, 4]


# Encoders


def test_forms_of_codes(mean_colour: OnnxEncoder) -> None:
    images = coloured(each=1).images
    raw, unit, softmax = (
        encode(mean_colour, images, form=form) for form in ("raw", "unit", "softmax")
    )
    np.testing.assert_allclose(raw, np.array(COLOURS) / 255, atol=1e-6)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1)[:, None])
    np.testing.assert_allclose(softmax, np.exp(raw) / np.exp(raw).sum(axis=1)[:, None])
    assert (encode(mean_colour, images) == unit).all()
    assert (encode(mean_colour, images * 0) == 0).all()


def test_unknown_form(mean_colour: OnnxEncoder) -> None:
    with pytest.raises(SettingsError, match=f"Allowed: {', '.join(FORMS)}"):
        encode(mean_colour, coloured().images, form="cosine")  # type: ignore[arg-type]


def test_progress_counts_images(mean_colour: OnnxEncoder) -> None:
    told: list[tuple[int, int]] = []
    encode(mean_colour, noisy((65, 65)).images, on_progress=lambda *now: told.append(now))
    assert told == [(64, 130), (128, 130), (130, 130)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 8, 40])
def test_pixels_take_any_image(channels: int, size: int) -> None:
    images = noisy((9, 9), channels=channels, size=size).images
    codes = encode(PixelStatistics(components=5), images)
    assert codes.shape == (18, 5)
    assert (codes == encode(PixelStatistics(components=5), images)).all()


def test_pixels_tell_colours_and_edges_apart() -> None:
    tiles = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    tiles[0, ..., 0] = tiles[1, ..., 2] = 200
    tiles[2, ::4] = tiles[3, :, ::4] = 200
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 20, (10, 4, 32, 32, 3), dtype=np.uint8)
    images = (tiles + noise).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
    gaps = selection.distances(*[encode(PixelStatistics(), np.ascontiguousarray(images))] * 2)
    alike = np.arange(40)[:, None] % 4 == np.arange(40) % 4
    assert gaps[alike].max() < gaps[~alike].min()


def test_pixels_of_images_without_contrast() -> None:
    assert encode(PixelStatistics(), np.zeros((4, 1, 8, 8), dtype=np.uint8)).shape[0] == 4


def test_onnx_with_a_fixed_batch_and_size(tmp_path: Path) -> None:
    path = save_onnx(tmp_path / "fixed.onnx", name="images", shape=(4, 3, 2, 2), operator="Flatten")
    data = noisy((5, 5), channels=1)
    codes = encode(OnnxEncoder(path=path), data.images, form="raw")
    assert codes.shape == (10, 12)
    assert (codes[:, :4] == codes[:, 4:8]).all()  # grey became RGB
    block = data.images[7, 0, :4, :4].mean() / 255
    assert codes[7, 0] == pytest.approx(block, abs=0.08)  # antialiased, so not the plain mean


def test_onnx_identity_is_name_and_digest(tmp_path: Path) -> None:
    first = OnnxEncoder(path=save_onnx(tmp_path / "a.onnx")).identity()
    other = OnnxEncoder(path=save_onnx(tmp_path / "b.onnx", operator="GlobalMaxPool")).identity()
    assert first["name"] == "a.onnx"
    assert first["sha256"] != other["sha256"]
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": ("n", 1, "h", "w")}, r"its input is FLOAT \(\?, 1, \?, \?\)"),
        ({"shape": ("n", 3)}, r"its input is FLOAT \(\?, 3\)"),
        ({"kind": TensorProto.UINT8}, "its input is UINT8"),
        ({"inputs": 2}, "inputs: pixels, pixels'"),
        ({"operator": "NoSuch"}, "ONNX Runtime cannot load the model"),
        ({"operator": "ReduceMean"}, "one row of features per image"),
    ],
)
def test_onnx_that_is_no_encoder(tmp_path: Path, options: Any, message: str) -> None:
    encoder = OnnxEncoder(path=save_onnx(tmp_path / "odd.onnx", **options))
    with pytest.raises(DataError, match=f"odd.onnx.*{message}"):
        encode(encoder, coloured().images)


def test_onnx_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(DataError, match="cannot be read as an ONNX model"):
        encode(OnnxEncoder(path=tmp_path / "text.onnx"), coloured().images)


def test_onnx_that_gives_nan(tmp_path: Path) -> None:
    encoder = OnnxEncoder(path=save_onnx(tmp_path / "log.onnx", operator="Log"))
    with pytest.raises(EvaluationError, match=r"log.onnx gives NaN or infinity for 24 of 48"):
        encode(encoder, coloured().images)  # the pure colours have zeros


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.onnx", DataError, "no such file"),
        ("model.pt", SettingsError, r"run any code.*torch.onnx.export"),
        ("model.pt2", SettingsError, "run any code"),
        ("torchvision:resnet18", SettingsError, "Give pixels, torchvision:vgg16, or"),
    ],
)
def test_names_that_are_no_encoder(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        encoder_by_name(name)


def test_encoder_settings_that_cannot_work() -> None:
    with pytest.raises(SettingsError, match="Allowed: cpu, cuda"):
        encoder_by_name("pixels", device="tpu")
    with pytest.raises(SettingsError, match="at least 1 thread"):
        encoder_by_name("pixels", threads=0)


def test_vgg16_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(DataError, match=r"pip install motemo\[torchvision\]"):
        encode(encoder_by_name("torchvision:vgg16"), coloured().images)


def torchvision_with(monkeypatch: pytest.MonkeyPatch, vgg16: Any) -> None:
    """Stand in for torchvision, which is optional, and whose weights are half a gigabyte."""
    models = ModuleType("torchvision.models")
    models.__dict__["vgg16"] = vgg16
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def test_vgg16_scales_normalises_and_takes_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    class Means(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.shape[1:] == (3, 224, 224)
            return images.mean(dim=(2, 3))

    def vgg16(*, weights: str) -> torch.nn.Module:
        assert weights == WEIGHTS
        return Means()

    torchvision_with(monkeypatch, vgg16)
    logits = (np.array(COLOURS) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(encode(Vgg16(), coloured(1).images), expected, rtol=1e-4)
    assert Vgg16().identity()["weights"] == WEIGHTS


def test_vgg16_whose_weights_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def vgg16(*, weights: str) -> torch.nn.Module:
        raise OSError("no network")

    torchvision_with(monkeypatch, vgg16)
    with pytest.raises(DataError, match="could not get its weights: no network"):
        encode(Vgg16(), coloured().images)


# Reducing


def test_farthest_takes_the_purest_of_each_colour(mean_colour: OnnxEncoder) -> None:
    data = coloured()
    reduced = reduce_data(data, classes=3, encoder=mean_colour)
    assert reduced.data.class_names == ("red", "green", "blue")
    assert reduced.kept == (1, 3, 5)
    assert reduced.groups == ((0, 1), (2, 3), (4, 5))
    assert reduced.data.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert (reduced.data.images[8:16] == data.images[24:32]).all()


def test_farthest_of_as_many_groups_as_classes(mean_colour: OnnxEncoder) -> None:
    reduced = reduce_data(coloured(), classes=6, encoder=mean_colour)
    assert reduced.groups == ((0,), (1,), (2,), (3,), (4,), (5,))
    assert reduced.data.sha256 == coloured().sha256


@pytest.mark.parametrize("method", METHODS)
def test_reducing_repeats(method: Method) -> None:
    data = noisy((9, 9, 9, 9))
    again, first = (reduce_data(data, method=method, classes=2, seed=3) for _ in range(2))
    assert first.data == again.data
    assert first.provenance == again.provenance
    assert json.loads(json.dumps(first.provenance)) == first.provenance


@pytest.mark.parametrize("method", METHODS)
def test_sizes(method: Method) -> None:
    data = noisy((12, 12, 12, 12))
    whole = reduce_data(data, method=method, classes=2)
    assert len(whole.data) == 24
    few = reduce_data(data, method=method, classes=2, images_per_class=3)
    assert len(few.data) == (6 if method in ("farthest", "random-classes") else 12)
    counts = np.bincount(whole.data.labels)
    if method != "random":
        assert len(set(counts.tolist())) == 1
    assert whole.data.classes == (2 if method in ("farthest", "random-classes") else 4)


@pytest.mark.parametrize("method", ["random-classes", "random"])
def test_random_methods_heed_the_seed(method: Method) -> None:
    data = noisy((9,) * 8)
    chosen = {
        reduce_data(data, method=method, classes=3, seed=seed).data.sha256 for seed in range(5)
    }
    assert len(chosen) > 1


def test_random_images_may_miss_a_class() -> None:
    data = noisy((40, 40, 1))
    for seed in range(20):
        reduced = reduce_data(data, method="random", classes=2, images_per_class=1, seed=seed)
        if reduced.data.classes == 2 and reduced.kept == (0, 1):
            assert reduced.data.class_names == ("class 0", "class 1")
            return
    raise AssertionError("the third class has one of 81 images, and is in each of 20 draws of 3")


@pytest.mark.parametrize("method", ["k-centre", "facility"])
def test_core_sets_of_classes_of_unequal_size(method: Method) -> None:
    reduced = reduce_data(noisy((20, 3, 10)), method=method, classes=2)
    assert np.bincount(reduced.data.labels).tolist() == [10, 3, 9]  # 22 of 33: two classes' worth


def test_k_centre_finds_the_odd_image(mean_colour: OnnxEncoder) -> None:
    data = coloured()
    data.images[3] = 255 - data.images[3]
    reduced = reduce_data(data, method="k-centre", images_per_class=2, classes=2, form="raw",
                          encoder=mean_colour)  # fmt: skip
    assert (reduced.data.images[:2] == data.images[[0, 3]]).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": 1}, DataError, "Ask for 2 to 6"),
        ({"classes": 7}, DataError, "7 classes asked for; it has 6"),
        ({"images_per_class": 9}, DataError, "Ask for 1 to 8"),
        ({"images_per_class": 0}, DataError, "Ask for 1 to 8"),
        ({"method": "nearest"}, SettingsError, "Allowed: farthest, random-classes, random"),
        ({"method": "random", "form": "raw"}, SettingsError, "chooses at random"),
        ({"method": "random", "encoder": PixelStatistics()}, SettingsError, "chooses at random"),
    ],
)
def test_what_cannot_be_reduced(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        reduce_data(coloured(), **{"classes": 3, **options})


# Files and the command


def save_source(path: Path, **changes: Any) -> Path:
    """Write the coloured classes, labelled 10, 20, ..., with a test image of each."""
    data = coloured()
    arrays = {
        "x_train": data.images.transpose(0, 2, 3, 1),
        "y_train": (data.labels + 1) * 10,
        "x_test": data.images[::8],
        "y_test": (data.labels[::8, None] + 1) * 10,
        "class_names": np.array([NAMES[max(i // 10 - 1, 0)] for i in range(61)]),
    }
    kept = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **kept)  # type: ignore[arg-type]
    return path


def test_written_file_is_read_by_a_search(tmp_path: Path, mean_colour: OnnxEncoder) -> None:
    source = save_source(tmp_path / "full.npz")
    data = load_npz(source)
    reduced = reduce_data(data, classes=3, encoder=mean_colour)
    path = tmp_path / "new" / "rd.npz"
    written = write_reduced(path, reduced, held_out=load_held_out(str(source), data))
    read = load_npz(path)
    assert read.sha256 == reduced.data.sha256
    assert read.class_names == ("red", "green", "blue")
    with np.load(path) as archive:
        assert archive["y_test"].tolist() == [0, 1, 2]
        assert archive["x_test"][:, 0, 0].tolist() == [list(COLOURS[i]) for i in (1, 3, 5)]
    provenance = read_provenance(path)
    assert provenance == written
    assert provenance["chosen"] == ["red", "green", "blue"]
    assert provenance["groups"] == [["brick", "red"], ["moss", "green"], ["slate", "blue"]]
    assert provenance["source"] == data.identity()
    assert provenance["encoder"] == mean_colour.identity()
    assert (provenance["images"], provenance["test_images"]) == (24, 3)


def test_where_nothing_can_be_written_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        check_output(tmp_path / "file" / "rd.npz", force=False)


def test_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "rd.npz"
    path.write_text("mine")
    reduced = reduce_data(coloured(), method="random-classes", classes=3)
    with pytest.raises(OutputError, match="is there already"):
        write_reduced(path, reduced)
    assert path.read_text() == "mine"
    write_reduced(path, reduced, force=True)
    assert load_npz(path).classes == 3
    assert [file.name for file in tmp_path.iterdir()] == ["rd.npz"]


def test_held_out_images_as_the_training_images(tmp_path: Path) -> None:
    source = save_source(
        tmp_path / "full.npz",
        x_test=coloured().images[::8].transpose(0, 2, 3, 1) / 255,
        y_test=np.array([10, 20, 30, 40, 50, 99]),
    )
    data = load_npz(source)
    small = ImageData("small", data.images[..., :3, :3], data.labels, data.class_names)
    found = load_held_out(str(source), small)
    assert found is not None
    assert found.labels.tolist() == [0, 1, 2, 3, 4]  # 99 is no class of the training images
    assert found.images.shape == (5, 3, 3, 3)
    assert found.images[1, :, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("missing", ["x_test", "y_test"])
def test_sources_without_held_out_images(tmp_path: Path, missing: str) -> None:
    source = save_source(tmp_path / "full.npz", **{missing: None})
    assert load_held_out(str(source), load_npz(source)) is None
    assert load_held_out("digits", coloured()) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": np.zeros(5, dtype=int)}, "holds 6 images, 'y_test' 5 labels"),
        ({"y_test": np.zeros(6)}, "dtype float64"),
        ({"x_test": np.zeros((6, 1, 5, 5), dtype=np.uint8)}, "does not fit the training images"),
        ({"x_test": np.full((6, 3, 5, 5), 7.0)}, "floats in"),
        ({"x_test": np.full(6, None)}, "cannot be read"),
    ],
)
def test_held_out_images_that_do_not_fit(tmp_path: Path, changes: Any, message: str) -> None:
    source = save_source(tmp_path / "full.npz", **changes)
    with pytest.raises(DataError, match=message):
        load_held_out(str(source), coloured())


def test_held_out_images_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    def cifar10(root: str, *, train: bool, download: bool) -> SimpleNamespace:
        assert not train
        images = np.full((2, 32, 32, 3), 9, dtype=np.uint8)
        return SimpleNamespace(data=images, targets=[0, 1], classes=["a", "b"])

    datasets = ModuleType("torchvision.datasets")
    datasets.__dict__["CIFAR10"] = cifar10
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    found = load_held_out("cifar10", coloured())
    assert found is not None
    assert found.images.shape == (2, 3, 5, 5)
    assert found.labels.tolist() == [0, 1]


def test_files_without_provenance(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no provenance"):
        read_provenance(save_source(tmp_path / "full.npz"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["motemo", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mean_colour: OnnxEncoder,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_source(tmp_path / "full.npz")
    options = ["--data", "full.npz", "--classes", "3", "--out", "rd.npz"]
    assert run(monkeypatch, "reduce", *options, "--encoder", str(mean_colour.path)) == 0
    shown = capsys.readouterr()
    assert [line.split() for line in shown.out.splitlines()[1:]] == [
        ["red", "8", "brick"],
        ["green", "8", "moss"],
        ["blue", "8", "slate"],
    ]
    assert "encoding: 48/48, 0:00:00 left" in shown.err
    assert "24 of 48 images, 3 of 6 classes, 3 test images" in shown.err
    measure = ["measure", "--objective", "mote", "--data", "rd.npz", "--set"]
    arch = "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    assert run(monkeypatch, *measure, "mote.recipe.epochs=1", "--arch", arch) == 0
    capsys.readouterr()
    assert run(monkeypatch, "reduce", *options) == 2
    assert "--force" in capsys.readouterr().err
    assert run(monkeypatch, "reduce", *options, "--force", "--method", "random") == 0
    same = ["--data", "rd.npz", "--out", "../" + tmp_path.name + "/rd.npz", "--force"]
    assert run(monkeypatch, "reduce", *same, "--classes", "2") == 2
    assert "is the full data itself" in capsys.readouterr().err
    assert run(monkeypatch, "reduce", *options, "--force", "--method", "nearest") == 2
    assert "Allowed: farthest" in capsys.readouterr().err


def test_published_choice_of_classes_is_spread_out(shared_data: Path) -> None:
    """With a real encoder, on real images: groups are sensible, and no two choices are alike."""
    source = shared_data / "cifar100_100x100.npz"
    full = load_npz(source)
    few = full.labels.argsort(kind="stable").reshape(100, 100)[:, :5].ravel()
    data = ImageData("few", full.images[few], full.labels[few], full.class_names)
    encoder = OnnxEncoder(path=shared_data / "encoder_squeezenet11.onnx")
    reduced = reduce_data(data, encoder=encoder)
    assert len(reduced.data) == 50
    assert sorted(index for group in reduced.groups for index in group) == list(range(100))
    with np.load(source) as archive:
        superclass = archive["coarse_of_fine"]
    # 20 superclasses of 5: groups by chance would hold a pair of one superclass in 4 % of pairs.
    pairs = [pair for group in reduced.groups for pair in combinations(group, 2)]
    assert np.mean([superclass[a] == superclass[b] for a, b in pairs]) > 0.1
    assert len({int(superclass[index]) for index in reduced.kept}) >= 7
