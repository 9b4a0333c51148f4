"""What tells pictures and annotations from others: the same for the same pixels, whatever their file."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import tifffile

from napari_noisyseg.annotation.examples import Labels, Pixels


def picture_digest(image: Pixels) -> str:
    """Hash of an image's pixels, shape and type."""
    pixels = np.ascontiguousarray(image)
    digest = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    digest.update(pixels.data)
    return digest.hexdigest()


def labels_digest(labels: Labels) -> str:
    """Hash of an annotation's labels."""
    return hashlib.blake2b(np.ascontiguousarray(labels).data, digest_size=16).hexdigest()


MADE_FOR = "trust-of"
"""Begins the remark in a weight map that says what it is of: the two digests follow."""


def made_for(path: Path) -> tuple[str, str]:
    """Return the digests of picture and annotation in a weight map; empty texts where there are none.

    Maps of older versions have none, and what is no TIFF has none.
    """
    with suppress(OSError, ValueError, tifffile.TiffFileError), tifffile.TiffFile(path) as file:
        words = str(file.pages.first.description).split()
        if len(words) == 3 and words[0] == MADE_FOR:
            return words[1], words[2]
    return "", ""
