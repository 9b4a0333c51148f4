"""What is written can be read back, by this program and by others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from napari_noisyseg.annotation.images import png_bytes, read_image, read_mask, tiff_bytes

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("compression", ["zlib", None])
def test_a_tiff_is_read_back_by_us_and_others(tmp_path: Path, dtype, compression) -> None:
    pixels = (RANDOM.random((20, 30)) * 100).astype(dtype)
    (tmp_path / "x.tif").write_bytes(tiff_bytes(pixels, compression=compression))
    assert_array_equal(read_image(tmp_path / "x.tif")[0, 0], pixels)
    assert_array_equal(tifffile.imread(tmp_path / "x.tif"), pixels)
    if dtype != np.int16:
        with Image.open(tmp_path / "x.tif") as picture:
            assert_array_equal(np.asarray(picture), pixels)


def test_axes_tell_channels_from_slices(tmp_path: Path) -> None:
    pixels = RANDOM.random((3, 20, 30)).astype(np.float32)
    (tmp_path / "c.tif").write_bytes(tiff_bytes(pixels, axes="CYX"))
    (tmp_path / "z.tif").write_bytes(tiff_bytes(pixels, axes="ZYX"))
    assert read_image(tmp_path / "c.tif").shape == (1, 3, 20, 30)
    assert read_image(tmp_path / "z.tif", (3, 20, 30)).shape == (3, 1, 20, 30)
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        assert file.series[0].axes == "CYX"


def test_a_bool_tiff_keeps_true_and_false(tmp_path: Path) -> None:
    mask = RANDOM.random((20, 30)) > 0.5
    (tmp_path / "x.tif").write_bytes(tiff_bytes(mask))
    assert_array_equal(read_mask(tmp_path / "x.tif")[0], mask)


def test_a_png_is_read_back_by_us_and_others(tmp_path: Path) -> None:
    for pixels in (
        RANDOM.integers(0, 256, (20, 30), dtype=np.uint8),
        RANDOM.integers(0, 65536, (20, 30), dtype=np.uint16),
        RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8),
    ):
        (tmp_path / "x.png").write_bytes(png_bytes(pixels))
        expected = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        assert_array_equal(read_image(tmp_path / "x.png")[0], expected)
        with Image.open(tmp_path / "x.png") as picture:
            assert_array_equal(np.asarray(picture), pixels)


def test_a_bool_mask_is_written_black_and_white() -> None:
    mask = RANDOM.random((20, 30)) > 0.5
    with Image.open(io.BytesIO(png_bytes(mask))) as picture:
        assert picture.mode == "L"
        assert_array_equal(np.asarray(picture), np.where(mask, 255, 0))


def test_the_same_array_gives_the_same_bytes() -> None:
    pixels = RANDOM.integers(0, 256, (20, 30), dtype=np.uint8)
    assert tiff_bytes(pixels) == tiff_bytes(pixels.copy())
    assert png_bytes(pixels) == png_bytes(np.asfortranarray(pixels))


def test_what_a_format_cannot_hold_is_an_error() -> None:
    for array in (
        np.zeros((20, 30), np.float32),
        np.zeros((20, 30, 4), np.uint8),
        np.zeros((20, 30, 3), np.uint16),
        np.zeros(20, np.uint8),
    ):
        with pytest.raises(ValueError, match="no PNG"):
            png_bytes(array)
    with pytest.raises(ValueError, match="no TIFF"):
        tiff_bytes(np.zeros(20))
    with pytest.raises(ValueError, match="no TIFF"):
        tiff_bytes(np.zeros((20, 30)), axes="CYX")
