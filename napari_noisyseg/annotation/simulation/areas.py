"""Noise that changes an object by a share of its area: grown, shrunk, or turned and shifted.

The amount is exact, to the pixel where it can be, and relative to the object, so that it means the
same at every image size; no direction is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.noise import Mask

_HALVINGS = 12
"""Steps of the search for a shift: the last one is far below a pixel."""


def dilate(mask: Mask, rng: np.random.Generator, beta: float) -> Mask:
    """Add the background pixels nearest to the object until its area has grown by `beta`.

    Parameters
    ----------
    mask
        True mask of one object, (height, width), bool.
    rng
        Chooses among pixels that are equally near.
    beta
        Share of the object's area that is added; less where the image has no more room.

    Returns
    -------
    ndarray
        Noisy mask, (height, width), bool.
    """
    mask = np.asarray(mask, bool)
    wanted = min(round(beta * np.count_nonzero(mask)), int(np.count_nonzero(~mask)))
    distance = ndimage.distance_transform_edt(~mask) if mask.any() else np.zeros(mask.shape)
    grown: Mask = mask | _nearest(distance, ~mask, mask, wanted, rng)
    return grown


def erode(mask: Mask, rng: np.random.Generator, beta: float) -> Mask:
    """Take away the object's outermost pixels until its area has shrunk by `beta`.

    The image's border is no outline: an object that it cuts is not shrunk from there, unless it
    fills the whole image. At least one pixel stays.

    Parameters
    ----------
    mask
        True mask of one object, (height, width), bool.
    rng
        Chooses among pixels that are equally near to the outline.
    beta
        Share of the object's area that is taken away, up to 1.

    Returns
    -------
    ndarray
        Noisy mask, (height, width), bool.
    """
    mask = np.asarray(mask, bool)
    area = int(np.count_nonzero(mask))
    wanted = min(round(beta * area), area - 1)
    distance = (
        ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        if mask.all()
        else ndimage.distance_transform_edt(mask)
    )
    shrunk: Mask = mask & ~_nearest(distance, mask, ~mask, wanted, rng)
    return shrunk


def affine(mask: Mask, rng: np.random.Generator, beta: float, rotation: float = 30.0) -> Mask:
    """Turn the object about its centre and shift it until its wrong pixels are `beta` of its area.

    The angle is drawn from ``[-rotation, rotation]`` and the direction of the shift from the whole
    circle; the length of the shift follows. An angle that alone makes more than `beta` wrong is
    reduced. What is shifted out of the image is cut off.

    Parameters
    ----------
    mask
        True mask of one object, (height, width), bool.
    rng
        The source of chance.
    beta
        Number of wrong pixels, on either side of the outline, over the object's area; up to 1.
    rotation
        Largest angle in degrees, 0 to 180.

    Returns
    -------
    ndarray
        Noisy mask, (height, width), bool.
    """
    mask = np.asarray(mask, bool)
    angle = math.radians(rng.uniform(-rotation, rotation))
    direction = rng.uniform(0, 2 * math.pi)
    if not mask.any():
        return mask.copy()
    inside = np.argwhere(mask)
    centre = inside.mean(axis=0)
    room = float(np.hypot(*np.ptp(inside, axis=0))) + 2
    area = len(inside)

    def moved(turn: float, length: float) -> Mask:
        shift = length * np.array([math.sin(direction), math.cos(direction)])
        return _moved(mask, turn, centre, shift)

    def wrong(noisy: Mask) -> float:
        return float(np.count_nonzero(noisy ^ mask)) / area

    if wrong(moved(angle, 0)) > beta:
        angle = _search(lambda share: wrong(moved(share * angle, 0)), beta) * angle
    length = _search(lambda share: wrong(moved(angle, share * room)), beta) * room
    return moved(angle, length)


def _search(error: Callable[[float], float], wanted: float) -> float:
    """Find the share in [0, 1] at which an error that grows with it is what is wanted."""
    low, high = 0.0, 1.0
    best, nearest = 0.0, abs(error(0.0) - wanted)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = error(middle)
        if abs(found - wanted) < nearest:
            best, nearest = middle, abs(found - wanted)
        low, high = (middle, high) if found < wanted else (low, middle)
    return best


def _moved(
    mask: Mask, angle: float, centre: NDArray[np.float64], shift: NDArray[np.float64]
) -> Mask:
    """Turn about a centre and shift, in pixels; smooth between the pixels, cut at one half."""
    cosine, sine = math.cos(angle), math.sin(angle)
    back = np.array([[cosine, sine], [-sine, cosine]])
    there = ndimage.affine_transform(
        mask.astype(np.float32), back, offset=centre - back @ (centre + shift), order=1
    )
    return np.asarray(there > 0.5)


def _nearest(
    distance: NDArray[np.float64],
    candidates: Mask,
    beyond: Mask,
    count: int,
    rng: np.random.Generator,
) -> Mask:
    """Choose the `count` candidates of least distance from what lies beyond the outline.

    Of those that are equally far, the ones that are most surrounded by what lies beyond go first,
    so that the outline stays smooth, and then chance decides.
    """
    chosen = np.zeros(candidates.shape, bool)
    if count < 1:
        return chosen
    places = np.flatnonzero(candidates)
    far = distance.ravel()[places]
    last = np.partition(far, count - 1)[count - 1]
    chosen.ravel()[places[far < last]] = True
    ties = places[far == last]
    missing = count - int(np.count_nonzero(far < last))
    if missing < len(ties):
        around = ndimage.gaussian_filter(beyond.astype(np.float32), max(1.0, float(last)))
        ties = ties[np.lexsort((rng.random(len(ties)), -around.ravel()[ties]))[:missing]]
    chosen.ravel()[ties] = True
    return chosen
