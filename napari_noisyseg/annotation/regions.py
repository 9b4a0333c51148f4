"""Connected regions of a mask: cleaned by relative thickness, cut out, and held against objects.

The size of an object is its *width*, the hydraulic diameter 4 A / P of area and perimeter: the diameter
of a disc, the side of a square, twice the width of a long vessel, and small in a sheet with many gaps,
whose area says nothing. The perimeter is the number of pixel edges times pi / 4, the mean over all
directions.
"""

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

    def width_at(self, window: Window, mask: NDArray[np.bool_]) -> float:
        """Width in pixels of the object that a region belongs to.

        For a region that is an object of its own, new or gone, the typical width of the class.
        """
        if self.is_new(window, mask) or self.is_gone(window, mask):
            return self.typical_width
        return max(self._new.width_at(window, mask), self._old.width_at(window, mask))

    @cached_property
    def typical_width(self) -> float:
        """Width of the object that a pixel of the class lies in, in the median.

        Weighted by pixels, so that specks do not make objects look small; of both masks together,
        because an annotation may miss all objects.
        """
        widths = np.concatenate([self._old.widths, self._new.widths])
        areas = np.concatenate([self._old.areas[1:], self._new.areas[1:]])
        order = np.argsort(widths)
        reached = np.cumsum(areas[order])
        if not reached.size:
            return 0.0
        return float(widths[order[np.searchsorted(reached, reached[-1] / 2)]])

    def is_new(self, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether hardly any of the corrected object that a region is part of was annotated."""
        return self._share(self._new, self._kept_of_new, window, mask) < _HARDLY_ANY

    def is_gone(self, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether hardly any of the annotated object that a region is part of would stay."""
        return self._share(self._old, self._kept_of_old, window, mask) < _HARDLY_ANY

    @staticmethod
    def _share(
        objects: _Numbered, kept: NDArray[Any], window: Window, mask: NDArray[np.bool_]
    ) -> float:
        """Share of its pixels that an object keeps; 1 where the region is in none."""
        number = objects.number_at(window, mask)
        return float(kept[number] / objects.areas[number]) if number else 1.0

    @cached_property
    def _old(self) -> _Numbered:
        return _Numbered(self._before)

    @cached_property
    def _new(self) -> _Numbered:
        return _Numbered(self._after)

    @cached_property
    def _kept_of_old(self) -> NDArray[Any]:
        return self._old.count(self._before & self._after)

    @cached_property
    def _kept_of_new(self) -> NDArray[Any]:
        return self._new.count(self._before & self._after)


class _Numbered:
    """Connected objects of a mask, numbered from 1."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self._labels, self._count = ndimage.label(mask, _EIGHT)
        self.areas = self.count(mask)

    def count(self, mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Pixels of a mask in each object, by number."""
        return np.bincount(self._labels[mask], minlength=self._count + 1)

    def number_at(self, window: Window, mask: NDArray[np.bool_]) -> int:
        """Object that most of a region is in; 0 for none."""
        return int(np.bincount(self._labels[window][mask]).argmax())

    def width_at(self, window: Window, mask: NDArray[np.bool_]) -> float:
        """Width of the object that most of a region is in; 0 for none."""
        number = self.number_at(window, mask)
        return self._width(number) if number else 0.0

    @property
    def widths(self) -> NDArray[np.float64]:
        """Width of each object."""
        return np.array([self._width(number) for number in range(1, self._count + 1)])

    @cached_property
    def _windows(self) -> list[Window]:
        windows: list[Window] = ndimage.find_objects(self._labels)
        return windows

    def _width(self, number: int) -> float:
        object_ = np.pad(self._labels[self._windows[number - 1]] == number, 1)
        edges = sum(int(np.diff(object_, axis=axis).sum()) for axis in (0, 1))
        return 4 * float(self.areas[number]) / (edges * np.pi / 4)


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


def within(outer: Window, inner: Window) -> Window:
    """Return a window that is told relative to another as one of the whole slice."""
    return (
        slice(outer[0].start + inner[0].start, outer[0].start + inner[0].stop),
        slice(outer[1].start + inner[1].start, outer[1].start + inner[1].stop),
    )


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
