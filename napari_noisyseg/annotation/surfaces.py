"""Distance between the outlines of two masks: HD95 and ASSD.

A mask is a boolean array of any dimension, True on the object. Wherever `ignored` is given, its
True pixels were not annotated. Both masks empty: every distance is 0; one of them empty: no
distance is defined, and the measures are nan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from napari_noisyseg.annotation.overlap import Mask, as_masks

Distances = NDArray[np.float64]

DENSE_SURFACE = 0.1
"""Share of surface pixels from which a distance transform is faster than a search tree."""


def surface_distances(
    prediction: Mask,
    truth: Mask,
    ignored: Mask | None = None,
    spacing: Sequence[float] | None = None,
) -> tuple[Distances, Distances] | None:
    """Return the distance from each surface pixel to the other mask's surface, both ways.

    A mask's surface is made of its pixels that share an edge (in 3-D a face) with a pixel outside
    of the mask; what lies beyond the image's border is outside. This is the surface of MONAI's
    distances. A pixel that was not annotated is neither surface nor outside, so the border of
    the annotated region is no outline. An axis of length 1 is no dimension of the image: a
    picture given as (1, height, width) is measured in 2-D.

    Parameters
    ----------
    prediction, truth, ignored
        Masks of one shape.
    spacing
        Distance between neighbouring pixels along each axis, in any unit; 1 where not given.

    Returns
    -------
    From the prediction's surface to the truth's and back, float64, in the unit of `spacing`. Both
    are empty where the masks agree in every annotated pixel without having a surface (both are
    empty, or both reach the border of the annotated region everywhere). None where the distances
    are undefined: only one mask has a surface, or no pixel is annotated.
    """
    prediction, truth, ignored = as_masks(prediction, truth, ignored)
    steps = np.ones(truth.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    if steps.shape != (truth.ndim,) or not np.all(np.isfinite(steps) & (steps > 0)):
        raise ValueError(f"spacing must be {truth.ndim} positive numbers, not {spacing}")
    if ignored is not None:
        if ignored.all():
            return None
        prediction, truth = prediction & ~ignored, truth & ~ignored
    box = _bounding_box(prediction | truth)
    if box is None:
        return np.empty(0), np.empty(0)
    kept = [axis for axis, length in enumerate(truth.shape) if length > 1] or [0]
    steps = steps[kept]
    shape = tuple(box[axis].stop - box[axis].start for axis in kept)
    unknown = None if ignored is None else ignored[box].reshape(shape)
    prediction, truth = prediction[box].reshape(shape), truth[box].reshape(shape)
    ours, theirs = _surface(prediction, unknown), _surface(truth, unknown)
    if not ours.any() and not theirs.any() and np.array_equal(prediction, truth):
        return np.empty(0), np.empty(0)
    if not ours.any() or not theirs.any():
        return None
    if np.count_nonzero(ours) + np.count_nonzero(theirs) > DENSE_SURFACE * ours.size:
        return (
            np.asarray(distance_transform_edt(~theirs, sampling=steps))[ours],
            np.asarray(distance_transform_edt(~ours, sampling=steps))[theirs],
        )
    points, others = np.argwhere(ours) * steps, np.argwhere(theirs) * steps
    return _nearest(points, others), _nearest(others, points)


def _bounding_box(mask: Mask) -> tuple[slice, ...] | None:
    """Return the smallest box around the mask and a margin of one pixel; None if it is empty."""
    box = []
    for axis in range(mask.ndim):
        rest = tuple(other for other in range(mask.ndim) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=rest))
        if occupied.size == 0:
            return None
        box.append(
            slice(max(int(occupied[0]) - 1, 0), min(int(occupied[-1]) + 2, mask.shape[axis]))
        )
    return tuple(box)


def _surface(mask: Mask, ignored: Mask | None) -> Mask:
    """Pixels of the mask with a neighbour outside; ignored pixels are neither.

    Shifted copies instead of a binary erosion: the same pixels, twenty times faster.
    """
    solid = mask if ignored is None else mask | ignored
    inner = solid.copy()
    for axis in range(mask.ndim):
        target, source = np.moveaxis(inner, axis, 0), np.moveaxis(solid, axis, 0)
        target[1:] &= source[:-1]
        target[:-1] &= source[1:]
        target[0] = target[-1] = False
    return mask & ~inner


def _nearest(points: Distances, others: Distances) -> Distances:
    distances, _ = KDTree(others, leafsize=32, balanced_tree=False).query(points)
    return np.asarray(distances, dtype=np.float64)


def percentile95(distances: tuple[Distances, Distances] | None) -> float:
    """95th-percentile Hausdorff distance (HD95) of what `surface_distances` returned; nan if None.

    The larger of the two directed 95th percentiles (linear interpolation), in the unit of the
    spacing; the same number as MONAI's ``compute_hausdorff_distance(percentile=95)``.
    """
    if distances is None:
        return math.nan
    return max(float(np.percentile(each, 95)) if each.size else 0.0 for each in distances)


def average(distances: tuple[Distances, Distances] | None) -> float:
    """Average symmetric surface distance (ASSD) of what `surface_distances` returned; nan if None.

    The mean of both directions taken together, so the longer surface counts for more; the same
    number as MONAI's ``compute_average_surface_distance(symmetric=True)``.
    """
    if distances is None:
        return math.nan
    pooled = np.concatenate(distances)
    return float(pooled.mean()) if pooled.size else 0.0
