"""Damaged files are refused in one sentence, and sound ones beside them are read."""

from __future__ import annotations

import errno
import io
import logging
import os
import random
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from napari_noisyseg.annotation.images import read_image, read_raster
from napari_noisyseg.errors import UserError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
STACK = RANDOM.integers(0, 256, (5, 20, 30), dtype=np.uint8)


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd: pytest.CaptureFixture[str]):
    """Neither Python nor the C libraries beneath may write to the terminal."""
    yield
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def refusal(path: Path) -> str:
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert path.name in message
    assert len(message) <= 300
    assert "\n" not in message
    return message


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return refusal(path)


def pillow(pixels: np.ndarray, kind: str, **settings) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return buffer.getvalue()


def tiff(array: np.ndarray, **settings) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **settings)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    end = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + end


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0, extra=b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + extra + data + chunk(b"IEND", b"")


def pages(count: int = 5, **settings) -> bytes:
    """Return a TIFF whose pages follow each other, as most programs write them."""
    buffer = io.BytesIO()
    pictures = [Image.fromarray(page) for page in STACK[:count]]
    pictures[0].save(buffer, "TIFF", save_all=True, append_images=pictures[1:], **settings)
    return buffer.getvalue()


WHOLE = {
    "png": pillow(RGB, "PNG"),
    "jpeg": pillow(RGB, "JPEG"),
    "progressive": pillow(RGB, "JPEG", progressive=True),
    "bmp": pillow(RGB, "BMP"),
    "npy": npy(GREY),
    "plain": tiff(GREY),
    "lzw": tiff(GREY, compression="lzw"),
    "deflate": tiff(RGB, compression="zlib", tile=(16, 16)),
    "in-tiff": tiff(RGB, compression="jpeg", photometric="rgb"),
    "pages": pages(),
    "imagej": tiff(STACK, imagej=True, metadata={"axes": "ZYX"}),
    "big": tiff(STACK, bigtiff=True, compression="zlib"),
}


def pixels_of(path: Path) -> np.ndarray | None:
    """Return what is read, or None where the file is properly refused."""
    try:
        return read_raster(path).pixels
    except UserError as error:
        message = str(error)
    assert path.name in message
    assert len(message) <= 300
    assert "\n" not in message
    return None


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, kind: str) -> None:
    content = WHOLE[kind]
    path = tmp_path / "x.png"
    path.write_bytes(content)
    whole = read_raster(path).pixels
    step = max(len(content) // 150, 1)
    for length in {*range(1, len(content), step), len(content) - 1}:
        path.write_bytes(content[:length])
        found = pixels_of(path)
        if found is not None:
            # Nothing but bytes that fill up the end of some TIFF files may be missing.
            assert len(content) - length <= 16
            assert_array_equal(found, whole)


def test_a_tiff_whose_later_pages_are_cut_off_is_refused(tmp_path: Path) -> None:
    content = pages()
    for share in (0.3, 0.5, 0.7, 0.9):
        message = refused(tmp_path / "x.tif", content[: int(len(content) * share)])
        assert "is cut short" in message
        assert "page" in message


def test_a_jpeg_that_ends_too_early_but_properly_is_refused(tmp_path: Path) -> None:
    for settings in ({}, {"quality": 100}, {"restart_marker_blocks": 2}):
        content = pillow(RGB, "JPEG", **settings)
        start = content.index(b"\xff\xda") + 14
        for share in (0.0, 0.3, 0.6, 0.9):
            cut = start + int(share * (len(content) - start))
            assert "cut short" in refused(tmp_path / "x.jpg", content[:cut] + b"\xff\xd9")


def test_a_jpeg_with_a_larger_size_in_its_header_than_in_its_data_is_refused(
    tmp_path: Path,
) -> None:
    content = bytearray(WHOLE["jpeg"])
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, 1000, 1000)
    assert "cut short" in refused(tmp_path / "x.jpg", bytes(content))


def test_a_flipped_bit_in_a_png_is_found(tmp_path: Path) -> None:
    content = WHOLE["png"]
    for name in (b"IHDR", b"IDAT"):
        changed = bytearray(content)
        changed[content.index(name) + 9] ^= 1
        assert "damaged" in refused(tmp_path / "x.png", bytes(changed))


def test_a_png_with_rows_missing_inside_sound_chunks_is_refused(tmp_path: Path) -> None:
    assert "rows are missing" in refused(tmp_path / "x.png", png(20, 20, bytes(21 * 15)))


def test_a_png_with_nonsense_in_sound_chunks_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "x.png", png(20, 20, b"\x09" * 21 * 20))  # a filter that does not exist
    refused(tmp_path / "x.png", png(20, 20, bytes(21 * 20), depth=3))
    refused(tmp_path / "x.png", png(20, 20, bytes(21 * 20), colour=3))  # its palette is missing
    refused(tmp_path / "x.png", png(20, 20, bytes(21 * 20)).replace(b"IHDR", b"IDAT"))


