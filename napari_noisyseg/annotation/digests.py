"""What tells pictures and annotations from others: the same for the same pixels, whatever their file."""

from __future__ import annotations

import hashlib

import numpy as np

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
