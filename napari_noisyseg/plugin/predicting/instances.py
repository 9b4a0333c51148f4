"""From probabilities to labels: threshold, smallest object, separate objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEPARATE_MOST = 65535
"""Most objects that are told apart in one picture or volume: what the labels' type holds."""


@dataclass(frozen=True)
class Choices:
    """What the user chose for making labels of probabilities.

    Attributes
    ----------
    threshold
        Probability from which a pixel is the object; of several classes the likeliest wins.
    smallest
        Smallest object that is kept, in pixels (voxels of a volume).
    separate
        Whether touching pixels get a number of their own for each object.
    """

    threshold: float = 0.5
    smallest: int = 0
    separate: bool = False


def labels_of(
    chances: NDArray[np.float32], values: tuple[int, ...], choices: Choices, *, volume: bool = False
) -> NDArray[np.uint16]:
    """Make labels of probabilities.

    Parameters
    ----------
    chances
        (pages, 1 or classes, height, width), 0 to 1; NaN where nothing was predicted.
    values
        The label of each class, background first.
    choices
        Threshold, smallest object, separate objects. Objects are pixels of one class that touch,
        also at a corner.
    volume
        Whether the pages are one volume, in which objects reach through pages.

    Returns
    -------
    ndarray
        (pages, height, width), uint16: the classes' values, or 1, 2, ... for separate objects
        (anew in every page, but through the whole volume); the background and what is not
        predicted is 0 there.
    """
    if chances.shape[1] == 1:
        found = (chances[:, 0] >= choices.threshold).astype(np.intp)
    else:
        known = np.nan_to_num(chances, nan=-1.0)
        found = np.where(known.max(1) < 0, 0, known.argmax(1))
    labels = np.asarray(values, np.uint16)[found]
    if choices.smallest <= 1 and not choices.separate:
        return labels
    if volume:
        return _objects(found, labels, choices)
    return np.stack([_objects(f, page, choices) for f, page in zip(found, labels, strict=True)])


def _objects(
    found: NDArray[np.intp], labels: NDArray[np.uint16], choices: Choices
) -> NDArray[np.uint16]:
    """Remove small objects from one picture or volume, and number the others if asked to."""
    from scipy import ndimage  # here, so that the dock opens without it

    touching = np.ones((3,) * found.ndim, bool)
    numbered = np.zeros(found.shape, np.uint16)
    kept = labels.copy()
    number = 0
    for index in range(1, int(found.max(initial=0)) + 1):
        objects, count = ndimage.label(found == index, structure=touching)
        sizes: NDArray[Any] = np.bincount(objects.ravel(), minlength=count + 1)
        large = sizes >= choices.smallest
        large[0] = False
        new = np.zeros(count + 1, np.int64)
        new[large] = np.arange(number + 1, number + 1 + int(large.sum()))
        number += int(large.sum())
        numbered += np.minimum(new, SEPARATE_MOST).astype(np.uint16)[objects]
        kept[(objects > 0) & ~large[objects]] = labels.dtype.type(0)
    return numbered if choices.separate else kept
