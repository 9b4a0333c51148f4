"""Noise that gets whole objects wrong: another class, overlooked, or joined to a neighbour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_noisyseg.annotation.noise import Mask
from napari_noisyseg.annotation.simulation.objects import Labels, Object, objects_of

_NECK = 0.25
"""How much longer the way over the bridge of two joined objects may be than the straight one, as a
share of the smaller one's size; the neck between two disks is then 1.3 radii wide."""


def flip_classes(
    labels: Labels,
    rng: np.random.Generator,
    object_share: float,
    classes: Sequence[int],
    ignore_value: int | None = None,
) -> Labels:
    """Give objects another class, any other of `classes` with equal chance.

    Parameters
    ----------
    labels
        Class values, (height, width).
    rng
        The source of chance.
    object_share
        Chance of every object, 0 to 1.
    classes
        The objects' class values, two or more.
    ignore_value
        Class value that is no object.
    """
    noisy = labels.copy()
    for one in objects_of(labels, ignore_value):
        chance, other = rng.random(), rng.random()
        others = [value for value in classes if value != one.value]
        if chance < object_share:
            noisy[one.window][one.shape] = others[int(other * len(others))]
    return noisy


def miss_objects(
    labels: Labels, rng: np.random.Generator, object_share: float, ignore_value: int | None = None
) -> Labels:
    """Leave objects out, each with chance `object_share`."""
    noisy = labels.copy()
    for one in objects_of(labels, ignore_value):
        if rng.random() < object_share:
            noisy[one.window][one.shape] = 0
    return noisy


def merge_objects(
    labels: Labels, rng: np.random.Generator, object_share: float, ignore_value: int | None = None
) -> Labels:
    """Join objects to their nearest neighbours, each with chance `object_share`.

    The gap between the two is bridged, and both get the class of the larger one. A neighbour that
    is farther away than the mean size of the two stays apart.

    Parameters
    ----------
    labels
        Class values, (height, width).
    rng
        The source of chance.
    object_share
        Chance of every object, 0 to 1.
    ignore_value
        Class value that is no object.
    """
    noisy = labels.copy()
    objects = list(objects_of(labels, ignore_value))
    chances = rng.random(len(objects))
    for index, one in enumerate(objects):
        others = objects[:index] + objects[index + 1 :]
        if chances[index] < object_share and others:
            _join(noisy, one, others, labels == 0)
    return noisy


def _join(noisy: Labels, one: Object, others: Sequence[Object], background: Mask) -> None:
    """Join an object to the nearest of the others, in place."""
    from_one = ndimage.distance_transform_edt(~one.in_full(*noisy.shape))
    gaps = [float(from_one[other.window][other.shape].min()) for other in others]
    nearest = int(np.argmin(gaps))
    gap, other = gaps[nearest], others[nearest]
    if gap > (one.size + other.size) / 2:
        return
    shapes = one.in_full(*noisy.shape) | other.in_full(*noisy.shape)
    from_other = ndimage.distance_transform_edt(~other.in_full(*noisy.shape))
    way = gap + _NECK * min(one.size, other.size)
    bridge = background & (from_one + from_other <= way)
    larger = one if one.area >= other.area else other
    noisy[shapes | bridge] = larger.value
