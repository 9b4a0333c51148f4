"""A mask's file gives the class values that were meant, or is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from napari_noisyseg.annotation.formats.raster import Raster
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.errors import UserError

ROWS, COLUMNS = np.mgrid[:64, :80]
DISC = (ROWS - 30) ** 2 + (COLUMNS - 40) ** 2 < 300
CLASSES = DISC.astype(np.uint8)
CLASSES[4:12, 6:20] = 2


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_mask(path)
    message = str(caught.value)
    assert path.name in message
    assert len(message) <= 300
    assert "\n" not in message
    return message


def single(path: Path) -> np.ndarray:
    mask = read_mask(path)
    assert mask.dtype == np.int32
    assert mask.shape == (1, 64, 80)
    return mask[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_palette_mask_gives_its_indices(tmp_path: Path, suffix: str) -> None:
    picture = Image.frombytes("P", (80, 64), CLASSES.tobytes())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    path = tmp_path / f"x.{suffix}"
    picture.save(path)
    assert_array_equal(single(path), CLASSES)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_grey_saved_with_colours_or_alpha_gives_the_grey_value(tmp_path: Path, mode: str) -> None:
    for suffix in ("png", "tif"):
        path = tmp_path / f"x.{suffix}"
        Image.fromarray(CLASSES * 100).convert(mode).save(path)
        assert_array_equal(single(path), CLASSES * 100)


def test_bool_and_one_bit_are_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(DISC).save(tmp_path / "x.png")
    Image.fromarray(DISC).save(tmp_path / "x.tif", compression="group4")
    tifffile.imwrite(tmp_path / "y.tif", DISC)
    np.save(tmp_path / "x.npy", DISC)
    for name in ("x.png", "x.tif", "y.tif", "x.npy"):
        assert_array_equal(single(tmp_path / name), DISC)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.int64, np.float32])
def test_whole_numbers_of_all_types_are_classes(tmp_path: Path, dtype: type) -> None:
    values = CLASSES.astype(dtype) * 100
    np.save(tmp_path / "x.npy", values)
    tifffile.imwrite(tmp_path / "x.tif", values, compression="lzw")
    for name in ("x.npy", "x.tif"):
        assert_array_equal(single(tmp_path / name), CLASSES.astype(int) * 100)


def test_16_bit_png_keeps_classes_beyond_255(tmp_path: Path) -> None:
    Image.fromarray(CLASSES.astype(np.uint16) * 700).save(tmp_path / "x.png")
    assert_array_equal(single(tmp_path / "x.png"), CLASSES.astype(int) * 700)


def test_negative_values_stay_for_the_ignore_value(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", CLASSES.astype(np.int16) - 1)
    assert_array_equal(single(tmp_path / "x.npy"), CLASSES.astype(int) - 1)


def test_png_and_tiff_of_two_and_four_bits_give_their_classes_unscaled(tmp_path: Path) -> None:
    picture = Image.frombytes("P", (80, 64), CLASSES.tobytes())
    picture.putpalette([value for grey in range(4) for value in (grey * 85,) * 3])
    picture.save(tmp_path / "x.png", bits=2)
    content = bytearray((tmp_path / "x.png").read_bytes())
    assert content[24:26] == bytes((2, 3))
    content[25] = 0  # no palette any more: plain grey of two bits
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "x.png").write_bytes(content)
    assert_array_equal(single(tmp_path / "x.png"), CLASSES)


@pytest.mark.parametrize("bits", [4, 8])
def test_bmp_with_two_black_and_white_entries_gives_0_and_1(tmp_path: Path, bits: int) -> None:
    # Readers that take such a palette for a one-bit picture scramble it.
    if bits == 4:
        rows = (DISC[::-1, ::2] << 4 | DISC[::-1, 1::2]).astype(np.uint8)
    else:
        rows = DISC[::-1].astype(np.uint8)
    palette = bytes((0, 0, 0, 0, 255, 255, 255, 0))
    header = struct.pack("<IiiHHIIiiII", 40, 80, 64, 1, bits, 0, 0, 0, 0, 2, 0)
    content = b"BM" + struct.pack("<IHHI", 62 + rows.size, 0, 0, 62) + header + palette
    (tmp_path / "x.bmp").write_bytes(content + rows.tobytes())
    assert_array_equal(single(tmp_path / "x.bmp"), DISC)


@pytest.mark.parametrize(
    "shape",
    [(64, 80, 1), (1, 64, 80), (1, 1, 64, 80), (1, 64, 80, 1)],
)
def test_axes_of_length_one_make_no_difference(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", CLASSES.reshape(shape))
    assert_array_equal(single(tmp_path / "x.npy"), CLASSES)


def test_grey_repeated_as_rgb_or_rgba_in_an_array_gives_the_grey_value(tmp_path: Path) -> None:
    opaque = np.full_like(CLASSES, 255)
    for channels in ([CLASSES] * 3, [CLASSES, CLASSES, CLASSES, opaque]):
        np.save(tmp_path / "x.npy", np.dstack(channels))
        assert_array_equal(single(tmp_path / "x.npy"), CLASSES)


@pytest.mark.parametrize("settings", [{}, {"imagej": True}, {"metadata": {"axes": "ZYX"}}])
def test_pages_of_a_tiff_and_planes_of_an_array_are_pages(tmp_path: Path, settings: dict) -> None:
    stack = np.stack([np.roll(CLASSES, step, axis=0) for step in range(5)])
    tifffile.imwrite(tmp_path / "x.tif", stack, **settings)
    np.save(tmp_path / "x.npy", stack)
    for name in ("x.tif", "x.npy"):
        assert_array_equal(read_mask(tmp_path / name), stack)


@pytest.mark.parametrize("quality", [20, 75, 100])
def test_a_jpeg_mask_of_two_classes_is_cleaned(tmp_path: Path, quality: int) -> None:
    for mode in ("L", "RGB"):
        picture = Image.fromarray(DISC.astype(np.uint8) * 255).convert(mode)
        picture.save(tmp_path / "x.jpg", quality=quality)
        assert_array_equal(single(tmp_path / "x.jpg"), np.where(DISC, 255, 0))


def test_an_empty_and_a_full_jpeg_mask_are_0_and_255(tmp_path: Path) -> None:
    for value in (0, 255):
        Image.fromarray(np.full((64, 80), value, np.uint8)).save(tmp_path / "x.jpg")
        assert_array_equal(single(tmp_path / "x.jpg"), value)


def test_a_jpeg_mask_of_other_classes_is_refused(tmp_path: Path) -> None:
    for values in (CLASSES * np.uint8(127), CLASSES):
        Image.fromarray(values).save(tmp_path / "x.jpg")
        assert "save masks as PNG" in refusal(tmp_path / "x.jpg")


def test_a_coloured_mask_is_refused(tmp_path: Path) -> None:
    coloured = np.dstack([CLASSES * 100, CLASSES, CLASSES])
    for name in ("x.png", "x.jpg", "x.tif"):
        Image.fromarray(coloured).save(tmp_path / name)
        assert "3 different channels" in refusal(tmp_path / name)


def test_probabilities_nan_and_huge_values_are_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for values, reason in (
        (CLASSES / 4, "0.5"),
        (np.where(DISC, np.nan, 0), "NaN"),
        (np.where(DISC, -np.inf, 0), "NaN or infinite"),
        (DISC * 2**40, "1099511627776"),
        (DISC.astype(np.uint64) * np.uint64(2**63 + 1), "9223372036854775809"),
        (DISC * 1e300, "1e+300"),
    ):
        np.save(path, values)
        assert reason in refusal(path)


def test_a_mask_of_a_few_pixels_is_refused(tmp_path: Path) -> None:
    for shape in ((1, 1), (7, 20), (20, 7)):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "x.png")
        assert f"{shape[1]} x {shape[0]} pixels" in refusal(tmp_path / "x.png")


def test_an_array_with_several_channels_per_page_is_no_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 2, 64, 80), np.uint8))
    assert "(5, 2, 64, 80)" in refusal(tmp_path / "x.npy")


def test_another_reader_can_stand_in() -> None:
    def reader(path: Path) -> Raster:
        return Raster(CLASSES, ("YX",))

    assert_array_equal(read_mask(Path("nowhere"), reader=reader)[0], CLASSES)
