"""TIFF: the pixels of a file anew, as it stored them: layout, compression and description stay."""

from __future__ import annotations

import io
import math
import re
from io import BufferedReader
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_noisyseg.annotation.formats.raster import Raster
from napari_noisyseg.annotation.formats.tiff import (
    colour_samples,
    full_pages,
    means_plain_bits,
    quiet_tifffile,
)
from napari_noisyseg.annotation.formats.tiff_structure import count_pages, described_stack

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_SEPARATE = 2
_PLAIN_ALPHA = 2  # TIFF's name for alpha that the colours are not multiplied with; 1 if they are
_NONE, _LZW, _DEFLATE, _PACKBITS, _OLD_DEFLATE = 1, 5, 8, 32773, 32946
_LZMA, _ZSTANDARD = 34925, 50000
_COMPRESSIONS = (_NONE, _LZW, _DEFLATE, _PACKBITS, _OLD_DEFLATE, _LZMA, _ZSTANDARD)
_PREDICTORS = {"u": 2, "i": 2, "f": 3}  # differences of whole numbers, of floats
_TILE_UNIT = 16  # the sides of tiles are multiples of it
_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")


def write_tiff_like(
    file: BufferedReader,
    size: int,
    raster: Raster,
    stack: NDArray[Any],
    alpha: NDArray[Any] | None,
) -> bytes:
    """Return a TIFF that stores other pixels in the way of a given one.

    Kept are byte order, BigTIFF, tiles, lossless compressions and their predictor, what black and
    white are, the palette, planes, the kinds of further samples, resolution, software and the
    description, in which ImageJ, OME and tifffile tell axes and sizes. JPEG and CCITT become
    deflate. A stated orientation is carried out, and pages that are reduced copies are left out.

    Parameters
    ----------
    file
        The given file, open; one that `napari_noisyseg.annotation.formats.tiff.read_tiff` reads.
    size
        Its size in bytes.
    raster
        What was read from it.
    stack
        (pages, channels, height, width), as `raster.layouts[0]` orders them; of the dtype of the
        raster, or a wider one. Palette indices where the file has a palette.
    alpha
        (pages, height, width), of the dtype of `stack`, or None.
    """
    count = count_pages(file, size)
    file.seek(0)
    with quiet_tifffile(), tifffile.TiffFile(file, name="mask.tif") as tiff:
        pages = full_pages(tiff, count)
        first = pages[0]
        colours = colour_samples(first, first.samplesperpixel)
        if len(colours) == 1 < stack.shape[1]:
            stack = _in_pages(first, stack)
        photometric, stack = _as_stored(first, raster, stack)
        options = _layout(first, stack.dtype) | {"photometric": photometric}
        options |= _description(first, len(pages), raster, stack.dtype)
        if first.colormap is not None and photometric == _PALETTE:
            colormap = np.zeros((3, 2 ** (8 * stack.dtype.itemsize)), np.uint16)
            colormap[:, : first.colormap.shape[1]] = first.colormap
            options["colormap"] = colormap
        if alpha is not None:
            stack = np.concatenate([stack, alpha[:, None]], 1)
        further = stack.shape[1] - (len("RGB") if photometric == _RGB else 1)
        if further:
            options["extrasamples"] = [0] * further + _extra_samples(first, colours)
            options["extrasamples"] = options["extrasamples"][-further:]
        if stack.shape[1] == 1:
            stack = stack[:, 0]
        elif int(first.planarconfig) == _SEPARATE:
            options["planarconfig"] = "separate"
        else:
            stack, options["planarconfig"] = np.moveaxis(stack, 1, -1), "contig"
        stack = stack[0] if len(stack) == 1 else stack
        options |= {"byteorder": tiff.byteorder, "bigtiff": tiff.is_bigtiff}
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.ascontiguousarray(stack), **options)
    return buffer.getvalue()


