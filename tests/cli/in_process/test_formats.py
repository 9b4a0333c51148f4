"""Images and masks as people have them: all of these must simply work, from train to predict."""

from __future__ import annotations

import csv
import io
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

Store = Callable[[Path, Any], object]


def stored(mode: str, suffix: str) -> Store:
    """Return what stores a picture in a mode of Pillow."""

    def store(path: Path, pixels: Any) -> None:
        Image.fromarray(pixels).convert(mode).save(path.with_suffix(suffix))

    return store


def as_tiff(**options: Any) -> Store:
    return lambda path, pixels: tifffile.imwrite(path.with_suffix(".tif"), pixels, **options)


def as_npy(path: Path, pixels: Any) -> None:
    np.save(path.with_suffix(".npy"), pixels)


def restore(data: Path, part: str, *kinds: tuple[Store, Any]) -> None:
    """Store the images (or masks) of a data set anew, each in the next one of several kinds."""
    paths = sorted(path for folder in data.glob(f"*_{part}") for path in folder.iterdir())
    for number, path in enumerate(paths):
        store, change = kinds[number % len(kinds)]
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
        path.unlink()
        store(path, pixels if change is None else change(pixels))


def check(lab: Any, *words: str, channels: int = 1) -> Any:
    """Train on the data set, apply the model to its test images, and measure."""
    answer = lab.train("data", "--method", "joint", *words)
    assert answer.err == ""
    assert f"{channels} channel" in answer.out
    run, data = lab.path / "run", lab.path / "data"
    for image in (data / "noisy_img").iterdir():
        weights = tifffile.imread(run / "weights" / f"{image.stem}.tif")
        assert weights.dtype == np.float32
        assert weights.shape[-2:] == (24, 24)
        assert 0 <= weights.min() <= weights.max() <= 1
    lab.cli("predict", "run", data / "test_img", "--gt", data / "test_gt", "--out", "out")
    for image in (data / "test_img").iterdir():
        chances = tifffile.imread(lab.path / "out" / f"{image.stem}.tif")
        assert chances.dtype == np.float32
        assert chances.shape[-2:] == (24, 24)
        assert 0 <= chances.min() <= chances.max() <= 1
    lab.cli("evaluate", "out", data / "test_gt")
    return answer


def wide(pixels: Any) -> Any:
    """Stretch 8 bits to 16."""
    return pixels.astype(np.uint16) * 257


GREY: list[tuple[Store, Any]] = [
    (stored("L", ".png"), None),
    (stored("1", ".png"), lambda x: (x > 50).astype(np.uint8) * 255),
    (stored("LA", ".png"), None),
    (stored("P", ".png"), None),
    (stored("I;16", ".png"), wide),
    (stored("L", ".JPG"), None),
    (stored("L", ".bmp"), None),
    (as_tiff(compression="lzw"), wide),
    (as_tiff(compression="zlib", predictor=True), lambda x: x.astype(np.float32) / 255),
    (as_tiff(), lambda x: x.astype(np.float64) * -1e6),
    (as_tiff(byteorder=">"), lambda x: x.astype(np.int32)),
    (as_tiff(tile=(16, 16)), None),
    (as_tiff(bigtiff=True), lambda x: x.astype(np.int8)),
    (as_npy, None),
    (as_npy, lambda x: x > 50),
    (as_npy, lambda x: x.astype(np.float16)),
    (as_npy, lambda x: x.astype(">u2")),
    (as_npy, np.asfortranarray),
    (as_npy, lambda x: x[None]),
]
COLOUR: list[tuple[Store, Any]] = [
    (stored("RGB", ".png"), None),
    (stored("RGBA", ".png"), None),
    (stored("RGB", ".jpeg"), None),
    (stored("CMYK", ".jpg"), None),
    (stored("RGB", ".bmp"), None),
    (stored("RGBA", ".tiff"), None),
    (as_npy, lambda x: np.dstack([x] * 3)),
    (as_npy, lambda x: np.stack([x] * 3)),
]


@pytest.mark.parametrize("first", range(0, len(GREY), 5))
def test_grey_images_of_any_kind_in_one_set(lab: Any, first: int) -> None:
    restore(lab.data(test=1), "img", *GREY[first:], *GREY)
    check(lab)


