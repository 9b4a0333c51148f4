"""Whatever kind of image file people have arrives as (pages, channels, height, width)."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image, ImageOps

from napari_noisyseg.annotation.images import read_image, read_mask, read_raster
from napari_noisyseg.errors import UserError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (20, 30, 1), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tiff(array: np.ndarray, **settings) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **settings)
    return buffer.getvalue()


def channels_last(path: Path) -> np.ndarray:
    """Read a picture of one page as (height, width) or (height, width, channels)."""
    pixels = read_image(path)
    assert pixels.ndim == 4
    assert len(pixels) == 1
    assert pixels.flags.c_contiguous
    pixels = np.moveaxis(pixels[0], 0, -1)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *, interlace: int = 0):
    def chunk(name: bytes, body: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + end

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_and_rgb_keep_their_values(tmp_path: Path, suffix: str) -> None:
    for pixels in (GREY, RGB):
        path = tmp_path / f"x.{suffix}"
        Image.fromarray(pixels).save(path)
        assert_array_equal(channels_last(path), pixels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_is_left_out_of_grey_and_colour(tmp_path: Path, suffix: str) -> None:
    for pixels in (GREY[:, :, None], RGB):
        path = tmp_path / f"x.{suffix}"
        Image.fromarray(np.concatenate([pixels, ALPHA], axis=2)).save(path)
        assert_array_equal(channels_last(path), pixels.squeeze())


def test_png_with_16_bits_keeps_all_of_them(tmp_path: Path) -> None:
    grey_alpha = DEEP[:, :, :2]
    rgba = np.dstack([DEEP, DEEP[:, :, 0]])
    for pixels, expected in (
        (DEEP[:, :, 0], DEEP[:, :, 0]),
        (grey_alpha, DEEP[:, :, 0]),
        (DEEP, DEEP),
        (rgba, DEEP),
    ):
        encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels))
        found = channels_last(written(tmp_path / "x.png", encoded))
        assert found.dtype == np.uint16
        assert_array_equal(found, expected)


@pytest.mark.parametrize("depth", [2, 4])
def test_png_with_two_or_four_bits_is_as_bright_as_one_with_eight(
    tmp_path: Path, depth: int
) -> None:
    row = bytes(range(0, 256, 255 // (2**depth - 1)))  # every grey value once
    packed = np.packbits(
        np.unpackbits(np.arange(2**depth, dtype=np.uint8)[:, None], axis=1)[:, -depth:]
    )
    if depth == 2:
        row, packed = row * 2, np.tile(packed, 2)
    path = written(tmp_path / "x.png", png(len(row), 9, depth, 0, (b"\0" + packed.tobytes()) * 9))
    assert_array_equal(channels_last(path), np.tile(np.frombuffer(row, np.uint8), (9, 1)))


def test_an_interlaced_png_is_put_together(tmp_path: Path) -> None:
    rows = b""
    for top, left, down, across in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in RGB[top::down, left::across])
    path = written(tmp_path / "x.png", png(30, 20, 8, 2, rows, interlace=1))
    assert_array_equal(channels_last(path), RGB)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    for suffix in ("png", "bmp", "tif", "npy"):
        path = tmp_path / f"x.{suffix}"
        if suffix == "npy":
            np.save(path, GREY > 100)
        else:
            Image.fromarray(GREY > 100).save(path)
        found = channels_last(path)
        assert found.dtype == np.uint8
        assert_array_equal(found, np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_coloured_palette_becomes_rgb_and_a_grey_one_grey(tmp_path: Path, suffix: str) -> None:
    indices = Image.fromarray(GREY % 3)
    colours = np.array([[9, 9, 9], [255, 0, 10], [0, 200, 7]], np.uint8)
    for palette in (colours, colours[:, :1].repeat(3, axis=1)):
        picture = Image.frombytes("P", indices.size, indices.tobytes())
        picture.putpalette(palette.tobytes())
        path = tmp_path / f"x.{suffix}"
        picture.save(path)
        expected = palette[GREY % 3]
        if palette is not colours:
            expected = expected[:, :, 0]
        assert_array_equal(channels_last(path), expected)


def test_jpeg_reads_as_other_programs_read_it(tmp_path: Path) -> None:
    for mode, settings in (
        ("L", {}),
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"subsampling": 0, "quality": 100, "restart_marker_blocks": 2}),
        ("CMYK", {}),
    ):
        path = tmp_path / "x.jpg"
        Image.fromarray(RGB).convert(mode).save(path, **settings)
        with Image.open(path) as picture:
            expected = np.asarray(picture.convert("L" if mode == "L" else "RGB"))
        assert_array_equal(channels_last(path), expected)


def test_what_follows_the_end_of_a_jpeg_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(RGB).save(path)
    alone = read_image(path)
    path.write_bytes(path.read_bytes() * 2 + b"a note of the camera's")
    assert_array_equal(read_image(path), alone)


def test_the_format_is_told_by_the_content_and_not_by_the_name(tmp_path: Path) -> None:
    jpeg, named = io.BytesIO(), tmp_path / "x.png"
    Image.fromarray(RGB).save(jpeg, "JPEG")
    written(tmp_path / "x.jpg", jpeg.getvalue())
    written(named, jpeg.getvalue())
    assert_array_equal(read_image(named), read_image(tmp_path / "x.jpg"))
    assert_array_equal(channels_last(written(named, tiff(GREY))), GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_as_their_exif_orientation_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    for path, settings in (
        (tmp_path / "x.jpg", {"exif": exif}),
        (tmp_path / "x.png", {"exif": exif}),
        (tmp_path / "x.tif", {"tiffinfo": {274: orientation}}),
    ):
        Image.fromarray(RGB).save(path, **settings)
        with Image.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture))
        assert_array_equal(channels_last(path), expected)
        assert read_raster(path).turned == (orientation > 4)


def test_a_damaged_exif_note_takes_nothing_from_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(RGB).save(path)
    plain = path.read_bytes()
    for note in (
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\0\x09\x01\x12",
        b"junk" * 9,
    ):
        block = b"Exif\0\0" + note
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        assert channels_last(written(path, plain[:2] + segment + plain[2:])).shape == RGB.shape


@pytest.mark.parametrize(
    "settings",
    [
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "rowsperstrip": 3},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "packbits"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "lzw", "rowsperstrip": 3},
    ],
    ids=str,
)
def test_every_layout_of_a_tiff_gives_the_same_pixels(tmp_path: Path, settings: dict) -> None:
    for pixels in (RGB, DEEP):
        stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in settings else pixels
        path = written(tmp_path / "x.tif", tiff(stored, photometric="rgb", **settings))
        assert_array_equal(channels_last(path), pixels)


def test_jpeg_inside_a_tiff_is_decoded(tmp_path: Path) -> None:
    for settings in ({}, {"tile": (16, 16)}, {"photometric": "ycbcr"}):
        content = tiff(RGB, compression="jpeg", **({"photometric": "rgb"} | settings))
        path = written(tmp_path / "x.tif", content)
        assert_array_equal(channels_last(path), tifffile.imread(path))


def test_cmyk_in_a_tiff_becomes_rgb(tmp_path: Path) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:4, :, 0] = 255  # cyan takes the red
    inks[4:8, :, 3] = 255  # black takes everything
    path = written(tmp_path / "x.tif", tiff(inks, photometric="separated"))
    assert_array_equal(channels_last(path)[[0, 4, 8], 0], [[0, 255, 255], [0, 0, 0], [255] * 3])


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "raw"])
def test_black_and_white_tiffs_of_scanners_keep_white_white(
    tmp_path: Path, compression: str
) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(GREY > 100).save(path, compression=compression)
    assert_array_equal(channels_last(path), np.where(GREY > 100, 255, 0))
    with tifffile.TiffFile(path, mode="r+") as tiff_file:
        tiff_file.pages[0].tags["PhotometricInterpretation"].overwrite(0)  # 0 is white
    assert_array_equal(channels_last(path), np.where(GREY > 100, 0, 255))


def test_bool_arrays_saved_by_tifffile_keep_their_values(tmp_path: Path) -> None:
    content = tiff(GREY > 100)  # which notes that 0 is white
    assert_array_equal(
        channels_last(written(tmp_path / "x.tif", content)), np.where(GREY > 100, 255, 0)
    )


@pytest.mark.parametrize("settings", [{}, {"software": False}], ids=["named", "unnamed program"])
def test_every_page_of_a_bool_stack_saved_by_tifffile_keeps_its_values(
    tmp_path: Path, settings: dict
) -> None:
    stack = np.stack([level < GREY for level in (50, 100, 150, 200, 250)])
    path = written(tmp_path / "x.tif", tiff(stack, **settings))
    assert_array_equal(read_mask(path), stack)
    assert_array_equal(read_image(path)[:, 0], np.where(stack, 255, 0))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "<i2", ">u2", "<u4", "<i8", "|i1"])
def test_numbers_of_all_kinds_keep_their_values_in_native_order(tmp_path: Path, dtype: str) -> None:
    values = (GREY // 2).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    paths = [tmp_path / "x.npy"]
    if dtype != "<f2":
        paths.append(written(tmp_path / "x.tif", tiff(values, photometric="minisblack")))
    for path in paths:
        found = channels_last(path)
        native = np.dtype(dtype).newbyteorder("=")
        assert found.dtype == (np.float32 if native.kind == "f" else native)
        assert_array_equal(found, GREY // 2)


def test_array_files_of_old_python_and_of_fortran_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.asfortranarray(GREY))
    assert_array_equal(channels_last(tmp_path / "f.npy"), GREY)
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (20L, 30L), }\n"
    content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + GREY.tobytes()
    assert_array_equal(channels_last(written(tmp_path / "old.npy", content)), GREY)


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, None),
        (16, (0xF800, 0x07E0, 0x001F)),
        (32, None),
        (32, (0xFF, 0xFF00, 0xFF0000)),
    ],
)
def test_bmp_with_16_and_32_bits_finds_its_colours(
    tmp_path: Path, bits: int, masks: tuple[int, int, int] | None
) -> None:
    pure = masks or ((0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF))
    words = np.zeros((10, 9), f"<u{bits // 8}")
    words[0, :3] = pure  # a red, a green and a blue pixel in the top row
    stored = np.pad(words, ((0, 0), (0, 1)))[::-1].tobytes()
    table = struct.pack("<III", *masks) if masks else b""
    header = struct.pack("<IiiHHIIiiII", 40, 9, 10, 1, bits, 3 if masks else 0, 0, 0, 0, 0, 0)
    if bits == 32:
        stored = words[::-1].tobytes()
    start = 14 + 40 + len(table)
    content = b"BM" + struct.pack("<IHHI", start + len(stored), 0, 0, start)
    found = channels_last(written(tmp_path / "x.bmp", content + header + table + stored))
    assert_array_equal(found[0, :3], np.eye(3) * 255)
    assert not found[1:].any()
    assert not found[0, 3:].any()


def test_bmp_from_the_top_down_is_not_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "x.bmp"
    Image.fromarray(RGB).save(path)
    content = bytearray(path.read_bytes())
    rows = np.frombuffer(bytes(content[54:]), np.uint8).reshape(20, -1)
    content[22:26] = struct.pack("<i", -20)
    content[54:] = rows[::-1].tobytes()
    assert_array_equal(channels_last(written(path, bytes(content))), RGB)


@pytest.mark.parametrize(
    "name",
    ["a b.png", "é ü.png", 'it\'s "q".v1.2.png', "<b>x<b>.PNG", "=1+1.png", "two\nlines.png"],
)
def test_any_name_is_read_and_shown_on_one_line(tmp_path: Path, name: str) -> None:
    if os.name == "nt" and set(name) & set('<>"\n'):
        pytest.skip("Windows has no such names")
    path = tmp_path / name
    Image.fromarray(GREY).save(path)
    assert_array_equal(channels_last(path), GREY)
    path.write_text("no picture")
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert name.replace("\n", "\\n") in str(caught.value)


def test_the_shared_photographs_and_radiographs_are_read_as_pillow_reads_them() -> None:
    folders = [DATA / "dermoscopy" / "images", DATA / "chest_xray" / "images"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"the shared data are not at {DATA}")
    for folder in folders:
        for path in sorted(folder.iterdir())[:20]:
            with Image.open(path) as picture:
                assert_array_equal(channels_last(path), np.asarray(picture))
