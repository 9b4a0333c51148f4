"""From the samples of a mask's file to the class values that a person meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.axes import arranged
from napari_noisyseg.annotation.examples import Labels
from napari_noisyseg.annotation.formats.raster import Raster
from napari_noisyseg.errors import UserError
from napari_noisyseg.files import shown

# JPEG blurs outlines by a pixel or two; a block of this side with values between black and white
# is a third class, not blur.
_BLUR = 5
_DARK, _LIGHT = 64, 191
# Colours that JPEG adds to a grey picture stay below this.
_TINT = 24


def class_values(path: Path, raster: Raster) -> Labels:
    """Return the class value of every pixel of a mask.

    Parameters
    ----------
    path
        The mask's file, for messages.
    raster
        What was read from it.

    Returns
    -------
    numpy.ndarray
        (pages, height, width), int32: bool as 0 and 1, palette indices, or the values as saved;
        0 and 255 for lossy files.

    Raises
    ------
    UserError
        If the mask is coloured, or holds values other than whole numbers of at most 32 bits, or if
        it is lossy and has more than two classes.
    """
    pixels = arranged(raster.pixels, mask_layout(path, raster))
    tint = _TINT if raster.lossy else 0
    values = _one_channel(path, pixels, tint)
    if raster.lossy:
        return _two_classes(path, values)
    return whole_values(values, str(path))


def whole_values(values: NDArray[Any], where: str) -> Labels:
    """Return class values as int32, whatever their dtype; `where` is the mask's file or phrase.

    Raises
    ------
    UserError
        If a value is no whole number, or does not fit into 32 bits.
    """
    if values.dtype.kind == "f":
        _check_whole(values, where)
    if values.dtype.itemsize > 2 and values.size:
        low, high = values.min(), values.max()
        limits = np.iinfo(np.int32)
        # As Python's numbers: a float32 cannot tell the limit from the number after it.
        if int(low) < limits.min or int(high) > limits.max:
            raise UserError(
                f"{shown(where)} holds the value {high if int(high) > limits.max else low}, too large "
                "for a class: write classes as small whole numbers"
            )
    return np.ascontiguousarray(values.astype(np.int32))


def mask_layout(path: Path, raster: Raster) -> str:
    """Return how the axes are read: for a mask, an axis is pages unless it is clearly colours."""
    shape, layouts = raster.pixels.shape, raster.layouts
    if len(layouts) == 1:
        return layouts[0]
    if len(shape) == 3:
        return "YXC" if "YXC" in layouts and shape[2] <= 4 else "PYX"
    if shape[3] <= 4:
        return "PYXC"
    if shape[1] == 1:
        return "PCYX"
    if shape[0] == 1:
        return "CPYX"
    raise UserError(
        f"{shown(path)} has the shape ({', '.join(map(str, shape))}), which is no mask: save one "
        "class value per pixel, (height, width) or (pages, height, width)."
    )


def _one_channel(path: Path, pixels: NDArray[Any], tint: int) -> NDArray[Any]:
    """Return (pages, height, width) of pixels whose channels all say the same."""
    channels = pixels.shape[1]
    if channels == 4:  # an array of RGBA; alpha is no class
        pixels = pixels[:, :3]
    first = pixels[:, 0]
    for other in range(1, pixels.shape[1]):
        if tint:
            same = (np.abs(first.astype(np.int16) - pixels[:, other]) <= tint).all()
        else:
            same = np.array_equal(first, pixels[:, other])
        if not same:
            raise UserError(
                f"{shown(path)} is a picture with {channels} different channels, not a mask: save "
                "one value per pixel, grey or with a palette."
            )
    return first


def _check_whole(values: NDArray[Any], where: str) -> None:
    if not np.isfinite(values).all():
        raise UserError(
            f"{shown(where)} holds NaN or infinite values: write classes as whole numbers"
        )
    fractions = values[values != np.rint(values)]
    if fractions.size:
        raise UserError(
            f"{shown(where)} holds {fractions.flat[0]:.4g}, which is no class: write classes as "
            "whole numbers, probabilities after thresholding"
        )


def _two_classes(path: Path, values: NDArray[Any]) -> Labels:
    """Return 0 and 255 for a mask that a lossy compression has blurred."""
    between = (values > _DARK) & (values < _LIGHT)
    for axis in (1, 2):
        length = values.shape[axis] - _BLUR + 1
        parts = (
            [between.take(range(k, k + length), axis) for k in range(_BLUR)] if length > 0 else []
        )
        between = np.logical_and.reduce(parts) if parts else between[:0]
    high = int(values.max(initial=0))
    if between.any() or 0 < high <= _DARK:
        raise UserError(
            f"{shown(path)} is a JPEG, which changes values, with classes other than black and "
            "white: save masks as PNG."
        )
    return np.where(values > 127, np.int32(255), np.int32(0))
