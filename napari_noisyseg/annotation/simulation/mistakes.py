"""Noise that gets whole objects wrong: another class, overlooked, or joined to a neighbour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
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

    The gaps are bridged, and all that hang together get the class of the largest; of several equally
    large ones, one by chance. A neighbour that is farther away than the mean size of the two stays
    apart.

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
    noisy = labels.copy(order="C")
    objects = list(objects_of(labels, ignore_value))
    chances = rng.random(len(objects))
    group = np.arange(len(objects))
    bridges: dict[int, NDArray[np.intp]] = {}
    for index in np.flatnonzero(chances < object_share).tolist():
        if (found := _neighbour(index, objects, labels == 0)) is not None:
            other, bridges[index] = found
            group[group == group[other]] = group[index]
    for number in np.unique(group):
        members = np.flatnonzero(group == number).tolist()
        value = objects[max(members, key=lambda each: (objects[each].area, chances[each]))].value
        for member in members:
            one = objects[member]
            noisy[one.window][one.shape] = value
            if member in bridges:
                noisy.ravel()[bridges[member]] = value
    return noisy


def _neighbour(
    index: int, objects: Sequence[Object], background: Mask
) -> tuple[int, NDArray[np.intp]] | None:
    """Return the nearest other object, if it is near enough, and the places of the bridge to it."""
    one = objects[index]
    from_one = ndimage.distance_transform_edt(~one.in_full(*background.shape))
    gaps = [float(from_one[other.window][other.shape].min()) for other in objects]
    gaps[index] = np.inf
    nearest = int(np.argmin(gaps))
    gap, other = gaps[nearest], objects[nearest]
    if gap > (one.size + other.size) / 2:
        return None
    from_other = ndimage.distance_transform_edt(~other.in_full(*background.shape))
    way = gap + _NECK * min(one.size, other.size)
    return nearest, np.flatnonzero(background & (from_one + from_other <= way))
