"""How likely each pixel of an annotation is wrong, and what it would then be.

Two witnesses speak about a pixel: the *trust* that training has learned for its label, and the
*probability* that the model gives the label's class. Both are probabilities that the label is right;
a method that learns no trust leaves the model alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.classes import IGNORED

# Neither witness is ever sure: one that says 0 or 1 must not silence the other.
_SUREST = 0.99
_RIM = 0.15
"""Width of an object's rim, as a share of the square root of its area."""


@dataclass(frozen=True)
class Contradiction:
    """What speaks against the labels of one slice.

    Attributes
    ----------
    given
        (height, width) int16, class indices of the annotation, `IGNORED` where there is none, or where
        probability or trust are not known (nan).
    judged
        (height, width) bool: pixels that are annotated and not settled by a person.
    error
        (height, width) float32, 0 to 1: probability that the label is wrong; 0 where not judged.
    other
        (height, width), class indices: the likeliest class but the given one; in the rim of an object
        most of which is of another class, that class.
    classes
        Number of classes.
    """

    given: NDArray[Any]
    judged: NDArray[np.bool_]
    error: NDArray[np.float32]
    other: NDArray[Any]
    classes: int


def contradiction(
    given: NDArray[Any],
    chances: NDArray[np.float32],
    trust: NDArray[np.float32] | None = None,
    settled: NDArray[np.uint8] | None = None,
) -> Contradiction:
    """Weigh trust and probability of one slice.

    The odds of the two witnesses are averaged geometrically (a logarithmic opinion pool): they come
    from the same network, so that multiplying them would count the same evidence twice.

    Parameters
    ----------
    given
        (height, width), class indices, `IGNORED` (-1) where not annotated.
    chances
        (1, height, width), the object's probability of two classes, or (classes, height, width);
        0 to 1, nan where not known.
    trust
        (height, width), 0 to 1, of the given labels, nan where not known; None if none was learned.
    settled
        (height, width), what a person has settled (`napari_noisyseg.annotation.corrections`); pixels
        other than 0 are not judged.

    Raises
    ------
    ValueError
        If the sizes differ or a class index has no probability.
    """
    classes = max(2, len(chances))
    others = [part.shape for part in (trust, settled) if part is not None]
    if given.ndim != 2 or any(s != given.shape for s in (chances.shape[1:], *others)):
        raise ValueError(
            f"sizes differ: labels {given.shape}, probabilities {chances.shape}, others {others}"
        )
    if given.size and (given.max() >= classes or given.min() < IGNORED):
        raise ValueError(f"labels from {given.min()} to {given.max()}, but {classes} classes")
    given = given.astype(np.int16, copy=False)  # of the smaller types not all know what IGNORED is
    known = np.isfinite(chances).all(0)
    if trust is not None:
        known &= np.isfinite(trust)
    if not known.all():
        given = np.where(known, given, IGNORED)
    judged = given != IGNORED
    if settled is not None:
        judged &= settled == 0
    right, other = _label_and_rival(given, chances)
    if trust is None:
        error = 1 - right
    else:
        odds = _odds(right) * _odds(trust)
        error = 1 / (1 + np.sqrt(odds))
    error = np.where(judged, error, np.float32(0)).astype(np.float32, copy=False)
    if classes > 2:
        _keep_rims(given, error, other, classes)
    return Contradiction(given, judged, error, other, classes)


def _keep_rims(
    given: NDArray[Any], error: NDArray[np.float32], other: NDArray[Any], classes: int
) -> None:
    """Let objects that change their class do so with their rim.

    A network's outline runs a little inside or outside of the annotated one. Where most of an annotated
    object is of another class, the narrow part of it that would become background becomes that class.
    """
    contradicted = error > 0.5
    exchanged = contradicted & (other > 0) & (given > 0)
    for label in np.unique(given[exchanged]):
        objects, _ = ndimage.label(given == label, np.ones((3, 3)))
        areas = np.bincount(objects.ravel())
        at = exchanged & (objects > 0)
        votes = np.bincount(objects[at] * classes + other[at], minlength=len(areas) * classes)
        winners = np.argwhere(2 * votes.reshape(-1, classes) > areas[:, None])
        windows = ndimage.find_objects(objects) if len(winners) else []
        for index, rival in winners:
            window = windows[index - 1]
            inside = objects[window] == index
            changed = inside & at[window] & (other[window] == rival)
            away = ndimage.distance_transform_edt(~changed)
            rim = inside & (away <= max(1.0, _RIM * np.sqrt(areas[index])))
            rim &= contradicted[window] & (other[window] == 0)
            other[window][rim] = rival


def _label_and_rival(
    given: NDArray[Any], chances: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Probability of the given class, and the likeliest of the others."""
    if len(chances) == 1:
        positive = given == 1
        return np.where(positive, chances[0], 1 - chances[0]), 1 - positive.astype(np.int16)
    right = np.zeros(given.shape, np.float32)
    rest = np.full(given.shape, -1, np.float32)
    other = np.zeros(given.shape, np.int16)
    for index, chance in enumerate(chances):  # much faster than argmax along the first axis
        own = given == index
        right += chance * own
        rival = np.where(own, np.float32(-1), chance)
        other = np.where(rival > rest, np.int16(index), other)
        rest = np.maximum(rest, rival)
    return right, other


def _odds(chance: NDArray[np.float32]) -> NDArray[np.float32]:
    bounded = np.clip(chance, 1 - _SUREST, _SUREST)
    odds: NDArray[np.float32] = bounded / (1 - bounded)
    return odds
