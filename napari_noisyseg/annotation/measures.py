"""How well a segmentation, or a doubt about an annotation, agrees with the truth, per image.

A mask is a boolean array of any dimension, True on the object. Wherever `ignored` is given, its
True pixels were not annotated and count for nothing.

Empty masks
    Both empty: Dice and Jaccard are 1, distances 0. One of them empty: Dice and Jaccard are 0,
    distances undefined. A measure whose denominator is empty (sensitivity without an object,
    specificity without background, anything without one annotated pixel) is undefined. Undefined
    is nan, never a number in its place, so that a table can count it apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noisyseg.annotation.classes import IGNORED
from napari_noisyseg.annotation.overlap import (
    ISIC_THRESHOLD,
    Confusion,
    Mask,
    as_masks,
    confusion,
    dice,
    share,
    thresholded,
)
from napari_noisyseg.annotation.surfaces import (
    average,
    percentile95,
    surface_distances,
)

__all__ = [
    "CALIBRATION_BINS",
    "ISIC_THRESHOLD",
    "Confusion",
    "confusion",
    "dice",
    "error_detection",
    "expected_calibration_error",
    "measure_image",
    "surface_distances",
]

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

CALIBRATION_BINS = 15
"""Number of equally wide bins of the calibration error, as in Guo et al. (ICML 2017)."""


def expected_calibration_error(
    probabilities: Floats,
    truth: Mask,
    bins: int = CALIBRATION_BINS,
    ignored: Mask | None = None,
) -> float:
    """Return the expected calibration error of the object's probability, 0 to 1.

    Pixels are sorted by their probability into equally wide bins ``(k / bins, (k + 1) / bins]``
    (0 belongs to the first); the error is the mean over the pixels of
    ``|mean probability - share of object pixels|`` in their bin. It is the binned error of Guo
    et al. (ICML 2017), taken of the object's probability rather than the likelier class's: does
    the object cover 70 % of the pixels where the map says 0.7?

    Parameters
    ----------
    probabilities
        The object's probability per pixel, 0 to 1, in the shape of `truth`.
    truth, ignored
        Masks of one shape.
    bins
        Number of bins, 1 or more.

    Returns
    -------
    The error; nan without an annotated pixel.

    Raises
    ------
    ValueError
        If a probability is not between 0 and 1 or the shapes differ.
    """
    if bins < 1:
        raise ValueError(f"bins must be 1 or more, not {bins}")
    truth, _, ignored = as_masks(truth, truth, ignored)
    given = np.asarray(probabilities)
    if given.shape != truth.shape:
        raise ValueError(f"probabilities {given.shape} do not fit the truth {truth.shape}")
    if given.dtype not in (np.float32, np.float64):
        given = given.astype(np.float32)
    if ignored is not None:
        given, truth = given[~ignored], truth[~ignored]
    if truth.size == 0:
        return math.nan
    # Blending of tiles rounds a little past 1; logits given by mistake lie far outside.
    if not (given.min() >= -1e-3 and given.max() <= 1 + 1e-3):
        raise ValueError("probabilities must lie between 0 and 1")
    given, truth = given.ravel(), truth.ravel()
    number = np.clip(np.ceil(given * bins).astype(np.intp) - 1, 0, bins - 1)
    promised = np.bincount(number, weights=given, minlength=bins)
    found = np.bincount(number[truth], minlength=bins)
    return float(np.abs(promised - found).sum() / truth.size)


def error_detection(doubt: Floats, wrong: Mask, band: Mask | None = None) -> dict[str, float]:
    """How well a doubt about every pixel of an annotation tells its wrong pixels from right ones.

    Both numbers are exact, with ties: the AUROC is the share of pairs (wrong, right pixel) in
    which the wrong one is doubted more, an equal doubt counting half (the rank statistic of Mann
    and Whitney); the average precision is ``sum_n (R_n - R_(n-1)) P_n`` over the distinct values
    of the doubt from high to low, R and P being recall and precision of the pixels doubted at
    least that much, without interpolation.

    Parameters
    ----------
    doubt
        Float, any scale; high where the annotation is believed to be wrong, such as 1 - trust.
    wrong
        Mask of the pixels whose annotation is wrong (noisy XOR true), in the same shape.
    band
        Mask of the pixels that count, such as those near the noisy outline; all where not given.

    Returns
    -------
    ``auroc`` and ``average_precision``, 0 to 1; nan for both where all pixels are right, all are
    wrong, or all are doubted alike.

    Raises
    ------
    ValueError
        If the shapes differ or a doubt is nan.
    """
    wrong, _, band = as_masks(wrong, wrong, band)
    doubt = np.asarray(doubt)
    if doubt.shape != wrong.shape:
        raise ValueError(f"doubt {doubt.shape} does not fit the wrong pixels {wrong.shape}")
    if band is not None:
        doubt, wrong = doubt[band], wrong[band]
    doubt, wrong = doubt.ravel(), wrong.ravel()
    if np.isnan(doubt).any():
        raise ValueError("doubt must not be nan")
    order = np.argsort(doubt)[::-1]
    doubt, wrong = doubt[order], wrong[order]
    positives = int(np.count_nonzero(wrong))
    negatives = wrong.size - positives
    if positives == 0 or negatives == 0 or doubt[0] == doubt[-1]:
        return {"auroc": math.nan, "average_precision": math.nan}
    ends = np.append(np.flatnonzero(doubt[1:] != doubt[:-1]), wrong.size - 1)
    hits = np.cumsum(wrong)[ends].astype(np.int64)
    alarms = ends + 1 - hits
    new_hits, new_alarms = np.diff(hits, prepend=0), np.diff(alarms, prepend=0)
    # Twice the number of pairs in the right order, in integers, so that nothing is rounded.
    pairs = int(np.sum(new_hits * (2 * (negatives - alarms) + new_alarms)))
    return {
        "auroc": pairs / (2 * positives * negatives),
        "average_precision": float(np.sum(new_hits * (hits / (ends + 1))) / positives),
    }


def measure_image(
    prediction: Integers,
    truth: Integers,
    classes: int,
    probabilities: Floats | None = None,
    *,
    class_values: Sequence[int] | None = None,
) -> dict[str, float]:
    """Measure one predicted image against its annotation.

    With two classes the measures are those of class 1. With more, each is the mean over the
    foreground classes (all but 0) that occur in the prediction or in the truth and for which it
    is defined (over all foreground classes where none occurs); only the accuracy is the share of
    pixels whose class is right. Every foreground class then has columns of its own too, one
    class against the rest, by the rules for empty masks.

    Parameters
    ----------
    prediction
        Class index per pixel, 0 to ``classes - 1``, of any dimension.
    truth
        The annotated class index per pixel, of the same shape; -1 where not annotated.
    classes
        Number of classes, background included; 2 or more.
    probabilities
        Float (C, *spatial), 0 to 1: a channel per class, or for two classes the one channel of
        class 1. Without it there is no calibration error.
    class_values
        The classes' own values, background's first, which name the columns of the classes
        (``dice_class_255``); 0, 1, 2 ... where not given.

    Returns
    -------
    ``dice``, ``jaccard``, ``sensitivity``, ``specificity``, ``accuracy``, ``hd95``, ``assd``,
    ``thresholded_jaccard`` and, with probabilities, ``calibration_error``; with more than two
    classes then ``dice_class_1`` and so on. nan is undefined.

    Raises
    ------
    ValueError
        If shapes, class indices or probabilities do not fit together.
    """
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    values = range(classes) if class_values is None else class_values
    _check(prediction, truth, classes, len(values))
    channels = (1, 2) if classes == 2 else (classes,)
    if probabilities is not None and probabilities.shape not in [
        (c, *truth.shape) for c in channels
    ]:
        raise ValueError(f"probabilities {probabilities.shape} do not fit {classes} classes")
    missing = truth == IGNORED
    ignored = missing if missing.any() else None
    table = _confusion_table(prediction, truth, classes, ignored)
    rows: list[dict[str, float]] = []
    occurring: list[dict[str, float]] = []
    for index in range(1, classes):
        found, true = prediction == index, truth == index
        counts = _one_against_rest(table, index)
        row = _overlap_measures(counts)
        distances = surface_distances(found, true, ignored)
        row |= {"hd95": percentile95(distances), "assd": average(distances)}
        row["thresholded_jaccard"] = thresholded(row["jaccard"])
        if probabilities is not None:
            channel = probabilities[-1] if classes == 2 else probabilities[index]
            row["calibration_error"] = expected_calibration_error(channel, true, ignored=ignored)
        rows.append(row)
        if counts.occurs:
            occurring.append(row)
    if classes == 2:
        return rows[0]
    averaged = occurring or rows
    measures = {name: _mean_of_defined(row[name] for row in averaged) for name in rows[0]}
    measures["accuracy"] = share(int(np.trace(table)), int(table.sum()))
    for value, row in zip(values[1:], rows, strict=True):
        measures |= {f"{name}_class_{value}": number for name, number in row.items()}
    return measures


def _check(prediction: NDArray[Any], truth: NDArray[Any], classes: int, names: int) -> None:
    if classes < 2 or names != classes:
        raise ValueError(f"{classes} classes with {names} values; at least two are needed")
    if prediction.shape != truth.shape or prediction.size == 0:
        raise ValueError(f"prediction {prediction.shape} does not fit the truth {truth.shape}")
    for what, found in (("prediction", prediction), ("truth", truth[truth != IGNORED])):
        if found.size and not (found.min() >= 0 and found.max() < classes):
            raise ValueError(f"the {what} holds class indices outside 0 to {classes - 1}")


def _overlap_measures(counts: Confusion) -> dict[str, float]:
    names = ("dice", "jaccard", "sensitivity", "specificity", "accuracy")
    return {name: float(getattr(counts, name)) for name in names}


def _confusion_table(
    prediction: NDArray[Any], truth: NDArray[Any], classes: int, ignored: Mask | None
) -> NDArray[np.int64]:
    """Numbers of pixels by (true class, predicted class)."""
    if ignored is not None:
        prediction, truth = prediction[~ignored], truth[~ignored]
    pairs = truth.astype(np.int64) * classes + prediction
    return np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)


def _one_against_rest(table: NDArray[np.int64], index: int) -> Confusion:
    both = int(table[index, index])
    predicted, true = int(table[:, index].sum()), int(table[index].sum())
    rest = int(table.sum()) - predicted - true + both
    return Confusion(both, predicted - both, true - both, rest)


def _mean_of_defined(values: Iterable[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
