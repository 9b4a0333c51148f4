"""The orientation that cameras note in a picture, read and applied."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
"""The orientation of a picture whose first row is its top."""
_ORIENTATION_TAG = 274
_SHORT = 3


def exif_orientation(exif: bytes) -> int:
    """Return the orientation that an EXIF block states.

    Parameters
    ----------
    exif
        The block, which is a small TIFF file, with or without the leading ``Exif`` mark.

    Returns
    -------
    int
        1 to 8 as TIFF 6.0 defines them; 1 where the block states none or is damaged, since a
        damaged note takes nothing from the picture.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return UPRIGHT
    (start,) = struct.unpack_from(f"{order}I", exif, 4)
    if start + 2 > len(exif):
        return UPRIGHT
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    entries = exif[start + 2 : start + 2 + 12 * count]
    entries = entries[: len(entries) // 12 * 12]
    for tag, kind, _, value, _ in struct.iter_unpack(f"{order}HHIHH", entries):
        if tag == _ORIENTATION_TAG and kind == _SHORT and 1 <= value <= 8:
            return int(value)
    return UPRIGHT


def is_quarter_turn(orientation: int) -> bool:
    """Tell whether an orientation exchanges width and height."""
    return orientation >= 5


def upright(pixels: NDArray[Any], orientation: int, rows: int = 0) -> NDArray[Any]:
    """Turn and mirror a picture so that it stands as its orientation says it should.

    Parameters
    ----------
    pixels
        Samples; axis `rows` runs down, the next one across.
    orientation
        1 to 8 as TIFF 6.0 defines them.
    rows
        Index of the vertical axis.

    Returns
    -------
    numpy.ndarray
        The same samples, mirrored, turned or neither.
    """
    columns = rows + 1
    if is_quarter_turn(orientation):
        pixels = np.swapaxes(pixels, rows, columns)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, rows)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, columns)
    return pixels
