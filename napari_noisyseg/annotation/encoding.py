"""Images as bytes, for the one function that writes files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image


def tiff_bytes(
    array: NDArray[Any],
    *,
    axes: str | None = None,
    compression: str | None = "zlib",
    description: str = "",
) -> bytes:
    """Encode an array as a TIFF file.

    Parameters
    ----------
    array
        (height, width), or more axes before these two, which become pages; bool, integer or float.
    axes
        The axes' letters, such as ``"CYX"`` (channels) or ``"ZYX"`` (slices), noted in the file.
    compression
        ``"zlib"`` (lossless) or None.
    description
        A remark that the file carries, ASCII; none with `axes`, which are noted there.

    Returns
    -------
    bytes
        The same bytes for the same array: neither date nor program is noted.

    Raises
    ------
    ValueError
        If the array has fewer than two axes or `axes` does not have as many letters.
    """
    if array.ndim < 2 or (axes is not None and len(axes) != array.ndim):
        raise ValueError(f"no TIFF can be made of shape {array.shape} with axes {axes}")
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array,
        photometric="minisblack",
        compression=compression,
        software=False,
        metadata={"axes": axes} if axes else None if description else {},
        description=description or None,
    )
    return buffer.getvalue()


def png_bytes(array: NDArray[Any]) -> bytes:
    """Encode a picture as a PNG file.

    Parameters
    ----------
    array
        (height, width) bool (written as 0 and 255), uint8 or uint16, or (height, width, 3) uint8.

    Returns
    -------
    bytes
        The same bytes for the same array.

    Raises
    ------
    ValueError
        For other types and shapes, which PNG or its readers would change.
    """
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    colour = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    if not (grey or colour):
        raise ValueError(f"no PNG can be made of shape {array.shape} and type {array.dtype}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG")
    return buffer.getvalue()