def test_an_index_beyond_the_palette_is_refused_in_an_image(tmp_path: Path) -> None:
    content = png(8, 8, bytes([0] + [9] * 8) * 8, colour=3, extra=chunk(b"PLTE", bytes(6)))
    assert "palette" in refused(tmp_path / "x.png", content)


def test_harmless_metadata_does_not_keep_a_picture_from_being_read(tmp_path: Path) -> None:
    extra = chunk(b"iCCP", b"junk\0\0" + zlib.compress(bytes(10**7)))
    extra += chunk(b"tEXt", b"x" * 10**6) + chunk(b"eXIf", b"MM junk") + chunk(b"sRGB", b"\x09")
    (tmp_path / "x.png").write_bytes(png(20, 20, bytes(21 * 20), extra=extra))
    assert read_image(tmp_path / "x.png").shape == (1, 1, 20, 20)
    content = tiff(
        GREY, description="ImageJ=1.5\nimages=x\n", extratags=[(65000, 7, 3, b"abc", True)]
    )
    (tmp_path / "x.tif").write_bytes(content)
    assert read_image(tmp_path / "x.tif").shape == (1, 1, 20, 30)


@pytest.mark.parametrize("kind", WHOLE)
def test_random_damage_is_read_or_refused_and_nothing_else(tmp_path: Path, kind: str) -> None:
    chance = random.Random(kind)
    for _ in range(150):
        content = bytearray(WHOLE[kind])
        for _ in range(chance.choice((1, 2, 8))):
            end = len(content) if chance.random() < 0.5 else min(len(content), 300)
            content[chance.randrange(end)] = chance.choice((0, 255, chance.randrange(256)))
        path = tmp_path / "x.png"
        path.write_bytes(content)
        pixels_of(path)


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-np.inf, "NaN or infinite"),
     (1e300, "numbers as large as 1e+300"), (-4e38, "numbers as large as 4e+38")],
)  # fmt: skip
def test_nan_infinite_and_oversized_values_are_refused(
    tmp_path: Path, value: float, what: str
) -> None:
    pixels = GREY.astype(np.float64)
    pixels[3, 4] = value
    for name, content in (("x.npy", npy(pixels)), ("x.tif", tiff(pixels))):
        assert what in refused(tmp_path / name, content)


def test_images_of_a_few_pixels_are_refused(tmp_path: Path) -> None:
    for shape in ((1, 1), (1, 100), (7, 7)):
        message = refused(tmp_path / "x.png", pillow(np.zeros(shape, np.uint8), "PNG"))
        assert f"{shape[1]} x {shape[0]} pixels" in message
    assert "1 x 1" in refused(tmp_path / "x.npy", npy(np.zeros((1, 1))))


def test_rare_kinds_of_known_formats_are_refused_by_name(tmp_path: Path) -> None:
    bmp = bytearray(pillow(GREY, "BMP"))
    struct.pack_into("<I", bmp, 30, 1)  # run-length compression
    assert "compressed or unusual BMP" in refused(tmp_path / "x.bmp", bytes(bmp))
    jpeg = bytearray(WHOLE["jpeg"])
    jpeg[jpeg.index(b"\xff\xc0") + 4] = 12
    assert "JPEG of 12 bits" in refused(tmp_path / "x.jpg", bytes(jpeg))
    assert "bits per sample" in refused(tmp_path / "x.tif", tiff(GREY.astype(np.complex64)))


def test_threads_do_not_disturb_each_other_and_global_state_stays(tmp_path: Path) -> None:
    state = (Image.MAX_IMAGE_PIXELS, list(logging.getLogger("tifffile").filters))
    sound, damaged = tmp_path / "sound.tif", tmp_path / "damaged.tif"
    sound.write_bytes(WHOLE["pages"])
    # An unknown type of tag, about which tifffile logs an error.
    content = bytearray(WHOLE["plain"])
    start = struct.unpack_from("<I", content, 4)[0]
    content[start + 2 + 12 + 2] = 99
    damaged.write_bytes(content)

    def work(number: int) -> bool:
        if number % 2:
            return bool((read_image(sound)[:, 0] == STACK).all())
        with pytest.raises(UserError):
            read_image(damaged)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    assert (Image.MAX_IMAGE_PIXELS, list(logging.getLogger("tifffile").filters)) == state


def test_what_others_log_about_tiffs_is_still_heard(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tifffile").warning("theirs")
    assert "theirs" in caplog.text


def test_a_big_sound_picture_beyond_pillows_own_limit_is_read(tmp_path: Path) -> None:
    side = int((Image.MAX_IMAGE_PIXELS or 0) ** 0.5) + 100
    (tmp_path / "x.jpg").write_bytes(pillow(np.zeros((side, side), np.uint8), "JPEG"))
    assert read_image(tmp_path / "x.jpg").shape == (1, 1, side, side)


def test_an_error_of_the_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingDisk(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "x.png").write_bytes(WHOLE["png"])
    monkeypatch.setattr("napari_noisyseg.annotation.rasters.open_regular", FailingDisk)
    assert os.strerror(errno.EIO).lower() in refusal(tmp_path / "x.png")
