"""Objects on which a network and an annotation contradict each other as a whole.

The noise model knows how far an outline runs from the object's. Of an object that is annotated where
there is none, is not annotated, or is given another class, no outline tells. A network does that finds
nothing in an annotated object, or finds an object where nothing is annotated. It does so by mistake as
well: how often is seen on the clean images, and what is more is the annotations' error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.learning.noise_model import Mask

APART = 0.1
"""Objects are not the same if less of the smaller one than this share lies in the larger one."""
MISTAKEN = 0.15
"""Share of the objects that a network may always overlook or make up: it has learned from the clean
images, and errs less there."""
UNSEEN = 1.5
"""Contradictions that clean images may not have shown for want of more of them: over their number."""

_NONE, _SPURIOUS, _MISSED = range(3)


@dataclass(frozen=True)
class Contradictions:
    """Where network and annotation contradict each other as a whole, and how often it is the network.

    Attributes
    ----------
    kinds
        Of each image, (*grid), uint8: 1 in annotated objects that the network does not find, 2 in
        objects that it finds and nobody annotated, 0 elsewhere.
    mistaken
        By kind, (3,): how often it is the network that errs there, 0 to 1; 1 where nothing is
        contradicted.
    """

    kinds: Sequence[NDArray[np.uint8]]
    mistaken: NDArray[np.float64]

    @classmethod
    def none(cls, images: int) -> Contradictions:
        """No contradiction in so many images."""
        return cls([np.zeros((), np.uint8)] * images, np.ones(3))

    def mistaken_at(self, place: int) -> NDArray[np.float64]:
        """How often it is the network that errs, pixel by pixel of an image: (*grid), 0 to 1."""
        return self.mistaken[self.kinds[place]]

    def worth(self, place: int) -> NDArray[np.float64]:
        """How often the annotation is right, at most, pixel by pixel: (*grid), 0.5 to 1.

        As often as the network errs. Below one half an annotation would speak for its contrary: it says
        nothing instead, and what the network says of this very object counts.
        """
        return np.maximum(self.mistaken_at(place), 0.5)

    def missing_pixels(self, marked: Sequence[int]) -> float:
        """How many pixels more than the annotations say belong to the class, over all that mark any."""
        counts = [
            np.bincount(kinds.ravel(), minlength=3)
            for kinds, count in zip(self.kinds, marked, strict=True)
            if count
        ]
        wrong = np.sum(counts, 0) * (1 - self.mistaken) if counts else np.zeros(3)
        return float(wrong[_MISSED] - wrong[_SPURIOUS])


@dataclass(frozen=True)
class Seen:
    """One class in one image: what the network finds and what is annotated, each (*grid), bool."""

    found: Mask
    annotated: Mask


def contradictions(noisy: Sequence[Seen], clean: Sequence[Seen]) -> Contradictions:
    """Compare what a network finds with noisy masks and, for its own mistakes, with clean ones.

    Where it contradicts a share s of the area of all objects in noisy masks, and m in n clean ones, it
    errs in ``min(1, max(m, MISTAKEN, UNSEEN / n) / s)`` of these cases; in all of them where no clean
    image has an object to tell.
    """
    kinds = [_kinds(seen) for seen in noisy]
    share, _ = _shares(kinds, noisy)
    own, area = _shares([_kinds(seen) for seen in clean], clean)
    least = max(MISTAKEN, min(1.0, UNSEEN / max(len(clean), 1)))
    own = np.where(area > 0, np.maximum(own, least), 1.0)
    return Contradictions(kinds, np.append(1.0, own / np.maximum(share, own)))


def _kinds(seen: Seen) -> NDArray[np.uint8]:
    around = np.ones((3,) * seen.found.ndim)
    annotated, _ = ndimage.label(seen.annotated, structure=around)
    found, count = ndimage.label(seen.found, structure=around)
    areas = [np.bincount(labels.ravel()) for labels in (annotated, found)]
    inside = (annotated > 0) & (found > 0)
    pairs = annotated[inside].astype(np.int64) * (count + 1) + found[inside]
    numbers, shared = np.unique(pairs, return_counts=True)
    one, other = np.divmod(numbers, count + 1)
    same = shared >= APART * np.minimum(areas[0][one], areas[1][other])
    kinds = np.full(seen.found.shape, _NONE, np.uint8)
    kinds[(annotated > 0) & ~np.isin(annotated, one[same])] = _SPURIOUS
    kinds[(found > 0) & ~np.isin(found, other[same])] = _MISSED
    return kinds


def _shares(
    kinds: Sequence[NDArray[np.uint8]], seen: Sequence[Seen]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area of the contradicted objects over that of all, and that of all: annotated ones, found ones."""
    contradicted, area = np.zeros(2), np.zeros(2)
    for image, one in zip(kinds, seen, strict=True):
        contradicted += np.bincount(image.ravel(), minlength=3)[1:]
        area += np.count_nonzero(one.annotated), np.count_nonzero(one.found)
    return contradicted / np.maximum(area, 1), area
