"""What every decoder returns, what it raises, and the limits that it keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

MAX_SAMPLES = 2**28
"""Most values (pixels times channels times pages) that one file may unpack to."""
MAX_SIDE = 1_000_000
"""Longest side of a picture in pixels, the limit of the PNG library as well."""
MAX_PAGES = 2**14
"""Most pages of one file."""


class UnreadableError(Exception):
    """Why a file cannot be read: the rest of a sentence that begins with the file's name."""


@dataclass(frozen=True, eq=False)
class Raster:
    """The samples of one file as they are stored, before anything is made of them.

    Attributes
    ----------
    pixels
        Boolean, integer or floating-point samples in native byte order. Alpha is left out, the
        orientation that the file states is applied.
    layouts
        The readings of the axes that the file allows, likeliest first: ``"YX"``, ``"YXC"``,
        ``"CYX"``, ``"PYX"``, ``"PCYX"``, ``"PYXC"`` or ``"CPYX"`` with P pages, C channels, Y rows
        and X columns. Pictures have one; the pages of a TIFF may be slices or channels, and the
        axes of an array file carry no names at all.
    palette
        Colours (n, 3), uint8, where the samples are indices into a palette.
    lossy
        Whether the compression changes values, as that of JPEG does.
    turned
        Whether the stated orientation turned the picture by a quarter turn.
    bits
        Bits per sample of a grey picture with two or four, whose white is 3 or 15; otherwise 8.
    alpha
        The alpha channel that was left out, (height, width) or (pages, height, width); None where
        PNG or TIFF have none, and of other formats.
    """

    pixels: NDArray[Any]
    layouts: tuple[str, ...]
    palette: NDArray[Any] | None = None
    lossy: bool = False
    turned: bool = False
    bits: int = 8
    alpha: NDArray[Any] | None = None


def check_size(width: int, height: int, *others: int) -> None:
    """Hold the size that a header states against the limits, before anything is decoded.

    Parameters
    ----------
    width, height
        Size in pixels.
    *others
        Further factors: channels, pages.

    Raises
    ------
    UnreadableError
        For a size of zero or less and for one beyond `MAX_SIDE` or `MAX_SAMPLES`.
    """
    if min(width, height, *others) < 1:
        raise UnreadableError("is damaged: its header states a size of zero; save it again")
    samples = math.prod((width, height, *others))
    if samples > MAX_SAMPLES or max(width, height) > MAX_SIDE:
        pages = "".join(f" x {n}" for n in others if n > 1)
        raise UnreadableError(
            f"is too large: its header states {width:.10g} x {height:.10g}{pages:.40} values and "
            f"the limit is {MAX_SAMPLES / 1e6:.0f} million; cut it into smaller images"
        )
