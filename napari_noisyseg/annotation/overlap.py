"""Overlap of two masks: Dice, Jaccard, sensitivity, specificity, accuracy.

A mask is a boolean array of any dimension, True on the object. Wherever `ignored` is given, its
True pixels were not annotated and count for nothing.

Both masks empty: Dice and Jaccard are 1. One of them empty: they are 0. A measure whose denominator
is empty (sensitivity without an object, specificity without background, anything without one
annotated pixel) is undefined: nan, never a number in its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

ISIC_THRESHOLD = 0.65
"""Jaccard index below which the ISIC 2018 challenge counts a segmentation as failed."""


@dataclass(frozen=True)
class Confusion:
    """How many annotated pixels are right and wrong, and the measures that follow from that.

    Attributes
    ----------
    true_positive, false_positive, false_negative, true_negative
        Numbers of pixels; positive means that the prediction has the object there.
    """

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def occurs(self) -> bool:
        """Whether the object is in the prediction or in the truth."""
        return self.true_positive + self.false_positive + self.false_negative > 0

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        wrong = self.false_positive + self.false_negative
        return share(2 * self.true_positive, 2 * self.true_positive + wrong, self._both_empty)

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN)."""
        wrong = self.false_positive + self.false_negative
        return share(self.true_positive, self.true_positive + wrong, self._both_empty)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN)."""
        return share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP)."""
        return share(self.true_negative, self.true_negative + self.false_positive)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all annotated pixels."""
        right = self.true_positive + self.true_negative
        return share(right, right + self.false_positive + self.false_negative)

    @property
    def _both_empty(self) -> float:
        return 1.0 if self.true_negative else math.nan


def confusion(prediction: Mask, truth: Mask, ignored: Mask | None = None) -> Confusion:
    """Count the annotated pixels that are right and wrong.

    Parameters
    ----------
    prediction, truth, ignored
        Masks of one shape.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    prediction, truth, ignored = as_masks(prediction, truth, ignored)
    if ignored is not None:
        prediction, truth = prediction[~ignored], truth[~ignored]
    both = int(np.count_nonzero(prediction & truth))
    predicted, true = int(np.count_nonzero(prediction)), int(np.count_nonzero(truth))
    return Confusion(both, predicted - both, true - both, truth.size - predicted - true + both)


def dice(prediction: Mask, truth: Mask, ignored: Mask | None = None) -> float:
    """Dice coefficient, 0 to 1: twice the overlap over the sum of the two areas.

    Both masks empty: 1; one empty: 0; no annotated pixel: nan.
    """
    return confusion(prediction, truth, ignored).dice


def as_masks(
    prediction: NDArray[Any], truth: NDArray[Any], ignored: NDArray[Any] | None
) -> tuple[Mask, Mask, Mask | None]:
    """Return the arrays as boolean masks; ValueError names the shapes when they differ."""
    prediction, truth = np.asarray(prediction, dtype=bool), np.asarray(truth, dtype=bool)
    ignored = None if ignored is None else np.asarray(ignored, dtype=bool)
    for other in (truth, ignored):
        if other is not None and other.shape != prediction.shape:
            raise ValueError(f"masks of different shapes: {prediction.shape} and {other.shape}")
    return prediction, truth, ignored


def thresholded(index: float, threshold: float = ISIC_THRESHOLD) -> float:
    """Return a Jaccard index, or 0 where it is below the threshold; nan stays nan."""
    return 0.0 if index < threshold else index


def share(part: int, whole: int, empty: float = math.nan) -> float:
    """Return ``part / whole``, or `empty` where the whole is 0."""
    return part / whole if whole else empty
