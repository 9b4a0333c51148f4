"""An empty annotation that fits an image, whatever its channels, scale or pyramid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_noisyseg.plugin.layers.geometry import image_fit, overlay_arguments

if TYPE_CHECKING:
    from napari.layers import Image


def new_annotation(image: Image) -> dict[str, Any]:
    """Return the arguments of a Labels layer over an image, one label for each pixel of a slice.

    The array takes memory only where it is painted.
    """
    fit = image_fit(image)
    return {
        "data": np.zeros((*fit.leading, *fit.size), np.uint8),
        "name": f"annotation of {image.name}",
        **overlay_arguments(image, fit),
    }
