"""Change single pixels of a mask's file and keep everything else: values, format, size, axes.

Of a file only what a mask is read from survives, and the transparency of PNG and TIFF: comments and
EXIF notes do not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_noisyseg.annotation.axes import arranged
from napari_noisyseg.annotation.formats.raster import Raster
from napari_noisyseg.annotation.mask_values import mask_layout
from napari_noisyseg.annotation.rasters import open_image_file, read_raster

_AXES = {"YX": "YX", "YXC": "YXS", "CYX": "CYX", "PYX": "ZYX", "PCYX": "ZCYX", "PYXC": "ZYXS"}
_PLAIN_ALPHA = 2  # TIFF's name for alpha that the colours are not multiplied with; 1 if they are
_TIFF_COMPRESSIONS = {1: None, 5: "lzw", 8: "zlib", 32946: "zlib", 32773: "packbits"}


@dataclass(frozen=True)
class PixelChange:
    """Some pixels of one page that get another class value.

    Attributes
    ----------
    page
        From 0.
    window
        Rows and columns.
    mask
        The pixels within the window, bool.
    value
        The class value that they get, as `napari_noisyseg.annotation.images.read_mask` reads it.
    """

    page: int
    window: tuple[slice, slice]
    mask: NDArray[np.bool_]
    value: int


def rewritten(path: Path, changes: Sequence[PixelChange]) -> bytes:
    """Return the content of a mask's file with some pixels changed.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, TIFF or npy; it is told by its content and stays untouched.
    changes
        What to change, in this order.

    Returns
    -------
    bytes
        A file of the same format and kind (grey, palette, one bit, colour; TIFF compression and
        resolution). Samples become wider only where a value needs it.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    raster = read_raster(path)
    highest = max((change.value for change in changes), default=0)
    pixels = _wide_enough(raster.pixels, highest)
    layout = mask_layout(path, raster)
    if raster.lossy:  # blurred outlines would stay where pixels have changed
        pixels = np.where(pixels > 127, pixels.dtype.type(255), pixels.dtype.type(0))
    view = arranged(pixels, layout)
    for change in changes:
        part = view[change.page][: 3 if view.shape[1] == 4 else None]  # alpha is no class
        part = part[:, change.window[0], change.window[1]]
        part[:, change.mask] = change.value
    with open_image_file(path) as file:
        head = file.read(8)
    if head.startswith(b"\x93NUMPY"):
        buffer = io.BytesIO()
        np.save(buffer, pixels, allow_pickle=False)
        return buffer.getvalue()
    if head.startswith((b"II", b"MM")):
        return _tiff(path, raster, pixels, layout)
    kind = "BMP" if head.startswith(b"BM") else "JPEG" if head.startswith(b"\xff\xd8") else "PNG"
    return _picture(kind, path, raster, pixels)


def _wide_enough(pixels: NDArray[Any], highest: int) -> NDArray[Any]:
    """Return a copy whose type can hold a value."""
    kind = pixels.dtype.kind
    if kind == "f" or (kind == "b" and highest <= 1):
        return pixels.copy()
    if kind in "ui" and highest <= np.iinfo(pixels.dtype).max:
        return pixels.copy()
    return pixels.astype(np.uint8 if highest < 256 else np.uint16)


def _with_alpha(raster: Raster, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return samples with the channels last, the file's alpha after them."""
    assert raster.alpha is not None
    alpha = raster.alpha
    if alpha.dtype == np.uint8 and pixels.dtype == np.uint16:  # made wider for a value
        alpha = alpha.astype(np.uint16) * np.uint16(257)
    if pixels.ndim == alpha.ndim:
        pixels = pixels[..., None]
    return np.concatenate([pixels, alpha[..., None].astype(pixels.dtype, copy=False)], -1)


def _picture(kind: str, path: Path, raster: Raster, pixels: NDArray[Any]) -> bytes:
    if kind == "PNG":
        return _with_transparency(_png(raster, pixels), path)
    return _saved(kind, raster, pixels)


def _png(raster: Raster, pixels: NDArray[Any]) -> bytes:
    if raster.palette is not None or pixels.dtype == np.bool_:
        return _saved("PNG", raster, pixels)
    if raster.alpha is not None:
        pixels = _with_alpha(raster, pixels)
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def _with_transparency(png: bytes, path: Path) -> bytes:
    """Return a PNG with the transparent colours or indices that a file states."""
    with open_image_file(path) as file:
        kept = [chunk for name, _, chunk in _chunks(file.read()) if name == b"tRNS"][:1]
    place = next(start for name, start, _ in _chunks(png) if name == b"IDAT")
    return png[:place] + b"".join(kept) + png[place:]


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield name, place and whole of each chunk."""
    start = 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        yield png[start + 4 : start + 8], start, png[start:end]
        start = end


def _saved(kind: str, raster: Raster, pixels: NDArray[Any]) -> bytes:
    samples = np.ascontiguousarray(pixels)
    image = Image.fromarray(samples if raster.palette is None else samples.astype(np.uint8))
    if raster.palette is not None:
        colours = raster.palette
        missing = int(pixels.max(initial=0)) + 1 - len(colours)
        if missing > 0:  # a class that this picture has no colour for
            colours = np.concatenate([colours, np.full((missing, 3), 255, np.uint8)])
        image.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    # JPEG at its finest, because a mask is two flat colours.
    finest = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    image.save(buffer, format=kind, **finest)
    return buffer.getvalue()


def _tiff(path: Path, raster: Raster, pixels: NDArray[Any], layout: str) -> bytes:
    with open_image_file(path) as file, tifffile.TiffFile(file, name="mask.tif") as tiff:
        page = tiff.pages.first
        compression = _TIFF_COMPRESSIONS.get(int(page.compression), "zlib")
        resolution, unit = page.resolution, page.resolutionunit
        extra = [int(kind) for kind in page.extrasamples if kind in (1, _PLAIN_ALPHA)]
        imagej = dict(tiff.imagej_metadata or {})
    options: dict[str, Any] = {"compression": compression, "software": False}
    if resolution != (1.0, 1.0):
        options |= {"resolution": resolution, "resolutionunit": unit}
    if layout.endswith("CYX") and pixels.shape[-3] == 3:  # grey saved as RGB
        pixels, layout = np.moveaxis(pixels, -3, -1), layout.replace("CYX", "YXC")
    photometric = "rgb" if layout.endswith("C") else "minisblack"
    plain = raster.palette is None and pixels.dtype != np.bool_
    if raster.alpha is not None and plain and layout in ("YX", "PYX", "YXC", "PYXC"):
        pixels, layout = _with_alpha(raster, pixels), f"{layout.removesuffix('C')}C"
        options |= {"planarconfig": "contig", "extrasamples": extra[:1] or [_PLAIN_ALPHA]}
    axes = _AXES.get(layout)
    if raster.palette is not None:
        colours = np.zeros((256, 3), np.uint16)
        colours[: len(raster.palette)] = raster.palette.astype(np.uint16) * 257
        options |= {"photometric": "palette", "colormap": colours.T}
    else:
        options["photometric"] = photometric
    metadata: dict[str, Any] = {"axes": axes} if axes else {}
    if imagej and axes in ("YX", "ZYX") and pixels.dtype in (np.uint8, np.uint16, np.float32):
        metadata |= {key: imagej[key] for key in ("spacing", "unit") if key in imagej}
        options |= {"imagej": True, "compression": None}
        options.pop("software")
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.ascontiguousarray(pixels), metadata=metadata, **options)
    return buffer.getvalue()
