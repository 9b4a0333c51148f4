"""The objects of a mask, taken apart and painted together again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.noise import Mask

Labels = NDArray[Any]
"""Class values of one page, (height, width), whole numbers; 0 is background."""
Window = tuple[slice, slice]

_ROOM = 2.0
"""Room around an object for its noise, in diagonals of its box."""


@dataclass(frozen=True, eq=False)
class Object:
    """One connected object of one class.

    Attributes
    ----------
    value
        Its class value.
    window
        The rows and columns of its bounding box.
    shape
        The object within the window, bool.
    """

    value: int
    window: Window
    shape: Mask

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.shape))

    @property
    def size(self) -> float:
        """Its size as a length in pixels: the side of the square of the same area."""
        return math.sqrt(self.area)

    def in_full(self, height: int, width: int) -> Mask:
        """Return the object alone in a mask of that size."""
        full = np.zeros((height, width), bool)
        full[self.window] = self.shape
        return full


def objects_of(labels: Labels, ignore_value: int | None = None) -> Iterator[Object]:
    """Yield the 8-connected objects of every class other than 0 and `ignore_value`, in order."""
    for value in np.unique(labels):
        if value == 0 or value == ignore_value:
            continue
        numbered, _ = ndimage.label(labels == value, structure=np.ones((3, 3)))
        for number, window in enumerate(ndimage.find_objects(numbered), start=1):
            yield Object(int(value), window, numbered[window] == number)


def with_room(one: Object, height: int, width: int) -> tuple[Window, Mask]:
    """Return a window with room for the object's noise, within the image, and the object in it."""
    room = math.ceil(_ROOM * math.hypot(*one.shape.shape)) + 3
    window = tuple(
        slice(max(0, part.start - room), min(length, part.stop + room))
        for part, length in zip(one.window, (height, width), strict=True)
    )
    inside = tuple(
        slice(part.start - outer.start, part.stop - outer.start)
        for part, outer in zip(one.window, window, strict=True)
    )
    shape = np.zeros([part.stop - part.start for part in window], bool)
    shape[inside] = one.shape
    return (window[0], window[1]), shape


def change_each(
    labels: Labels,
    change: Callable[[Mask], Mask],
    rng: np.random.Generator,
    ignore_value: int | None = None,
) -> Labels:
    """Change every object by itself, in a window with room, and paint what comes out.

    Where several objects claim a pixel, the one that it truly belongs to has it, and otherwise one
    by chance, so that no class and no direction is preferred.

    Parameters
    ----------
    labels
        Class values of one page.
    change
        Returns the noisy mask of an object's true one, in the same window.
    rng
        The source of chance.
    ignore_value
        Class value that is no object.

    Returns
    -------
    ndarray
        Class values, a new array of the same shape and type.
    """
    painted = np.zeros_like(labels)
    objects = list(objects_of(labels, ignore_value))
    noisy: list[tuple[Window, Mask]] = []
    for one in objects:
        window, shape = with_room(one, *labels.shape)
        noisy.append((window, change(shape)))
    for index in rng.permutation(len(objects)):
        window, shape = noisy[index]
        painted[window][shape] = objects[index].value
    for one, (window, shape) in zip(objects, noisy, strict=True):
        painted[window][shape & (labels[window] == one.value)] = one.value
    return painted
