"""Simulated annotation noise: what a cheap annotation of a known object would have looked like.

Everything is relative to the object, never in pixels, so that the noise means the same at every image
size, and draws all its chance from the generator that it is given. These are the annotations by a few
clicks, polygons and boxes; all kinds of noise are listed in `simulation.families`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import draw, measure

from napari_noisyseg.errors import UserError

Mask = NDArray[np.bool_]
"""One object's mask, (height, width)."""
Placement = Literal["equidistant", "random"]
"""Where a polygon's vertices sit on the outline."""

# scikit-image says little about its types.
_filled: Callable[..., Mask] = draw.polygon2mask
_contours: Callable[..., list[NDArray[np.float64]]] = measure.find_contours


def polygon(
    mask: Mask,
    vertices: int = 3,
    *,
    rng: np.random.Generator,
    placement: Placement = "equidistant",
) -> Mask:
    """Annotate the object by a filled polygon of a few vertices on its true outline.

    This is the noise of Mirikharaji, Yan and Hamarneh (arXiv 1906.03815). Of several objects the
    largest is annotated and the others are missed; holes are filled. No direction is preferred:
    the first vertex falls anywhere on the outline with equal chance.

    Parameters
    ----------
    mask
        True mask of the object, (height, width), bool.
    vertices
        Number of vertices, 3 or more.
    rng
        The source of chance.
    placement
        ``"equidistant"``: equal steps along the outline from a random start; ``"random"``: each
        vertex anywhere on the outline. The second is far noisier at the same number.

    Returns
    -------
    ndarray
        Noisy mask, (height, width), bool. Empty only where `mask` is empty: an object so small,
        or vertices so close together, that the polygon holds no pixel's centre leaves the
        object's pixels nearest to the vertices, so that nothing vanishes without a word.

    Raises
    ------
    UserError
        If there are fewer than 3 vertices or the placement is unknown.
    ValueError
        If `mask` is not two-dimensional.
    """
    if vertices < 3:
        raise UserError(f"A polygon needs 3 vertices or more, not {vertices}.")
    if placement not in ("equidistant", "random"):
        raise UserError(
            f'The placement of vertices is "equidistant" or "random", not "{placement}".'
        )
    target = _largest_object(mask)
    if not target.any():
        return target
    line = outline(target)
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if placement == "equidistant":
        share = (rng.random() + np.arange(vertices) / vertices) % 1.0
    else:
        share = np.sort(rng.random(vertices))
    rows, columns = (np.interp(share * along[-1], along, line[:, axis]) for axis in (0, 1))
    noisy: Mask = np.asarray(_filled(target.shape, np.stack([rows, columns], axis=1)), bool)
    if not noisy.any():
        inside = np.argwhere(target)
        distance = np.hypot(inside[:, :1] - rows, inside[:, 1:] - columns)
        nearest = inside[distance.argmin(axis=0)]
        noisy[nearest[:, 0], nearest[:, 1]] = True
    return noisy


def box(mask: Mask, margin: float = 0.0) -> Mask:
    """Annotate the object by its axis-aligned bounding box; of several objects the largest.

    Parameters
    ----------
    mask
        True mask of the object, (height, width), bool.
    margin
        Share of the box's height and width by which every side lies too far outside.

    Returns
    -------
    ndarray
        Noisy mask, (height, width), bool; empty where `mask` is empty.

    Raises
    ------
    ValueError
        If `mask` is not two-dimensional.
    """
    target = _largest_object(mask)
    noisy: Mask = np.zeros_like(target)
    # There is one object here, or none and then nothing to fill.
    for sides in ndimage.find_objects(target.astype(np.uint8)):
        rooms = [round(margin * (side.stop - side.start)) for side in sides]
        noisy[
            tuple(
                slice(max(0, side.start - room), side.stop + room)
                for side, room in zip(sides, rooms, strict=True)
            )
        ] = True
    return noisy


def outline(mask: Mask) -> NDArray[np.float64]:
    """Trace the outer outline of one object, half-way between its pixels and the background's.

    Parameters
    ----------
    mask
        Mask of one connected object, (height, width), bool, not empty; it may touch the border.

    Returns
    -------
    ndarray
        Points (n, 2) as row and column in pixels, pixel centres at whole numbers; closed, so the
        last point is the first. Filling it gives back the object with its holes filled.
    """
    contours = _contours(np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="high")
    # The outer outline of one object has the widest box: the outlines of holes lie inside it.
    widest = max(contours, key=lambda points: float(np.prod(np.ptp(points, axis=0))))
    return np.asarray(widest, np.float64) - 1.0


def _largest_object(mask: Mask) -> Mask:
    """Return the largest 8-connected component of a mask, a new array."""
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ValueError(f"a mask of (height, width) is needed, not of shape {mask.shape}")
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest
