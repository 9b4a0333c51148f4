"""BMP: uncompressed pictures of 1 to 32 bits, palette indices kept."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.formats.raster import Raster, UnreadableError, check_size

_OLD_HEADER = 12
_PLAIN, _MASKED, _MASKED_WITH_ALPHA = 0, 3, 6
_DAMAGED = "is damaged: its header states no valid kind of BMP; save it again"


def read_bmp(content: bytes) -> Raster:
    """Decode a BMP file.

    Parameters
    ----------
    content
        The file's bytes.

    Returns
    -------
    Raster
        Palette indices (height, width) with their palette for up to 8 bits, otherwise uint8
        (height, width, 3).

    Raises
    ------
    UnreadableError
        If the picture is cut short, compressed, or of a kind that is not read.
    """
    if len(content) < 26:
        raise UnreadableError("is cut short: its header is missing; copy or save it again")
    start, header = struct.unpack_from("<II", content, 10)
    compression, colours = _PLAIN, 0
    if header == _OLD_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
    elif header >= 40 and len(content) >= 54:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", content, 18)
        (colours,) = struct.unpack_from("<I", content, 46)
    else:
        raise UnreadableError(_DAMAGED)
    check_size(width, abs(height), 1 if bits <= 8 else 3)
    masked = compression in (_MASKED, _MASKED_WITH_ALPHA) and bits in (16, 32)
    if bits not in (1, 4, 8, 16, 24, 32) or not (compression == _PLAIN or masked):
        raise UnreadableError("is a compressed or unusual BMP, which is not read: save it as PNG")
    stride = (width * bits + 31) // 32 * 4
    if start + stride * abs(height) > len(content):
        raise UnreadableError("is cut short: rows are missing; copy or save it again")
    rows = np.frombuffer(content, np.uint8, stride * abs(height), start)
    rows = rows.reshape(abs(height), stride)
    if height > 0:  # the usual order is from the bottom up
        rows = rows[::-1]
    if bits <= 8:
        entry = 3 if header == _OLD_HEADER else 4
        table = content[14 + header : start][: entry * min(colours or 2**bits, 2**bits)]
        table = table[: len(table) // entry * entry]
        palette = np.frombuffer(table, np.uint8).reshape(-1, entry)[:, 2::-1]
        return Raster(_indices(rows, bits, width), ("YX",), palette=palette)
    return Raster(_colours(rows, bits, width, _masks(content, header, bits, masked)), ("YXC",))


def _indices(rows: NDArray[np.uint8], bits: int, width: int) -> NDArray[np.uint8]:
    """Return palette indices (height, width) from rows of packed bytes."""
    if bits == 8:
        return rows[:, :width]
    if bits == 4:
        return np.stack((rows >> 4, rows & 15), axis=-1).reshape(len(rows), -1)[:, :width]
    return np.unpackbits(rows, axis=1)[:, :width]


def _masks(content: bytes, header: int, bits: int, masked: bool) -> tuple[int, int, int]:
    """Return which bits of a pixel of 16 or 32 bits are red, green and blue."""
    if not masked:
        return (0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF)
    # They stand behind a header of 40 bytes and inside a longer one, at the same place.
    if len(content) < 66:
        raise UnreadableError(_DAMAGED)
    red, green, blue = struct.unpack_from("<III", content, 54)
    return red, green, blue


def _colours(
    rows: NDArray[np.uint8], bits: int, width: int, masks: tuple[int, int, int]
) -> NDArray[Any]:
    """Return RGB (height, width, 3), uint8."""
    if bits == 24:
        return rows[:, : 3 * width].reshape(len(rows), width, 3)[:, :, ::-1]
    words = np.ascontiguousarray(rows).view(np.dtype("<u2" if bits == 16 else "<u4"))[:, :width]
    channels = []
    for mask in masks:
        shift = (mask & -mask).bit_length() - 1
        top = mask >> max(shift, 0)
        if not mask or top & (top + 1) or top > 0xFFFF:
            raise UnreadableError(_DAMAGED)
        channel = (words & words.dtype.type(mask)) >> words.dtype.type(shift)
        channels.append((channel.astype(np.uint32) * 255 // top).astype(np.uint8))
    return np.stack(channels, axis=-1)
