"""Connected regions of a mask: cleaned by relative thickness, cut out, and held against objects.

The size of an object is its *width*, the hydraulic diameter 4 A / P of area and perimeter: the diameter
of a disc, the side of a square, twice the width of a long vessel, and small in a sheet with many gaps,
whose area says nothing. The perimeter is the number of pixel edges times pi / 4, the mean over all
directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EIGHT = np.ones((3, 3), bool)
# An object that keeps less than this share of its pixels is gone, one that had less is new.
_HARDLY_ANY = 0.1

Window = tuple[slice, slice]


class SliceObjects:
    """The objects of a slice, as annotated and as they would be once corrected.

    Parameters
    ----------
    before, after
        (height, width), class indices; 0 and less are no object. Objects are connected pixels of one
        class. Pixels that stay an object's keep it, also those of one that changes its class.

    Attributes
    ----------
    shape
        (height, width) of the slice.
    """

    def __init__(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        self.shape = before.shape
        self._old, self._new = _Numbered(before), _Numbered(after)
        same = (before == after) & (before > 0)
        changed = (before != after) & (before > 0) & (after > 0)
        exchanged = [sheet.exchanged(same, changed) for sheet in (self._new, self._old)]
        self._old.keep(same | exchanged[0])
        self._new.keep(same | exchanged[1])
        self._typical: dict[int, float] = {}

    def width_at(self, label: int, window: Window, mask: NDArray[np.bool_]) -> float:
        """Width in pixels of the object of a class that a region belongs to.

        For a region that is an object of its own, new or gone, the typical width of the class.
        """
        if self.is_new(label, window, mask) or self.is_gone(label, window, mask):
            return self.typical_width(label)
        return max(sheet.width_at(label, window, mask) for sheet in (self._new, self._old))

    def typical_width(self, label: int) -> float:
        """Width of the object that a pixel of the class lies in, in the median.

        Weighted by pixels, so that specks do not make objects look small; of both masks together,
        because an annotation may miss all objects.
        """
        if label not in self._typical:
            owns = [(sheet, sheet.labels == label) for sheet in (self._old, self._new)]
            widths = np.concatenate([sheet.widths[own] for sheet, own in owns])
            areas = np.concatenate([sheet.areas[own] for sheet, own in owns])
            order = np.argsort(widths)
            reached = np.cumsum(areas[order])
            middle = order[np.searchsorted(reached, reached[-1] / 2)] if reached.size else None
            self._typical[label] = 0.0 if middle is None else float(widths[middle])
        return self._typical[label]

    def is_new(self, label: int, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether hardly any of the corrected object that a region is part of was annotated."""
        return self._new.share_kept(label, window, mask) < _HARDLY_ANY

    def is_gone(self, label: int, window: Window, mask: NDArray[np.bool_]) -> bool:
        """Whether hardly any of the annotated object that a region is part of would stay."""
        return self._old.share_kept(label, window, mask) < _HARDLY_ANY


class _Numbered:
    """Connected objects of all classes, numbered from 1; 0 stands for none, whose width is 0.

    Attributes
    ----------
    labels, areas, widths
        (objects + 1,), class, pixels and width of each object.
    """

    def __init__(self, classes: NDArray[Any]) -> None:
        numbers, labels = np.zeros(classes.shape, np.int32), [0]
        for label in range(1, int(classes.max(initial=0)) + 1):
            own, count = ndimage.label(classes == label, _EIGHT)
            if len(labels) > 1:
                own[own > 0] += len(labels) - 1
                numbers += own
            else:
                numbers = own
            labels += [label] * count
        self._numbers = numbers
        self.labels = np.array(labels)
        count = len(labels)
        self.areas = np.bincount(numbers.ravel(), minlength=count)
        self.areas[0] = 0
        self.widths = 4 * self.areas / np.maximum(_edges(numbers, count) * np.pi / 4, 1)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Count the pixels that each object keeps."""
        self._kept = np.bincount(self._numbers[kept], minlength=len(self.labels))

    def exchanged(self, same: NDArray[np.bool_], changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the pixels of another class in the other sheet, of objects most of which are such.

        What an object that else stays as it is loses to a neighbour, or takes from it, is not.

        Parameters
        ----------
        same, changed
            (height, width), objects' pixels of the same, and of another object's class in both.
        """
        if not changed.any():
            return changed
        count = len(self.labels)
        stay, leave = (np.bincount(self._numbers[at], minlength=count) for at in (same, changed))
        return changed & (leave > stay)[self._numbers]

    def number_at(self, label: int, window: Window, mask: NDArray[np.bool_]) -> int:
        """Object of a class that most of a region is in; 0 for none."""
        number = int(np.bincount(self._numbers[window][mask]).argmax())
        return number if self.labels[number] == label else 0

    def width_at(self, label: int, window: Window, mask: NDArray[np.bool_]) -> float:
        """Width of the object at a region; 0 where the region is in none."""
        return float(self.widths[self.number_at(label, window, mask)])

    def share_kept(self, label: int, window: Window, mask: NDArray[np.bool_]) -> float:
        """Share of its pixels that the object at a region keeps; 1 where the region is in none."""
        number = self.number_at(label, window, mask)
        return float(self._kept[number] / self.areas[number]) if number else 1.0


def _edges(numbers: NDArray[np.int32], count: int) -> NDArray[np.intp]:
    """Pixel edges at the outline of each object, by number; an image's edge is one."""
    edges = np.zeros(count, np.intp)
    for one, other in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        differ = one != other
        for side in (one[differ], other[differ]):
            edges += np.bincount(side, minlength=count)
    for side in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        edges += np.bincount(side, minlength=count)
    return edges


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
