"""A mask's file with some pixels changed: the same format, kind and size, and nothing else different."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_decode, png_encode
from PIL import Image

from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.mask_rewriting import PixelChange, rewritten

HEIGHT, WIDTH = 20, 26


def mask(high: int, pages: int = 0) -> np.ndarray:
    array = np.zeros((HEIGHT, WIDTH), np.uint8)
    array[3:12, 5:20] = high
    return np.stack([array] * pages) if pages else array


def change(value: int, page: int = 0) -> PixelChange:
    region = np.zeros((4, 5), bool)
    region[1:, :3] = True
    return PixelChange(page, (slice(13, 17), slice(2, 7)), region, value)


def palette(path: Path) -> None:
    image = Image.fromarray(mask(1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path)


def rgba(alpha: int = 128, kind: type = np.uint8) -> np.ndarray:
    layers = np.stack([mask(200).astype(kind)] * 4, -1)
    layers[..., 3] = alpha
    layers[0, 0, 3] = alpha // 2
    return layers


def palette_tiff(path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[0, 1], colours[1, 2] = 65535, 256 * 77
    tifffile.imwrite(path, mask(1), photometric="palette", colormap=colours)


def scanned(path: Path) -> None:
    """Save white as 0, and do not tell of tifffile."""
    tifffile.imwrite(
        path, mask(1) == 0, photometric="miniswhite", metadata=None, software="A scanner"
    )


def ome(path: Path, pixels: np.ndarray, axes: str, **notes: object) -> None:
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeZ": 2.0}
    tifffile.imwrite(
        path, pixels, ome=True, photometric="minisblack", metadata={"axes": axes, **sizes, **notes}
    )


def colour_key(path: Path) -> None:
    Image.fromarray(mask(255)).save(path, transparency=0)


def clear_palette(path: Path) -> None:
    palette(path)
    with Image.open(path) as image:
        image.save(path, transparency=bytes([9, 255]))


WRITERS = {
    "rgba.png": (lambda p: Image.fromarray(rgba()).save(p), 200),
    "rgba_deep.png": (lambda p: p.write_bytes(png_encode(rgba(300, np.uint16))), 200),
    "la.png": (lambda p: Image.fromarray(rgba()[..., 2:]).save(p), 200),
    "key.png": (colour_key, 255),
    "palette_clear.png": (clear_palette, 1),
    "rgba.tif": (lambda p: tifffile.imwrite(p, rgba(), photometric="rgb", extrasamples=[2]), 200),
    "rgba_stack.tif": (lambda p: tifffile.imwrite(p, np.stack([rgba()] * 2), photometric="rgb"), 200),
    "la.tif": (
        lambda p: tifffile.imwrite(
            p, rgba()[..., 2:], photometric="minisblack", planarconfig="contig", extrasamples=[1]
        ),
        200,
    ),
    "rgba.npy": (lambda p: np.save(p, rgba()), 200),
    "grey.png": (lambda p: Image.fromarray(mask(255)).save(p), 255),
    "bits.png": (lambda p: Image.fromarray(mask(1).astype(bool)).save(p), 1),
    "palette.png": (palette, 1),
    "palette_new.png": (palette, 7),
    "rgb.png": (lambda p: Image.fromarray(np.stack([mask(255)] * 3, -1)).save(p), 255),
    "deep.png": (lambda p: Image.fromarray(mask(1).astype(np.uint16) * 900).save(p), 900),
    "wider.png": (lambda p: Image.fromarray(mask(1)).save(p), 300),
    "a.bmp": (lambda p: Image.fromarray(mask(255)).save(p), 255),
    "a.jpg": (lambda p: Image.fromarray(mask(255)).save(p, quality=95), 255),
    "a.tif": (lambda p: tifffile.imwrite(p, mask(255), compression="lzw"), 255),
    "rgb.tif": (lambda p: tifffile.imwrite(p, np.stack([mask(255)] * 3, -1), photometric="rgb"), 255),
    "bool.tif": (lambda p: tifffile.imwrite(p, mask(1).astype(bool)), 1),
    "white.tif": (lambda p: tifffile.imwrite(p, mask(9), photometric="miniswhite"), 9),
    "scan.tif": (scanned, 1),
    "scan_wider.tif": (scanned, 3),
    "bool_wider.tif": (lambda p: tifffile.imwrite(p, mask(1).astype(bool)), 3),
    "palette.tif": (palette_tiff, 1),
    "palette_wider.tif": (palette_tiff, 300),
    "ome_channels.tif": (lambda p: ome(p, np.stack([mask(1, 3)] * 2), "CZYX"), 1),
    "ome_bool.tif": (lambda p: ome(p, mask(1).astype(bool), "YX"), 1),
    "float.tif": (lambda p: tifffile.imwrite(p, mask(2).astype(np.float32)), 2),
    "imagej.tif": (lambda p: tifffile.imwrite(p, mask(255), imagej=True), 255),
    "a.npy": (lambda p: np.save(p, mask(3).astype(np.int64)), 3),
    "bool.npy": (lambda p: np.save(p, mask(1).astype(bool)), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_only_the_named_pixels_change(tmp_path: Path, name: str):
    write, value = WRITERS[name]
    path, after = tmp_path / name, tmp_path / f"after_{name}"
    write(path)
    before, labels = path.read_bytes(), read_mask(path)
    one = change(value)
    after.write_bytes(rewritten(path, [one]))
    expected = labels.copy()
    expected[0][one.window][one.mask] = value
    assert np.array_equal(read_mask(after), expected)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [n for n in WRITERS if n.endswith(("png", "bmp", "jpg"))])
def test_a_picture_keeps_its_kind(tmp_path: Path, name: str):
    write, value = WRITERS[name]
    write(tmp_path / name)
    with Image.open(tmp_path / name) as old:
        new = Image.open(io.BytesIO(rewritten(tmp_path / name, [change(value)])))
        if name != "wider.png":
            assert (new.format, new.mode) == (old.format, old.mode)
        if old.mode == "P":
            assert new.getpalette()[:6] == old.getpalette()[:6]


@pytest.mark.parametrize("name", [n for n in WRITERS if re.match("rgba|la|key|palette_clear", n)])
def test_transparency_stays_as_it_was(tmp_path: Path, name: str):
    write, value = WRITERS[name]
    path, after = tmp_path / name, tmp_path / f"after_{name}"
    write(path)
    after.write_bytes(rewritten(path, [change(value)]))
    read = {".npy": np.load, ".tif": tifffile.imread, ".png": lambda p: png_decode(p.read_bytes())}
    old, new = read[path.suffix](path), read[path.suffix](after)
    assert (old.shape, old.dtype) == (new.shape, new.dtype)
    if path.suffix == ".png":
        with Image.open(path) as before, Image.open(after) as image:
            assert image.info.get("transparency") == before.info.get("transparency")
    if name.startswith(("rgba", "la")):
        assert np.array_equal(old[..., -1], new[..., -1])
        assert not np.array_equal(old[..., 0], new[..., 0])
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as first, tifffile.TiffFile(after) as second:
            assert second.pages.first.photometric == first.pages.first.photometric
            assert second.pages.first.extrasamples == (first.pages.first.extrasamples or (2,))


def test_alpha_is_widened_with_the_values(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(rgba()).save(path)
    (tmp_path / "new.png").write_bytes(rewritten(path, [change(300)]))
    assert png_decode((tmp_path / "new.png").read_bytes())[-1, -1, 3] == 128 * 257
    assert read_mask(tmp_path / "new.png").max() == 300


def test_a_stack_keeps_its_axes_compression_and_resolution(tmp_path: Path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        mask(1, 3),
        compression="zlib",
        resolution=(2.0, 4.0),
        resolutionunit="CENTIMETER",
        metadata={"axes": "ZYX"},
    )
    (tmp_path / "new.tif").write_bytes(rewritten(path, [change(1, page=2)]))
    assert read_mask(tmp_path / "new.tif").sum(axis=(1, 2)).tolist() == [135, 135, 144]
    with tifffile.TiffFile(tmp_path / "new.tif") as new:
        assert new.series[0].axes == "ZYX"
        assert int(new.pages.first.compression) == 8
        assert new.pages.first.resolution == (2.0, 4.0)


def test_imagej_keeps_its_spacing(tmp_path: Path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path, mask(1, 3), imagej=True, metadata={"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    )
    (tmp_path / "new.tif").write_bytes(rewritten(path, [change(1)]))
    with tifffile.TiffFile(tmp_path / "new.tif") as new:
        assert new.imagej_metadata["spacing"] == 2.5
        assert new.imagej_metadata["unit"] == "um"


def test_imagej_keeps_what_its_axes_are(tmp_path: Path):
    path, after = tmp_path / "stack.tif", tmp_path / "new.tif"
    tifffile.imwrite(path, mask(1, 3), imagej=True, metadata={"axes": "TYX", "finterval": 2.0})
    after.write_bytes(rewritten(path, [change(1)]))
    with tifffile.TiffFile(path) as old, tifffile.TiffFile(after) as new:
        assert new.series[0].axes == "TYX"
        assert new.imagej_metadata == old.imagej_metadata


@pytest.mark.parametrize(
    "name", ["bool.tif", "white.tif", "scan.tif", "palette.tif", "ome_bool.tif"]
)
def test_a_tiff_looks_as_before_to_who_believes_what_it_says_of_black(tmp_path: Path, name: str):
    write, value = WRITERS[name]
    path = tmp_path / name
    write(path)
    one = change(value)
    with Image.open(path) as old, Image.open(io.BytesIO(rewritten(path, [one]))) as new:
        assert new.mode == old.mode
        before, after = (np.asarray(image.convert("RGB")) for image in (old, new))
    expected = before.copy()
    expected[one.window][one.mask] = before[5, 5]  # an object's
    assert np.array_equal(after, expected)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("u1", {"compression": "zstd"}),
        ("u1", {"compression": "lzma", "tile": (16, 32)}),
        ("u2", {"compression": "lzw", "predictor": 2}),
        ("f4", {"compression": "zlib", "predictor": 3}),
        ("u2", {"byteorder": ">"}),
        ("u1", {"bigtiff": True}),
        ("?", {"compression": "packbits", "tile": (16, 16)}),
        ("u1", {"photometric": "rgb", "planarconfig": "separate"}),
        ("u1", {"photometric": "minisblack", "planarconfig": "separate"}),
        ("u1", {"metadata": None, "description": "three slices", "software": "mine"}),
    ],
)  # fmt: skip
def test_a_tiff_is_stored_as_before(tmp_path: Path, kind: str, options: dict[str, object]):
    path, after = tmp_path / "a.tif", tmp_path / "after.tif"
    tifffile.imwrite(path, mask(1, 3).astype(kind), **{"photometric": "minisblack", **options})
    after.write_bytes(rewritten(path, [change(1)]))
    assert after.read_bytes() != path.read_bytes()
    with tifffile.TiffFile(path) as old, tifffile.TiffFile(after) as new:
        assert (new.byteorder, new.is_bigtiff) == (old.byteorder, old.is_bigtiff)
        assert len(new.pages) == len(old.pages)
        for code in (258, 259, 262, 270, 277, 284, 305, 317, 322, 323, 338, 339):
            assert new.pages.first.tags.valueof(code) == old.pages.first.tags.valueof(code), code


@pytest.mark.parametrize(("value", "kind"), [(1, "uint8"), (300, "uint16")])
def test_ome_keeps_its_notes(tmp_path: Path, value: int, kind: str):
    path, after = tmp_path / "a.ome.tif", tmp_path / "after.ome.tif"
    ome(path, mask(1, 3), "TYX", Channel={"Name": "cells"}, SignificantBits=8)
    after.write_bytes(rewritten(path, [change(value)]))
    with tifffile.TiffFile(path) as old, tifffile.TiffFile(after) as new:
        assert (new.series[0].axes, new.series[0].dtype) == ("TYX", np.dtype(kind))
        xml = new.ome_metadata
        assert 'PhysicalSizeXUnit="µm"' in xml
        wider = old.ome_metadata.replace('"uint8"', f'"{kind}"')
        if value > 255:
            wider = wider.replace(' SignificantBits="8"', "")
        assert xml == wider


def test_pages_that_describe_themselves_become_a_stack_that_is_described(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path, after = tmp_path / "a.tif", tmp_path / "after.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in mask(1, 3):
            writer.write(page, contiguous=False)
    after.write_bytes(rewritten(path, [change(1)]))
    assert tifffile.imread(after).shape == (3, HEIGHT, WIDTH)
    assert not caplog.records


def test_what_cannot_be_written_as_it_was_becomes_deflate(tmp_path: Path):
    path = tmp_path / "fax.tif"
    Image.fromarray(mask(1).astype(bool)).save(path, compression="group4")
    with tifffile.TiffFile(io.BytesIO(rewritten(path, [change(1)]))) as new:
        assert int(new.pages.first.compression) == 8
        assert new.pages.first.bitspersample == 1


@pytest.mark.parametrize(("value", "kind"), [(1, ">i2"), (65_535, ">u2")])
def test_an_array_file_keeps_its_orders(tmp_path: Path, value: int, kind: str):
    path = tmp_path / "a.npy"
    np.save(path, np.asfortranarray(mask(1).astype(">i2")))
    new = np.load(io.BytesIO(rewritten(path, [change(value)])))
    assert new.dtype == np.dtype(kind)
    assert new.flags.f_contiguous
    assert new[15, 3] == value
