"""Headers that promise what the file does not hold are not believed."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from napari_noisyseg.annotation.images import MAX_SAMPLES, read_image
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


def retagged(content: bytes, tag: str, value: int, page: int = 0) -> bytes:
    """Put another number in the place of a TIFF tag's value."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        found = file.pages[page].tags[tag]
        where, kind = found.valueoffset, "<H" if found.dtype == 3 else "<I"
    changed = bytearray(content)
    struct.pack_into(kind, changed, where, value)
    return bytes(changed)


def pages(count: int = 5, **settings) -> bytes:
    """Return a TIFF whose pages follow each other, as most programs write them."""
    buffer = io.BytesIO()
    pictures = [Image.fromarray(page) for page in STACK[:count]]
    pictures[0].save(buffer, "TIFF", save_all=True, append_images=pictures[1:], **settings)
    return buffer.getvalue()


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(pillow(RGB, "JPEG"))
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 65000, 65000)
    bmp = bytearray(pillow(RGB, "BMP"))
    struct.pack_into("<ii", bmp, 18, 60000, 60000)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}\n"
    side = int(MAX_SAMPLES**0.5) + 1
    lines = retagged(retagged(tiff(GREY), "ImageWidth", side), "ImageLength", side)
    inner = tiff(RGB, compression="jpeg", photometric="rgb")
    jpeg_frame = inner.index(b"\xff\xc0") + 5
    return {
        "PNG": png(60000, 60000, bytes(10**6)),
        "PNG just too large": png(side, side, bytes(10**6)),
        "wide PNG": png(2_000_000, 1, bytes(10**6)),
        "JPEG": bytes(jpeg),
        "BMP": bytes(bmp),
        "npy": b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header,
        "TIFF": lines,
        "TIFF with many samples": retagged(
            retagged(tiff(GREY), "ImageWidth", 60000), "SamplesPerPixel", 60000
        ),
        "TIFF with a huge tile": retagged(
            tiff(RGB, compression="zlib", tile=(16, 16)), "TileWidth", 2**30
        ),
        "JPEG in TIFF": inner[:jpeg_frame]
        + struct.pack(">HH", 65000, 65000)
        + inner[jpeg_frame + 4 :],
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_file_that_would_unpack_to_gigabytes_is_refused_before_it_does(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(bombs()[kind])
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_data_that_unpack_to_more_than_the_picture_stay_packed(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(20, 20, bytes(10**8)))
    tracemalloc.start()
    try:
        assert read_image(tmp_path / "x.png").shape == (1, 1, 20, 20)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(5 * 2**30)
    assert "is too large (5369 MB)" in refusal(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("StripOffsets", 10**6),
        ("StripOffsets", 800),
        ("StripOffsets", 0),
        ("StripByteCounts", 10**6),
        ("StripByteCounts", 0),
        ("StripByteCounts", 10),
        ("ImageWidth", 5000),
        ("ImageWidth", 0),
        ("ImageLength", 5000),
        ("RowsPerStrip", 1),
        ("RowsPerStrip", 0),
        ("SamplesPerPixel", 3),
        ("SamplesPerPixel", 0),
        ("BitsPerSample", 64),
        ("BitsPerSample", 13),
        ("Compression", 5),
        ("Compression", 34712),
        ("Compression", 9999),
        ("PhotometricInterpretation", 3),
        ("PhotometricInterpretation", 6),
        ("PhotometricInterpretation", 8),
    ],
)
def test_a_tiff_whose_tags_lie_is_refused(tmp_path: Path, tag: str, value: int) -> None:
    refused(tmp_path / "x.tif", retagged(tiff(GREY), tag, value))


def test_a_tiff_whose_pages_form_a_circle_is_refused(tmp_path: Path) -> None:
    content = bytearray(pages(3))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        first, _, last = (page.offset for page in file.pages)
    (entries,) = struct.unpack_from("<H", content, last)
    struct.pack_into("<I", content, last + 2 + 12 * entries, first)
    assert "no end" in refused(tmp_path / "x.tif", bytes(content))


def test_a_tiff_without_pages_is_refused(tmp_path: Path) -> None:
    assert "holds no page" in refused(tmp_path / "x.tif", b"II*\0" + bytes(60))
    refused(tmp_path / "x.tif", b"II*\0\x08\0\0\0\xff\xff" + bytes(10**6))


@pytest.mark.parametrize(
    ("content", "claimed", "held"),
    [
        (tiff(GREY, imagej=True).replace(b"images=1\n", b"images=9\n"), 9, 1),
        (tiff(STACK, imagej=True).replace(b"images=5\n", b"images=8\n"), 8, 5),
        (tiff(STACK).replace(b"[5, 20", b"[7, 20"), 7, 5),
        (tiff(GREY, ome=True).replace(b'SizeZ="1"', b'SizeZ="6"'), 6, 1),
    ],
    ids=["ImageJ", "ImageJ stack", "tifffile", "OME"],
)
def test_a_description_that_claims_more_pages_than_there_are_is_refused(
    tmp_path: Path, content: bytes, claimed: int, held: int
) -> None:
    message = refused(tmp_path / "x.tif", content)
    assert f"states {claimed} pages and it holds {held}" in message


def test_pages_of_different_sizes_and_kinds_are_refused_but_thumbnails_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.tif"
    for second, settings, message in (
        (GREY[:10], {}, "different sizes"),
        (GREY.astype(np.uint16), {}, "different sizes or depths"),
        (GREY[::2, ::2], {"subfiletype": 1}, None),
    ):
        with tifffile.TiffWriter(path) as writer:
            writer.write(GREY)
            writer.write(second, **settings)
        if message:
            assert message in refusal(path)
        else:
            assert_array_equal(read_image(path)[0, 0], GREY)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((20, 20), complex), "complex numbers"),
        (np.zeros((20, 20), [("a", "f4")]), "named columns"),
        (np.zeros((20, 20), "U3"), "no numbers"),
        (np.zeros((20, 20), "M8[s]"), "no numbers"),
        (np.zeros(20), "1 axes"),
        (np.zeros((1, 1, 1, 20, 20)), "5 axes"),
        (np.zeros((0, 20)), "size of zero"),
    ],
)
def test_an_array_that_is_no_picture_is_refused(
    tmp_path: Path, array: np.ndarray, reason: str
) -> None:
    assert reason in refused(tmp_path / "x.npy", npy(array))


@pytest.mark.parametrize(
    "fields",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-20, 30)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': 600}",
        "{'descr': '|u1', 'fortran_order': 7, 'shape': (20, 30)}",
        "{'descr': '|u1', 'shape': (20, 30)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (True, 30)}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (20, 30)}",
        "[1, 2]",
        "(" * 5000,
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1" + "0" * 4000 + ", 30)}",
        "",
    ],
    ids=range(10),
)
def test_an_array_file_with_a_senseless_header_is_refused(tmp_path: Path, fields: str) -> None:
    header = fields.encode() + b"\n"
    content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + GREY.tobytes()
    refused(tmp_path / "x.npy", content)


def test_an_array_file_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    assert "longer" in refused(tmp_path / "x.npy", npy(GREY) + b"more")
