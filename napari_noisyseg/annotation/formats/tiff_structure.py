"""The skeleton of a TIFF: its chain of pages, followed to the end before anything is decoded."""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from napari_noisyseg.annotation.formats.raster import MAX_PAGES, UnreadableError

# Bytes of one value of each type of tag, by the type's number.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
# Longer lists of numbers than any picture within the limits needs would only eat memory.
_MAX_VALUES = 2**21
_CUT = "is cut short: what follows page {} is missing; copy or save it again"
_CUT_INSIDE = "is cut short or damaged: a part of page {} is missing; copy or save it again"


def count_pages(file: BufferedReader, size: int) -> int:
    """Follow the chain of pages and check that all of it lies within the file.

    The usual readers stop at a broken link and return the pages before it, so that a file that
    was cut reads as a shorter one.

    Parameters
    ----------
    file
        The open file; its position is changed.
    size
        The file's size in bytes.

    Returns
    -------
    int
        Number of pages, thumbnails included.

    Raises
    ------
    UnreadableError
        If a page or the value of a tag lies outside the file, if the chain is a circle, or if it
        is too long.
    """
    head = _bytes_at(file, 0, 16, size, _CUT_INSIDE.format(1), short=True)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    count_format, entry_format, link_format = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    count_bytes, entry_bytes, inline = (8, 20, 8) if big else (2, 12, 4)
    (start,) = struct.unpack_from(order + link_format, head.ljust(16, b"\0"), inline)
    seen: set[int] = set()
    while start:
        if start in seen or len(seen) == MAX_PAGES:
            raise UnreadableError("is damaged: its chain of pages has no end; save it again")
        seen.add(start)
        lost = _CUT.format(len(seen) - 1) if len(seen) > 1 else _CUT_INSIDE.format(1)
        (entries,) = struct.unpack(
            order + count_format, _bytes_at(file, start, count_bytes, size, lost)
        )
        length = entries * entry_bytes
        table = _bytes_at(file, start + count_bytes, length + inline, size, lost)
        for _, kind, count, value in struct.iter_unpack(order + entry_format, table[:length]):
            value_bytes = _TYPE_BYTES.get(kind, 0)
            if value_bytes * count <= inline:
                continue
            (offset,) = struct.unpack(order + link_format, value)
            if offset + value_bytes * count > size or (value_bytes > 1 and count > _MAX_VALUES):
                raise UnreadableError(_CUT_INSIDE.format(len(seen)))
        (start,) = struct.unpack(order + link_format, table[length:])
    if not seen:
        raise UnreadableError("is damaged: it holds no page; copy or save it again")
    return len(seen)


def _bytes_at(
    file: BufferedReader, offset: int, length: int, size: int, lost: str, *, short: bool = False
) -> bytes:
    """Read `length` bytes; refuse with the reason `lost` if they lie outside the file."""
    if offset + length > size and not short:
        raise UnreadableError(lost)
    file.seek(offset)
    content = file.read(length)
    if len(content) < (8 if short else length):
        raise UnreadableError(lost)
    return content


@dataclass(frozen=True)
class Stack:
    """How a file's description says that its pages are ordered.

    Attributes
    ----------
    axes
        One letter per axis of the stack, slowest first: ``"C"`` channels, others pages.
    sizes
        Length of each axis.
    """

    axes: str
    sizes: tuple[int, ...]

    @property
    def pages(self) -> int:
        """Number of pages that the description claims."""
        return math.prod(self.sizes)


def described_stack(description: str, samples_per_page: int) -> Stack | None:
    """Read from a page's description how many pages there are and which of them are channels.

    Understood are ImageJ's lines ``images=6`` and ``channels=3``, the XML of OME and the JSON of
    tifffile.

    Parameters
    ----------
    description
        The ImageDescription of the first page.
    samples_per_page
        Rows times columns times samples of one page.

    Returns
    -------
    Stack or None
        None where nothing of the kind is described.
    """
    if description.startswith("ImageJ="):
        return _imagej_stack(description)
    if "<OME" in description[:4096]:
        return _ome_stack(description)
    if description.startswith("{"):
        return _json_stack(description, samples_per_page)
    return None


def described_array(description: str) -> tuple[int, ...] | None:
    """Return the shape of the array that tifffile was given, unless it was told to be in colour.

    Left alone, tifffile writes a stack of three or four slices as the planes of a colour picture,
    and channels behind rows and columns as pages of so many columns.
    """
    stated = _json_of(description)
    coloured = stated is None or "S" in str(stated["axes"])
    return None if stated is None or coloured else tuple(stated["shape"])


def _imagej_stack(description: str) -> Stack | None:
    found = dict(re.findall(r"^(images|channels)=(\d{1,9})\s*$", description, re.MULTILINE))
    images, channels = int(found.get("images", 0)), int(found.get("channels", 1))
    if images < 1:
        return None
    if channels < 1 or images % channels:
        return Stack("P", (images,))
    # Channels change fastest in a hyperstack.
    return Stack("PC", (images // channels, channels))


def _ome_stack(description: str) -> Stack | None:
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", description)
    if pixels is None:
        return None
    stated = dict(re.findall(r"\b(DimensionOrder|Size[CZT])\s*=\s*[\"'](\w+)[\"']", pixels[0]))
    order = stated.get("DimensionOrder", "XYCZT")
    if sorted(order) != sorted("XYCZT"):
        return None
    # A colour picture counts as three channels although it is one page.
    samples = re.search(r"\bSamplesPerPixel\s*=\s*[\"'](\d{1,9})[\"']", description)
    together = max(int(samples[1]), 1) if samples else 1
    axes = order[:1:-1]
    sizes = [int(stated.get(f"Size{axis}", "1")[:9] or 1) for axis in axes]
    channels = axes.index("C")
    sizes[channels] = max(sizes[channels] // together, 1)
    return Stack(axes, tuple(sizes)) if min(sizes) > 0 else None


def _json_of(description: str) -> dict[str, Any] | None:
    """Return tifffile's note about the array, if there is one and it tells a shape."""
    try:
        stated: Any = json.loads(description)
    except (ValueError, RecursionError):
        return None
    shape = stated.get("shape") if isinstance(stated, dict) else None
    if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        return None
    return {"axes": "", **stated, "shape": shape}


def _json_stack(description: str, samples_per_page: int) -> Stack | None:
    stated = _json_of(description)
    if stated is None:
        return None
    shape = stated["shape"]
    pages, rest = divmod(math.prod(shape), max(samples_per_page, 1))
    if rest or not pages:
        return None
    axes = stated["axes"]
    if isinstance(axes, str) and len(axes) == len(shape):
        for end in range(len(shape) + 1):
            if math.prod(shape[:end]) == pages and not set("YXS") & set(axes[:end]):
                return Stack(axes[:end], tuple(shape[:end]))
    return Stack("P", (pages,))
