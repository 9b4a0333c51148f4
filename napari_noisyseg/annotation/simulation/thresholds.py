"""Noise of a classical program: a threshold of the image that nobody has looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters

from napari_noisyseg.annotation.noise import Mask
from napari_noisyseg.annotation.simulation.objects import Labels

# scikit-image says little about its types.
_RULES: dict[str, Callable[[NDArray[Any]], float]] = {
    "otsu": filters.threshold_otsu,
    "li": filters.threshold_li,
    "yen": filters.threshold_yen,
    "isodata": filters.threshold_isodata,
    "triangle": filters.threshold_triangle,
    "mean": filters.threshold_mean,
}


def threshold(
    labels: Labels,
    image: NDArray[Any],
    rule: str,
    brightness: str,
    smoothing: float,
    keep: str,
    ignore_value: int | None = None,
) -> Labels:
    """Find objects by the grey value alone; there is no chance in it.

    The channels' mean is blurred, cut by the rule, and of the regions the largest or all stay, with
    their holes filled. What is found gets the class of the nearest true object.

    Parameters
    ----------
    labels
        True class values, (height, width); not empty. They only tell the size of the objects, the
        classes, and, where `brightness` is ``"auto"``, whether the objects are bright.
    image
        (channels, height, width).
    rule, brightness, smoothing, keep
        As in `families.Threshold`.
    ignore_value
        Class value that is no object.

    Returns
    -------
    ndarray
        Class values, a new array of the same shape and type; empty where the image, once blurred, is
        of one grey.
    """
    noisy = np.zeros_like(labels)
    true: Mask = (labels != 0) & (labels != ignore_value)
    if not true.any():
        return noisy
    # From zero on, so that small differences between large values survive.
    grey = image.mean(axis=0, dtype=np.float64)
    grey -= grey.min()
    _, count = ndimage.label(true, structure=np.ones((3, 3)))
    size = math.sqrt(np.count_nonzero(true) / count)
    grey = ndimage.gaussian_filter(grey, smoothing * size)
    grey -= grey.min()
    if not grey.any():
        return noisy
    bright = brightness == "bright"
    if brightness == "auto" and not true.all():
        bright = bool(grey[true].mean() > grey[~true].mean())
    with np.errstate(divide="ignore", invalid="ignore"):  # classes without a pixel
        cut = _RULES[rule](grey)
    found = ndimage.binary_fill_holes(grey > cut if bright else grey <= cut)
    if keep == "largest":
        numbered, _ = ndimage.label(found, structure=np.ones((3, 3)))
        sizes = np.bincount(numbered.ravel())
        sizes[0] = 0
        found = numbered == sizes.argmax() if sizes.any() else found
    nearest = ndimage.distance_transform_edt(~true, return_distances=False, return_indices=True)
    noisy[found] = labels[tuple(nearest)][found]
    return noisy
