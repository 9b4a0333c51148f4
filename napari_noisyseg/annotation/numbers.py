"""Which numbers pixels may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.errors import UserError

LARGEST = float(np.finfo(np.float32).max)
"""Largest magnitude of a pixel: what a network computes with holds no more, 3.4e38."""


def check_numbers(pixels: NDArray[Any], where: str) -> None:
    """Raise `UserError` for pixels that are NaN, infinite or larger than `LARGEST`.

    Parameters
    ----------
    pixels
        Of any shape and real dtype.
    where
        Names the image at the start of the sentence.
    """
    if pixels.dtype.kind != "f" or not pixels.size:
        return
    if not np.isfinite(pixels).all():
        raise UserError(f"{where} holds NaN or infinite pixels: replace them by numbers")
    largest = max(float(pixels.max()), -float(pixels.min()))
    if largest > LARGEST:
        raise UserError(
            f"{where} holds numbers as large as {largest:.0e}, too large for 32-bit floating point: "
            f"divide all images by the same number"
        )
