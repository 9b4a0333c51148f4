"""Image files in and out: whatever is read from an image file passes through here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.axes import (
    MIN_SIDE,
    arranged,
    choose_layout,
    too_small,
)
from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
from napari_noisyseg.annotation.examples import Labels, Pixels
from napari_noisyseg.annotation.formats.raster import MAX_SAMPLES, Raster
from napari_noisyseg.annotation.listing import (
    IMAGE_SUFFIXES,
    is_litter,
    list_folder,
    list_images,
)
from napari_noisyseg.annotation.mask_values import class_values
from napari_noisyseg.annotation.numbers import check_numbers
from napari_noisyseg.annotation.rasters import Reader, read_raster
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_SAMPLES",
    "MIN_SIDE",
    "Raster",
    "Reader",
    "is_litter",
    "list_folder",
    "list_images",
    "png_bytes",
    "read_image",
    "read_mask",
    "read_raster",
    "tiff_bytes",
]


def read_image(
    path: Path,
    mask_shape: tuple[int, int, int] | None = None,
    channels: int | None = None,
    *,
    mask_path: Path | None = None,
    reader: Reader = read_raster,
) -> Pixels:
    """Read one image.

    Where the file does not tell which of its axes are channels and which are pages (several pages
    of a TIFF, arrays), the mask decides, or the number of channels that a model was trained with.

    Parameters
    ----------
    path
        PNG, JPEG, BMP, TIFF or npy.
    mask_shape
        (pages, height, width) of the image's mask, which the image must have as well.
    channels
        Number of channels expected. It only decides between several readings of the axes; an
        image that has another number is returned as it is.
    mask_path
        The mask's file, for messages.
    reader
        Opens the file.

    Returns
    -------
    numpy.ndarray
        (pages, channels, height, width), contiguous, in native byte order: integers as stored,
        every float as float32, and bool and one to four bits stretched to the 0 to 255 of uint8, so
        that they look as bright as other pictures. Alpha is left out, CMYK and coloured palettes
        become RGB, grey palettes one channel.

    Raises
    ------
    UserError
        If the file cannot be read (see `read_raster`), has another size than its mask, a side
        shorter than `MIN_SIDE`, NaN, infinite or huge values, or axes that can be read in two ways.
    """
    raster = _coloured(path, reader(path))
    layout = choose_layout(path, raster, mask_shape, channels, mask_path)
    pixels = _finite(path, raster.pixels)
    if raster.bits < 8:
        pixels = pixels * np.uint8(255 // (2**raster.bits - 1))
    return np.ascontiguousarray(arranged(pixels, layout))


def read_mask(path: Path, reader: Reader = read_raster) -> Labels:
    """Read one mask as the class values that were saved.

    Palette pictures give their indices, bool and one-bit ones 0 and 1, and pictures saved as RGB
    the grey value that all three channels share. JPEG, which changes values, is accepted for two
    classes, which come back as 0 and 255.

    Parameters
    ----------
    path
        PNG, BMP, TIFF, npy, or JPEG.
    reader
        Opens the file.

    Returns
    -------
    numpy.ndarray
        (pages, height, width), int32; negative values only where the file holds such.

    Raises
    ------
    UserError
        If the file cannot be read (see `read_raster`), is coloured, has a side shorter than
        `MIN_SIDE`, or holds values that are not whole numbers of at most 32 bits.
    """
    values = class_values(path, reader(path))
    pages, height, width = values.shape
    if min(height, width) < MIN_SIDE:
        raise too_small(path, (pages, 1, height, width))
    return values


def _coloured(path: Path, raster: Raster) -> Raster:
    """Replace palette indices by grey values if the palette is grey, otherwise by RGB."""
    palette, indices = raster.palette, raster.pixels
    if palette is None:
        return raster
    if int(indices.max(initial=0)) >= len(palette):
        raise UserError(f"{shown(path)} is damaged: a colour is not in its palette; save it again.")
    indices = indices.astype(np.intp)
    if (palette == palette[:, :1]).all():
        return replace(raster, pixels=palette[:, 0][indices], palette=None)
    layout = f"{raster.layouts[0]}C"  # pages of a TIFF with a palette are slices
    return replace(raster, pixels=palette[indices], layouts=(layout,), palette=None)


def _finite(path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels of a plain type, bool as 0 and 255 and every float as float32, all finite."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind != "f":
        return pixels
    check_numbers(pixels, shown(path))
    return pixels.astype(np.float32, copy=False)
