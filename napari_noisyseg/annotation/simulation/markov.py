"""Noise by a random walk of the outline: ragged, and biased outward or inward.

J. Yao, Y. Zhang, S. Zheng, M. Goswami, P. Prasanna, C. Chen: Learning to Segment from Noisy
Annotations: A Spatial Correction Approach. ICLR 2023, arXiv 2308.02498. There the walk is in pixels
of pictures of 256 px; here every object is brought to one standard size for it, so that the noise
means the same at every image size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import transform

from napari_noisyseg.annotation.noise import Mask

STANDARD_SIZE = 77.0
"""Square root of the object's area for the walk: a heart's on a radiograph of 256 x 256 pixels, for
which the published parameters were chosen."""
_BLUR_SIGMA, _BLUR_RADIUS = 2.0, 2
"""The published blur: a Gaussian of 5 x 5 pixels."""
_MARGIN = 6
"""Room beside what the walk can reach, in pixels of the standard size."""

# scikit-image says little about its types.
_resize: Callable[..., NDArray[Any]] = transform.resize


def markov(
    mask: Mask,
    rng: np.random.Generator,
    steps: int,
    theta1: float,
    theta2: float,
    theta3: float,
) -> Mask:
    """Let the outline walk, flip single pixels, and blur.

    In each step, outward with chance `theta1` and inward otherwise, every pixel that touches the
    outline on the side the step goes to (by an edge) changes sides with chance `theta2`. In the end
    every pixel around the object flips with chance `theta3`, and a Gaussian blur that is cut at one
    half leaves what most of a neighbourhood says.

    Parameters
    ----------
    mask
        True mask of one object, (height, width), bool.
    rng
        The source of chance.
    steps
        Length of the walk (T).
    theta1, theta2, theta3
        Chances from 0 to 1; `theta3` below one half.

    Returns
    -------
    ndarray
        Noisy mask, (height, width), bool; empty if the object has shrunk away.
    """
    mask = np.asarray(mask, bool)
    noisy = np.zeros_like(mask)
    if not mask.any():
        return noisy
    scale = STANDARD_SIZE / math.sqrt(np.count_nonzero(mask))
    # Where pixels touch the outline by several sides it moves faster than theta2.
    reach = math.ceil(2 * steps * theta1 * theta2) + _MARGIN
    window = _around(mask, math.ceil(reach / scale))
    true = mask[window]
    standard = _resized(true, [max(1, round(side * scale)) for side in true.shape])
    if not standard.any():  # too thin a thing to be made smaller
        standard = true.copy()
    near = _around(standard, reach)
    walked = _walked(standard[near], rng, steps, theta1, theta2)
    standard[near] = _blurred(walked, rng, theta3)
    noisy[window] = _resized(standard, list(true.shape))
    return noisy


def _walked(mask: Mask, rng: np.random.Generator, steps: int, theta1: float, theta2: float) -> Mask:
    mask = mask.copy()
    for outward in rng.random(steps) < theta1:
        side = mask if outward else ~mask
        edge = np.flatnonzero(_beside(side) & ~side)
        moving = edge[rng.random(len(edge)) < theta2]
        mask.ravel()[moving] = outward
    return mask


def _beside(side: Mask) -> Mask:
    """Return the pixels that share an edge with some; several times faster than scipy's dilation."""
    near = np.zeros_like(side)
    near[1:] |= side[:-1]
    near[:-1] |= side[1:]
    near[:, 1:] |= side[:, :-1]
    near[:, :-1] |= side[:, 1:]
    return near


def _blurred(mask: Mask, rng: np.random.Generator, theta3: float) -> Mask:
    flipped = mask ^ (rng.random(mask.shape) < theta3)
    blurred = ndimage.gaussian_filter(
        flipped.astype(np.float32), _BLUR_SIGMA, radius=_BLUR_RADIUS, mode="mirror"
    )
    return np.asarray(blurred > 0.5)


def _around(mask: Mask, room: int) -> tuple[slice, ...]:
    """Return the window of the object with some room, within the image."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(
        slice(max(0, part.start - room), min(length, part.stop + room))
        for part, length in zip(box, mask.shape, strict=True)
    )


def _resized(mask: Mask, sides: list[int]) -> Mask:
    if list(mask.shape) == sides:
        return mask.copy()
    resized = _resize(mask.astype(np.float32), sides, order=1, mode="edge", anti_aliasing=True)
    return np.asarray(resized > 0.5)
