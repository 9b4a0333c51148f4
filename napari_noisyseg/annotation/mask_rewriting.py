"""Change single pixels of a mask's file and keep everything else: values, format, size, axes.

Of a picture only what a mask is read from survives, and its transparency: comments and EXIF notes do
not. Of TIFF and npy survives how the pixels are stored as well, and the description of a TIFF.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_noisyseg.annotation.axes import arranged
from napari_noisyseg.annotation.formats.npy import read_header
from napari_noisyseg.annotation.formats.raster import Raster
from napari_noisyseg.annotation.formats.tiff_writing import write_tiff_like
from napari_noisyseg.annotation.mask_values import mask_layout
from napari_noisyseg.annotation.rasters import open_image_file, read_raster


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
        A file of the same format and kind (grey, palette, one bit, colour; of TIFF and npy how
        pixels are stored). Samples become wider only where a value needs it.

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
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if head.startswith(b"\x93NUMPY"):
            return _npy(file, pixels)
        if head.startswith((b"II", b"MM")):
            stack = arranged(pixels, raster.layouts[0])
            return write_tiff_like(file, size, raster, stack, _tiff_alpha(raster, stack))
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


def _with_alpha(alpha: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """Return samples with the channels last, alpha after them."""
    if pixels.ndim == alpha.ndim:
        pixels = pixels[..., None]
    return np.concatenate([pixels, _alpha_as(pixels.dtype, alpha)[..., None]], -1)


def _alpha_as(dtype: np.dtype[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    if alpha.dtype == np.uint8 and dtype == np.uint16:  # made wider for a value
        alpha = alpha.astype(np.uint16) * np.uint16(257)
    return alpha.astype(dtype, copy=False)


def _tiff_alpha(raster: Raster, stack: NDArray[Any]) -> NDArray[Any] | None:
    """Return (pages, height, width), where there is alpha that TIFF can store beside the pixels."""
    if raster.alpha is None or raster.palette is not None or stack.dtype == np.bool_:
        return None
    return _alpha_as(stack.dtype, raster.alpha).reshape(-1, *stack.shape[-2:])


def _npy(file: BufferedReader, pixels: NDArray[Any]) -> bytes:
    """Return an array file with the byte order and the order of the axes in memory of another."""
    dtype, fortran, _ = read_header(file)
    stored = pixels.astype(pixels.dtype.newbyteorder(dtype.byteorder), "F" if fortran else "C")
    buffer = io.BytesIO()
    np.save(buffer, stored, allow_pickle=False)
    return buffer.getvalue()


def _picture(kind: str, path: Path, raster: Raster, pixels: NDArray[Any]) -> bytes:
    if kind == "PNG":
        return _with_transparency(_png(raster, pixels), path)
    return _saved(kind, raster, pixels)


def _png(raster: Raster, pixels: NDArray[Any]) -> bytes:
    if raster.palette is not None or pixels.dtype == np.bool_:
        return _saved("PNG", raster, pixels)
    if raster.alpha is not None:
        pixels = _with_alpha(raster.alpha, pixels)
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