@pytest.mark.parametrize("first", [0, 2])
def test_colour_images_of_any_kind_in_one_set(lab: Any, first: int) -> None:
    restore(lab.data(test=1), "img", *COLOUR[first:])
    check(lab, channels=3)


@pytest.mark.parametrize(
    ("store", "change", "channels"),
    [
        (as_tiff(photometric="minisblack"), lambda x: np.stack([x, 255 - x]), 2),
        (as_tiff(photometric="minisblack"), lambda x: np.stack([x] * 7), 7),
        (as_npy, lambda x: np.dstack([x] * 5), 5),
        (as_npy, lambda x: np.stack([x] * 5), 5),
    ],
)
def test_images_of_any_number_of_channels(
    lab: Any, store: Store, change: Any, channels: int
) -> None:
    restore(lab.data(test=1), "img", (store, change))
    check(lab, channels=channels)


def as_palette(path: Path, mask: Any) -> None:
    """Store class values as indices into a palette of colours, as PASCAL VOC does."""
    picture = Image.fromarray(mask)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [7] * 756)
    assert picture.mode == "P"
    picture.save(path)


MASKS: list[tuple[Store, Any]] = [
    (stored("1", ".png"), None),
    (stored("L", ".png"), lambda x: x // 255),
    (stored("RGB", ".png"), None),
    (stored("RGBA", ".png"), None),
    (stored("LA", ".png"), None),
    (stored("I;16", ".png"), lambda x: x.astype(np.uint16) // 255),
    (stored("L", ".bmp"), None),
    (stored("L", ".jpg"), None),
    (as_palette, lambda x: x // 255),
    (as_tiff(), None),
    (as_tiff(), lambda x: x.astype(np.int32)),
    (as_tiff(), lambda x: (x // 255).astype(np.float32)),
    (as_tiff(compression="zlib"), lambda x: x > 0),
    (as_npy, lambda x: x > 0),
    (as_npy, lambda x: x.astype(np.int64)),
    (as_npy, lambda x: (x // 255)[None]),
]


@pytest.mark.parametrize("first", range(0, len(MASKS), 5))
def test_masks_of_any_kind_in_one_set(lab: Any, first: int) -> None:
    restore(lab.data(test=1), "gt", *MASKS[first:], *MASKS)
    assert "2 classes" in check(lab).out


def test_the_values_of_a_palette_mask_are_its_indices(lab: Any) -> None:
    lab.data(test=1)
    rows = np.arange(24)[:, None] * np.ones((1, 24))

    def three(mask: Any) -> Any:
        return np.where(mask > 0, 1 + (rows > 12), 0).astype(np.uint8)

    restore(lab.path / "data", "gt", (as_palette, three))
    assert "3 classes (0, 1, 2)" in check(lab).out
    chances = tifffile.imread(lab.path / "out" / "c0.tif")
    assert chances.shape == (3, 24, 24)
    assert np.allclose(chances.sum(0), 1, atol=1e-5)
    mask = np.asarray(Image.open(lab.path / "out" / "c0_mask.png"))
    assert set(np.unique(mask)) <= {0, 1, 2}


def test_classes_keep_the_values_that_the_masks_give_them(lab: Any) -> None:
    lab.data(test=1)
    rows = np.arange(24)[:, None] * np.ones((1, 24))

    def many(mask: Any) -> Any:
        return np.where(mask > 0, 100 + 900 * (rows > 12), 7).astype(np.uint16)

    restore(lab.path / "data", "gt", (as_tiff(), many))
    assert "3 classes (7, 100, 1000)" in check(lab).out
    mask = np.asarray(Image.open(lab.path / "out" / "c0_mask.png"))
    assert set(np.unique(mask)) <= {7, 100, 1000}


def test_masks_of_0_and_1_beside_masks_of_0_and_255(lab: Any) -> None:
    data = lab.data(test=1)
    lab.save(data / "noisy_gt" / "a0.png", lab.disc().astype(np.uint8))
    lab.save(data / "clean_gt" / "b0.png", lab.disc().astype(np.uint8))
    lab.save(data / "test_gt" / "c0.png", lab.disc())
    assert "2 classes" in check(lab).out


def test_one_mask_of_several_may_be_empty_or_full(lab: Any) -> None:
    data = lab.data(test=1)
    for path in ("noisy_gt/a0.png", "clean_gt/b0.png", "test_gt/c0.png"):
        lab.save(data / path, np.zeros((24, 24), np.uint8))
    lab.save(data / "noisy_gt" / "a1.png", np.full((24, 24), 255, np.uint8))
    check(lab)


def test_pixels_that_are_not_annotated(lab: Any) -> None:
    lab.data(test=1)

    def partly(mask: Any) -> Any:
        values = (mask // 255).astype(np.uint8)
        values[:4] = 255
        return values

    restore(lab.path / "data", "gt", (as_palette, partly))
    assert "2 classes (0, 1)" in lab.train("data", "--set", "ignore_value=255").out
    weights = tifffile.imread(lab.path / "run" / "weights" / "a0.tif")
    assert (weights[:4] == 0).all()
    assert (weights[4:] > 0).all()
    places = ("run", "data/test_img", "--gt", "data/test_gt", "--out", "out")
    lab.refuse("predict", *places, names=("--ignore-value 255",))
    lab.cli("predict", *places, "--ignore-value", "255")


def test_images_of_different_sizes_in_one_set(lab: Any) -> None:
    sizes = [(24, 24), (40, 17), (9, 60), (33, 31)]
    for number, (height, width) in enumerate(sizes):
        for seed, role in enumerate(("noisy", "clean", "test")):
            name, seed = f"{role[0]}{number}.png", 10 * seed + number
            lab.save(lab.path / f"data/{role}_img/{name}", lab.picture(seed, height, width))
            lab.save(lab.path / f"data/{role}_gt/{name}", lab.disc(height, width))
    for flags in (["--size", "16"], ["--crop", "16"]):
        out = flags[0].strip("-")
        lab.cli("train", "data", "--out", out, *lab.quick[2:], *flags)
        lab.cli("predict", out, "data/test_img", "--out", f"{out}-out")
        for number, size in enumerate(sizes):
            assert tifffile.imread(f"{out}/weights/n{number}.tif").shape == size
            assert tifffile.imread(f"{out}-out/t{number}.tif").shape == size
            with Image.open(f"{out}-out/t{number}_mask.png") as mask:
                assert mask.size == size[::-1]


@pytest.mark.parametrize("dimensions", ["2", "3"])
def test_stacks_with_a_mask_for_each_page(lab: Any, dimensions: str) -> None:
    stack = np.stack([lab.picture(page) for page in range(9)])
    mask = np.stack([lab.disc()] * 9).astype(np.uint8)
    for role, names in (("noisy", "ab"), ("clean", "cd"), ("test", "e")):
        for name in names:
            for part, pixels in (("img", stack + ord(name) % 7), ("gt", mask)):
                path = lab.path / f"data/{role}_{part}/{name}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, pixels, photometric="minisblack")
    lab.train("data", "--set", f"dimensions={dimensions}", "--method", "joint")
    assert tifffile.imread("run/weights/a.tif").shape == (9, 24, 24)
    answer = lab.cli("predict", "run", "data/test_img", "--gt", "data/test_gt", "--out", "out")
    assert tifffile.imread("out/e.tif").shape == (9, 24, 24)
    assert tifffile.imread("out/e_mask.tif").shape == (9, 24, 24)
    rows = list(csv.DictReader(io.StringIO(Path("out/metrics.csv").read_text())))
    assert len(rows) == (9 if dimensions == "2" else 1)
    assert answer.err == ""


@pytest.mark.parametrize("scale", [3.4e38 / 255, 1e-40])
def test_pixel_values_of_any_size(lab: Any, scale: float) -> None:
    def scaled(pixels: Any) -> Any:
        return (pixels * np.float64(scale)).astype(np.float32)

    restore(lab.data(test=1), "img", (as_tiff(), scaled))
    check(lab)


def test_a_photograph_turned_by_its_exif_note(lab: Any) -> None:
    data = lab.data(test=1)
    (data / "noisy_img" / "a0.png").unlink()
    upright = lab.picture(3, 24, 24)
    note = Image.Exif()
    note[274] = 6  # to be turned by 90 degrees clockwise
    turned = Image.fromarray(np.rot90(upright).copy())
    turned.save(data / "noisy_img" / "a0.jpg", exif=note)
    check(lab)


NAMES = [
    "a b", "é", "e\u0301clair", "it's", "a.b.c", "scan.v1.2", "(1)", "[x]", "{y}", "a;b", "$(x)",
    "%s", "-flag", "=1+1", "+1", "@x", "#1", "ü" * 50, "日本語", "🫀", "~", "!",
]  # fmt: skip
UNIX_NAMES = ['q"q', "<b>", "a|b", "a:b", "a*b?"]


def test_file_names_of_any_kind(lab: Any, grey: Any) -> None:
    names = [*NAMES, *(UNIX_NAMES if os.name != "nt" else [])]
    for name in names:
        for part in ("img", "gt"):
            target = lab.path / f"images_{part}" / f"{name}.png"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(Path(grey.data) / f"test_{part}" / "c0.png", target)
    lab.cli("predict", grey.run, "images_img", "--gt", "images_gt", "--out", "out")
    composed = {unicodedata.normalize("NFC", name) for name in names}
    for name in composed:
        for suffix in (".tif", "_mask.png"):
            assert (lab.path / "out" / f"{name}{suffix}").is_file(), name
    with open("out/metrics.csv", newline="", encoding="utf-8") as file:
        images = {row["image"] for row in csv.DictReader(file)}
    assert {image.removeprefix("'") for image in images} == composed
    assert not any(image.startswith(("=", "+", "-", "@")) for image in images)
    lab.cli("evaluate", "out", "images_gt")


def test_a_whole_data_set_of_unusual_names(lab: Any) -> None:
    data = lab.data('my data\'s "set" (é)' if os.name != "nt" else "my data's set (é)", test=1)
    names = ["scan 1.v2", "l'été", "=1+1"]
    for number, name in enumerate(names):
        (data / "noisy_img" / f"a{number}.png").rename(data / "noisy_img" / f"{name}.png")
        (data / "noisy_gt" / f"a{number}.png").rename(data / "noisy_gt" / f"{name}_mask.png")
    lab.train(data, out="my run's #1")
    for name in names:
        assert (lab.path / "my run's #1" / "weights" / f"{name}.tif").is_file()
    lab.cli("train", "--resume", "--out", "my run's #1")
    lab.cli("predict", "my run's #1", data / "test_img", "--out", "my results")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", ["two\nlines", "bell\x07", "\udcff\udcfe"])
def test_names_that_cannot_be_written_safely_are_changed(lab: Any, grey: Any, name: str) -> None:
    (lab.path / "images").mkdir()
    shutil.copy(grey.data / "test_img" / "c0.png", lab.path / "images" / f"{name}.png")
    lab.cli("predict", grey.run, "images", "--out", "out")
    written = sorted(path.name for path in (lab.path / "out").iterdir())
    assert len(written) == 2
    assert all(text.isprintable() for text in written)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("ISIC_0000000.jpg", "ISIC_0000000_segmentation.png"),
        ("case 7.PNG", "case 7_mask.TIF"),
        ("a.b.tif", "a.b_gt.png"),
        ("img_001.png", "mask_001.png"),
        ("7.jpg", "7-label.bmp"),
        ("e\u0301.png", "\u00e9.npy"),
        ("x.tif", "x.npy"),
    ],
)
def test_masks_are_found_by_the_images_name(lab: Any, image: str, mask: str) -> None:
    data = lab.data()
    for part, name in (("img", image), ("gt", mask)):
        (data / f"noisy_{part}" / "a0.png").unlink()
        pixels = lab.picture(5) if part == "img" else lab.disc().astype(np.uint8)
        path = data / f"noisy_{part}" / name
        stream = io.BytesIO()
        suffix = path.suffix.lower()
        if suffix == ".npy":
            np.save(path, pixels)
        else:
            kinds = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF", ".bmp": "BMP"}
            Image.fromarray(pixels).save(stream, kinds[suffix])
            path.write_bytes(stream.getvalue())
    lab.train("data", "--method", "joint")


def test_a_wrong_suffix_is_no_obstacle(lab: Any) -> None:
    data = lab.data(test=1)
    stream = io.BytesIO()
    Image.fromarray(lab.picture(5)).save(stream, "JPEG")
    (data / "noisy_img" / "a0.png").write_bytes(stream.getvalue())
    check(lab)


@pytest.mark.parametrize("litter", [".DS_Store", "Thumbs.db", "._a0.png", "desktop.ini", "@eaDir"])
def test_litter_of_operating_systems_is_passed_over(lab: Any, litter: str) -> None:
    data = lab.data()
    for folder in [data, *data.iterdir()]:
        (folder / litter).write_bytes(b"x")
    lab.train("data", "--method", "joint")
