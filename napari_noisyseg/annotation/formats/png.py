"""PNG: checked chunk by chunk, then decoded at full depth, palette indices included."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.formats.orientation import (
    UPRIGHT,
    exif_orientation,
    is_quarter_turn,
    upright,
)
from napari_noisyseg.annotation.formats.raster import Raster, UnreadableError, check_size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_DEPTHS = {
    _GREY: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GREY_ALPHA: (8, 16),
    _RGBA: (8, 16),
}
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
# The seven passes of an interlaced picture: first column, first row, column step, row step.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


@dataclass(frozen=True)
class _Chunks:
    """The parts of a PNG that hold the picture; all others are left aside."""

    header: bytes
    palette: bytes
    data: bytes
    exif: bytes


def read_png(content: bytes) -> Raster:
    """Decode a PNG file.

    Parameters
    ----------
    content
        The file's bytes.

    Returns
    -------
    Raster
        Samples as stored: bool for one bit, 0 to 3 and 0 to 15 for two and four bits, uint8 or
        uint16; indices and palette for a palette picture; (height, width) or (height, width, 3).

    Raises
    ------
    UnreadableError
        If a part is missing, a checksum is wrong, or the size is beyond the limits.
    """
    chunks = _split(content)
    width, height, depth, colour, method, filters, interlace = struct.unpack(
        ">IIBBBBB", chunks.header
    )
    if depth not in _DEPTHS.get(colour, ()) or method or filters or interlace > 1:
        raise UnreadableError("is damaged: its header states no valid kind of PNG; save it again")
    check_size(width, height, _SAMPLES[colour])
    bits = depth * _SAMPLES[colour]
    rows = _inflate(chunks.data, _raw_size(width, height, bits, interlace))
    # Indices are decoded as if they were grey values, because the library would put the colours
    # in; the data are packed again without compression, checked and free of anything else.
    kind = _GREY if colour == _PALETTE else colour
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    stored = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 0))
    del rows
    pixels: NDArray[Any] = imagecodecs.png_decode(_SIGNATURE + stored + _chunk(b"IEND", b""))
    pixels = _unscaled(pixels.reshape(height, width, -1), depth)
    alpha = None
    if colour in (_GREY_ALPHA, _RGBA):
        pixels, alpha = pixels[:, :, :-1], pixels[:, :, -1]
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    orientation = exif_orientation(chunks.exif) if chunks.exif else UPRIGHT
    return Raster(
        pixels=upright(pixels, orientation),
        layouts=("YX",) if pixels.ndim == 2 else ("YXC",),
        palette=_colours(chunks.palette) if colour == _PALETTE else None,
        turned=is_quarter_turn(orientation),
        bits=depth if colour == _GREY and depth in (2, 4) else 8,
        alpha=None if alpha is None else upright(alpha, orientation),
    )


def _split(content: bytes) -> _Chunks:
    """Walk the chunks, hold the picture's own against their checksums, and collect them."""
    header, palette, exif = b"", b"", b""
    data: list[bytes] = []
    position = len(_SIGNATURE)
    while True:
        if position + 8 > len(content):
            raise UnreadableError("is cut short: its end is missing; copy or save it again")
        size, name = struct.unpack_from(">I4s", content, position)
        end = position + 12 + size
        if end > len(content):
            raise UnreadableError("is cut short or damaged; copy or save it again")
        if not header and (name != b"IHDR" or size != 13):
            raise UnreadableError("is damaged: it does not begin with a header; save it again")
        body = content[position + 8 : end - 4]
        if name in (b"IHDR", b"PLTE", b"IDAT"):
            (stated,) = struct.unpack_from(">I", content, end - 4)
            if zlib.crc32(body, zlib.crc32(name)) != stated:
                raise UnreadableError("is damaged: a checksum is wrong; copy or save it again")
        if name == b"IHDR":
            header = header or body
        elif name == b"PLTE":
            palette = body
        elif name == b"IDAT":
            data.append(body)
        elif name == b"eXIf":
            exif = body
        elif name == b"acTL" and size == 8 and int.from_bytes(body[:4], "big") > 1:
            raise UnreadableError("is an animation: save one picture of it as PNG or TIFF")
        elif name == b"IEND":
            return _Chunks(header, palette, b"".join(data), exif)
        position = end


def _raw_size(width: int, height: int, bits: int, interlace: int) -> int:
    """Return the bytes of all rows, each with its filter byte, for `bits` per pixel."""
    passes = _PASSES if interlace else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _inflate(data: bytes, size: int) -> bytes:
    """Unpack exactly `size` bytes, never more, and refuse fewer."""
    try:
        rows = zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise UnreadableError("is damaged: its data do not unpack; save it again") from error
    if len(rows) < size:
        raise UnreadableError("is cut short: rows are missing; copy or save it again")
    return rows


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def _unscaled(pixels: NDArray[Any], depth: int) -> NDArray[Any]:
    """Undo the decoder's stretching of one, two and four bits to the range 0 to 255."""
    if depth == 1:
        return pixels.astype(np.bool_)
    if depth < 8:
        pixels //= np.uint8(255 // (2**depth - 1))
    return pixels


def _colours(palette: bytes) -> NDArray[np.uint8]:
    if not palette or len(palette) % 3 or len(palette) > 768:
        raise UnreadableError("is damaged: its palette is missing or cut; save it again")
    return np.frombuffer(palette, np.uint8).reshape(-1, 3)
