"""Connected regions of a mask: cleaned by relative thickness, cut out, and held against objects."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EIGHT = np.ones((3, 3), bool)
# An object that keeps less than this share of its pixels is gone, one that had less is new.
_HARDLY_ANY = 0.1

Window = tuple[slice, slice]


class ClassObjects:
    """The objects of one class in a slice, as annotated and as they would be once corrected.

    Parameters
    ----------
    before, after
        (height, width) bool: pixels of the class.
    """

    def __init__(self, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
        self._before = before
        self._after = after

    @property
    def typical_area(self) -> float:
        """Area in pixels of the object that a pixel of the class lies in, in the median.

        Weighted by pixels, so that specks do not make objects look small; of both masks together,
        because an annotation may miss all objects.
        """
        sizes = np.sort(np.concatenate([self._old[1][1:], self._new[1][1:]]))
        if not sizes.size:
            return 0.0
        reached = np.cumsum(sizes)
        return float(sizes[np.searchsorted(reached, reached[-1] / 2)])

    def is_new(self, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether hardly any of the corrected object that a region is part of was annotated."""
        return self._share(self._new, self._kept_of_new, window, mask) < _HARDLY_ANY

    def is_gone(self, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether hardly any of the annotated object that a region is part of would stay."""
        return self._share(self._old, self._kept_of_old, window, mask) < _HARDLY_ANY

    @staticmethod
    def _share(
        labelled: tuple[NDArray[Any], NDArray[Any]],
        kept: NDArray[Any],
        window: Window,
        mask: NDArray[np.bool_],
    ) -> float:
        labels, areas = labelled
        number = int(np.bincount(labels[window][mask]).argmax())
        return float(kept[number] / areas[number]) if number else 0.0

    @cached_property
    def _old(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return _labelled(self._before)

    @cached_property
    def _new(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return _labelled(self._after)

    @cached_property
    def _kept_of_old(self) -> NDArray[Any]:
        return self._common(self._old)

    @cached_property
    def _kept_of_new(self) -> NDArray[Any]:
        return self._common(self._new)

    def _common(self, labelled: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
        """Pixels of each object that are of the class before and after."""
        labels, areas = labelled
        return np.bincount(labels[self._before & self._after], minlength=len(areas))


def _labelled(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return objects numbered from 1, and areas by number, 0 for the background."""
    labels, count = ndimage.label(mask, _EIGHT)
    areas = np.bincount(labels[mask], minlength=count + 1)
    return labels, areas


def opened(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Remove what is not thicker than twice the radius, and keep the rest up to its outline.

    An opening by an octagon, after which what lies within twice the radius of the rest comes back.
    Pixels beyond the array count as part of the mask, so that regions may end at an image's edge.
    """
    if radius < 1:
        return mask
    core = _eroded(mask, radius)
    return mask & ~_eroded(~core, 2 * radius)


def regions_of(mask: NDArray[np.bool_], least: float) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
    """Yield the window of each connected region of at least so many pixels, and the region in it."""
    labels, count = ndimage.label(mask, _EIGHT)
    if not count:
        return
    areas = np.bincount(labels[mask], minlength=count + 1)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if areas[number] >= least:
            yield window, labels[window] == number


def _eroded(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Erode by an octagon: by a cross and by a square in turn; beyond the array all is True.

    Much faster than `scipy.ndimage.binary_erosion`, because whole rows are combined at once.
    """
    for step in range(radius):
        smaller = mask.copy()
        smaller[1:] &= mask[:-1]
        smaller[:-1] &= mask[1:]
        source = smaller.copy() if step % 2 else mask
        smaller[:, 1:] &= source[:, :-1]
        smaller[:, :-1] &= source[:, 1:]
        mask = smaller
    return mask
