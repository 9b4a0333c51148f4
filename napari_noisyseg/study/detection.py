"""How well a run tells the wrong pixels of its noisy masks from the right ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.measures import error_detection

SCORES = ("trust", "difference", "loss", "confident")
"""Doubts that are compared: 1 - trust; |p - y|; the loss; confident learning. All but the first come
from the trained network alone. The loss ranks as |p - y| does: they have the same numbers."""
BAND = 0.1
"""Half the width of the band at the outline, as a share of the objects' size."""
NARROWEST_BAND = 2.0
"""Least half width of the band, pixels."""
MOST_PIXELS = 1 << 24
"""Pixels that are ranked; of more, every second, third ... one is taken."""

Indices = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


class ErrorDetection:
    """Collects the noisy images of a run, then ranks the pixels of all of them together.

    Parameters
    ----------
    pixels
        Number of pixels of all images.
    """

    def __init__(self, pixels: int) -> None:
        self._step = max(1, math.ceil(pixels / MOST_PIXELS))
        self._given: list[Indices] = []
        self._wrong: list[NDArray[np.bool_]] = []
        self._band: list[NDArray[np.bool_]] = []
        self._chances: list[Floats] = []
        self._trust: list[Floats] = []

    def add(self, given: Indices, true: Indices, chances: Floats, trust: Floats | None) -> None:
        """Add an image.

        Parameters
        ----------
        given, true
            Class indices (pages, height, width), negative where not annotated.
        chances
            Probabilities (pages, C, height, width) by the trained network, one channel for two
            classes.
        trust
            Learned trust (pages, height, width), 0 to 1; None where the method has none.
        """
        counted = (given >= 0) & (true >= 0)
        band = np.stack([band_at_outline(page) for page in given])
        both = np.concatenate([1 - chances, chances], 1) if chances.shape[1] == 1 else chances
        step = self._step
        self._given.append(given[counted][::step])
        self._wrong.append((given != true)[counted][::step])
        self._band.append(band[counted][::step])
        self._chances.append(np.moveaxis(both, 1, -1)[counted][::step].astype(np.float32))
        if trust is not None:
            self._trust.append(trust[counted][::step])

    def measures(self) -> dict[str, float]:
        """Return ``SCORE_auroc``, ``SCORE_ap``, ``SCORE_band_auroc`` and ``SCORE_band_ap``, 0 to 1.

        nan where it is not defined: without trust, without wrong pixels, or where all pixels are
        doubted alike.
        """
        found = dict.fromkeys(detection_columns(), math.nan)
        if not self._given:
            return found
        wrong, band = np.concatenate(self._wrong), np.concatenate(self._band)
        for score, doubt in self._doubts().items():
            for part, where in (("", None), ("band_", band)):
                both = error_detection(doubt, wrong, where)
                found[f"{score}_{part}auroc"] = both["auroc"]
                found[f"{score}_{part}ap"] = both["average_precision"]
        for part in ("auroc", "ap", "band_auroc", "band_ap"):
            found[f"loss_{part}"] = found[f"difference_{part}"]
        return found

    def _doubts(self) -> dict[str, Floats]:
        given, chances = np.concatenate(self._given), np.concatenate(self._chances)
        own = np.take_along_axis(chances, given[:, None].astype(np.intp), 1)[:, 0]
        # |p - y| = 1 - own and the loss -log(own) rank as -own does, 1 - trust as -trust; these round
        # nothing, while in single precision one minus a small probability is one.
        doubts: dict[str, Floats] = {
            "difference": -own,
            "confident": confident_doubt(given, chances),
        }
        if self._trust:
            doubts["trust"] = -np.concatenate(self._trust)
        return doubts


def detection_columns() -> tuple[str, ...]:
    """Names of the measures of `ErrorDetection`."""
    return tuple(
        f"{score}_{part}{kind}"
        for score in SCORES
        for part in ("", "band_")
        for kind in ("auroc", "ap")
    )


def confident_doubt(given: Indices, chances: Floats) -> Floats:
    """Doubt about given labels by confident learning.

    Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR
    2021: a class counts as confident where its probability exceeds that class's own threshold, the
    mean probability of the class over the pixels that were given it. The doubt is by how much the
    best other class exceeds its threshold more than the given class exceeds its own.

    Parameters
    ----------
    given
        Class index of every pixel, (pixels,).
    chances
        Probabilities, (pixels, classes).

    Returns
    -------
    ndarray
        (pixels,), -2 to 2.
    """
    places = given[:, None].astype(np.intp)
    count = np.bincount(places[:, 0], minlength=chances.shape[1])
    own = np.take_along_axis(chances, places, 1)[:, 0].astype(np.float64)
    total = np.bincount(places[:, 0], own, minlength=chances.shape[1])
    # A class that no pixel was given cannot be confident of any.
    threshold = np.where(count > 0, total / np.maximum(count, 1), 1.0)
    above = chances - threshold.astype(np.float32)
    given_above = np.take_along_axis(above, places, 1)[:, 0]
    np.put_along_axis(above, places, -np.inf, 1)
    doubt: Floats = above.max(1) - given_above
    return doubt


def band_at_outline(labels: Indices) -> NDArray[np.bool_]:
    """Pixels near the outline of a mask, which lies where two annotated classes meet.

    The band reaches, to both sides, a tenth of the objects' size (the square root of their mean
    area), at least two pixels. A mask without an outline has no band.

    Parameters
    ----------
    labels
        Class indices of one page (height, width); 0 is background, negative is not annotated.
    """
    objects = labels > 0
    band = np.zeros(labels.shape, bool)
    number = ndimage.label(objects, structure=np.ones((3, 3)))[1]
    if not number:
        return band
    reach = max(NARROWEST_BAND, BAND * math.sqrt(np.count_nonzero(objects) / number))
    annotated = labels >= 0
    for value in np.unique(labels[annotated]):
        inside = labels == value
        others = annotated & ~inside
        if others.any():
            # Of each pixel the distance to the nearest of another class, 1 for a neighbour.
            band |= inside & (ndimage.distance_transform_edt(~others) <= reach)
    return band