def _in_pages(first: tifffile.TiffPage, stack: NDArray[Any]) -> NDArray[Any]:
    """Return (pages, 1, height, width) where the description made channels of a file's pages."""
    stated = described_stack(first.description, math.prod(first.shaped) // first.imagedepth)
    assert stated is not None
    axis = stated.axes.index("C")
    others = [size for index, size in enumerate(stated.sizes) if index != axis]
    stack = stack.reshape(*others, *stack.shape[1:])
    return np.moveaxis(stack, len(others), axis).reshape(-1, 1, *stack.shape[-2:])


def _as_stored(
    first: tifffile.TiffPage, raster: Raster, stack: NDArray[Any]
) -> tuple[int, NDArray[Any]]:
    """Return what black and white are in the file, or its colour space, and the samples in it."""
    photometric = int(first.photometric)
    if raster.palette is not None:
        return photometric, stack.astype(np.uint8) if stack.dtype == np.bool_ else stack
    if photometric > _RGB:  # was read as grey or RGB
        return (_RGB if stack.shape[1] == len("RGB") else _BLACK_IS_ZERO), stack
    as_seen = raster.pixels.dtype == np.bool_ and not means_plain_bits(first)
    if photometric == _WHITE_IS_ZERO and as_seen:
        return (photometric, ~stack) if stack.dtype == np.bool_ else (_BLACK_IS_ZERO, stack)
    return photometric, stack


def _layout(first: tifffile.TiffPage, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return compression, predictor, tiles and resolution."""
    compression = int(first.compression)
    options: dict[str, Any] = {
        "compression": compression if compression in _COMPRESSIONS else _DEFLATE
    }
    if compression not in (_NONE, _PACKBITS) and first.predictor == _PREDICTORS.get(dtype.kind):
        options["predictor"] = int(first.predictor)
    tile = (first.tilelength, first.tilewidth)
    if first.is_tiled and not any(side % _TILE_UNIT for side in tile):
        options["tile"] = tile
    if first.resolution != (1.0, 1.0):
        options |= {"resolution": first.resolution, "resolutionunit": first.resolutionunit}
    return options


def _description(
    first: tifffile.TiffPage, pages: int, raster: Raster, dtype: np.dtype[Any]
) -> dict[str, Any]:
    """Return description and software, word for word as long as they are true."""
    text = first.description
    if dtype != raster.pixels.dtype:
        text = _OME_PIXELS.sub(lambda found: _of_type(found[0], dtype), text, count=1)
    options: dict[str, Any] = {"software": first.software.encode() or False, "metadata": None}
    is_json = text.startswith("{")
    stated = described_stack(text, math.prod(first.shaped) // first.imagedepth)
    kept = not raster.turned and int(first.photometric) != _CMYK
    if is_json:  # of pages that are arrays of their own the first one's describes itself only
        kept = kept and stated is not None and stated.pages == pages * first.imagedepth
    if kept:
        return options | ({"description": text.encode()} if text else {})
    return options | ({"metadata": {}} if is_json else {})  # tifffile describes it anew


def _of_type(pixels: str, dtype: np.dtype[Any]) -> str:
    """Return the start of OME's element for the pixels, saying that they are of another type."""
    pixels = re.sub(r"\s+SignificantBits\s*=\s*([\"']).*?\1", "", pixels)
    return re.sub(r"(\bType\s*=\s*[\"'])[\w-]+", rf"\g<1>{dtype.name}", pixels, count=1)


def _extra_samples(first: tifffile.TiffPage, colours: list[int]) -> list[int]:
    """Return the kinds of the samples that are kept beyond the colours, alpha last."""
    samples, kinds = first.samplesperpixel, [int(kind) for kind in first.extrasamples]
    stated = dict(enumerate(kinds, samples - len(kinds)))
    alpha = [index for index in range(samples) if index not in colours][:1]
    return [stated[index] for index in colours if index in stated] + [
        stated.get(index, _PLAIN_ALPHA) for index in alpha
    ]
