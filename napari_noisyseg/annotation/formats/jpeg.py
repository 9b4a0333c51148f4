"""JPEG: walked marker by marker, freed of everything but the picture, then decoded."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from napari_noisyseg.annotation.formats.orientation import (
    UPRIGHT,
    exif_orientation,
    is_quarter_turn,
    upright,
)
from napari_noisyseg.annotation.formats.raster import Raster, UnreadableError, check_size

# Any marker but stuffed zeros, fill bytes and the restart marks inside the data.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = 0xC9
_EXIF, _COMMENT = 0xE1, 0xFE
# Of the applications' notes only those that tell the colour space: JFIF's and Adobe's.
_DROPPED = frozenset(range(0xE0, 0xF0)) - {0xE0, 0xEE} | {_COMMENT}
# A progressive picture has about ten scans; each one costs a pass over all pixels.
_MAX_SCANS = 100
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# Data that belong to no picture and, unlike what a decoder invents, are no row of zeros.
_PADDING = bytes((89 + 167 * step) % 255 for step in range(255))


@dataclass(frozen=True)
class JpegStream:
    """One JPEG picture without its metadata.

    Attributes
    ----------
    width, height
        Size in pixels.
    components
        Samples per pixel.
    precision
        Bits per sample.
    orientation
        1 to 8, from the EXIF block.
    arithmetic
        Whether the data are coded arithmetically and not by Huffman's codes.
    parts
        The picture alone, from its start mark to its end mark, cut before every mark.
    """

    width: int
    height: int
    components: int
    precision: int
    orientation: int
    arithmetic: bool
    parts: tuple[bytes, ...]


def split_jpeg(content: bytes) -> JpegStream:
    """Walk a JPEG from mark to mark up to its end.

    Parameters
    ----------
    content
        The file's bytes; whatever follows the end mark is ignored.

    Returns
    -------
    JpegStream
        The picture and what its header states.

    Raises
    ------
    UnreadableError
        If the end mark or the header is missing.
    """
    kept = [content[:2]]
    frame, orientation, scans, arithmetic = b"", UPRIGHT, 0, False
    position = 2
    while True:
        match = _MARKER.search(content, position)
        if match is None:
            raise UnreadableError("is cut short: its end is missing; copy or save it again")
        start, marker = match.start(), content[match.start() + 1]
        if marker == _END_OF_IMAGE:
            kept.append(content[start : start + 2])
            break
        if marker in (_START_OF_IMAGE, 0x01):
            position = start + 2
            continue
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if end > len(content) or end < start + 4:
            raise UnreadableError("is cut short or damaged; copy or save it again")
        body = content[start + 4 : end]
        if marker in _FRAMES:
            frame, arithmetic = body, marker >= _ARITHMETIC
        elif marker == _EXIF and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body)
        position = end
        if marker == _START_OF_SCAN:
            scans += 1
            following = _MARKER.search(content, end)
            position = following.start() if following else len(content)
        if marker not in _DROPPED:
            kept.append(content[start:position])
    if len(frame) < 6 or not scans or scans > _MAX_SCANS:
        raise UnreadableError("is damaged: it holds no valid picture; copy or save it again")
    return JpegStream(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        components=frame[5],
        precision=frame[0],
        orientation=orientation,
        arithmetic=arithmetic,
        parts=tuple(kept),
    )


def read_jpeg(content: bytes) -> Raster:
    """Decode a JPEG file.

    Parameters
    ----------
    content
        The file's bytes.

    Returns
    -------
    Raster
        uint8, (height, width) or (height, width, 3); CMYK becomes RGB.

    Raises
    ------
    UnreadableError
        If the picture is cut short or of a kind that is not read.
    """
    jpeg = split_jpeg(content)
    check_size(jpeg.width, jpeg.height, jpeg.components)
    if jpeg.precision != 8:
        raise UnreadableError(
            f"is a JPEG of {jpeg.precision} bits, which is not read: save it as PNG or TIFF"
        )
    size = (jpeg.width, jpeg.height)
    pixels = _decoded(jpeg.parts, size)
    # Where the data end before the picture does, the decoder silently invents the rest. What it
    # invents depends on what follows the data; a complete picture does not. (Arithmetic coding may
    # leave out the last zeros.)
    if not jpeg.arithmetic and not np.array_equal(
        pixels, _decoded(map(_with_padding, jpeg.parts), size)
    ):
        raise UnreadableError("is cut short: a part of the picture is missing; copy it again")
    return Raster(
        pixels=upright(pixels, jpeg.orientation),
        layouts=("YX",) if pixels.ndim == 2 else ("YXC",),
        lossy=True,
        turned=is_quarter_turn(jpeg.orientation),
    )


def _with_padding(part: bytes) -> bytes:
    """Return a scan with more data behind its own, in the rhythm of its restart marks."""
    if part[1] != _START_OF_SCAN:
        return part
    marks = _RESTART.findall(part)
    following = marks[-1][1] + 1 if marks else 0xD0
    restarts = (bytes((0xFF, 0xD0 | (following + step) % 8)) for step in range(8))
    stuffed = part + b"\0" if part.endswith(b"\xff") else part
    return stuffed + _PADDING + b"".join(mark + _PADDING for mark in restarts)


def _decoded(parts: Iterable[bytes], size: tuple[int, int]) -> NDArray[np.uint8]:
    # Opened by its class: Image.open would warn or refuse by a global limit of its own.
    with JpegImageFile(io.BytesIO(b"".join(parts))) as picture:
        if picture.size != size:
            raise UnreadableError("is damaged: it states two sizes; copy or save it again")
        try:
            picture.load()
        except OSError as error:
            raise UnreadableError("is cut short or damaged; copy or save it again") from error
        return np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))
