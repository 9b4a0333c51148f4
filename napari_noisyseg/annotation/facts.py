"""What one look at an example's arrays finds out, so that they need not be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as components
from skimage.measure import regionprops

from napari_noisyseg.annotation.classes import NOT_ANNOTATED
from napari_noisyseg.annotation.digests import labels_digest, picture_digest
from napari_noisyseg.annotation.examples import Labels, Pixels


@dataclass(frozen=True)
class Facts:
    """What the pass found out about one example.

    Attributes
    ----------
    shape
        (pages, height, width).
    picture
        Hash of the image's pixels: equal for the same picture under two names.
    labels
        Hash of the annotation; empty without one.
    whole
        Whether every pixel is annotated.
    count, total, squares
        Number of pixels, and per channel their sum and sum of squares, for the normalisation.
    """

    shape: tuple[int, int, int]
    picture: str
    labels: str
    whole: bool
    count: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]


def facts_of(image: Pixels, labels: Labels | None, ignore_value: int | None) -> Facts:
    """Sum up a picture (pages, channels, height, width) and its annotation, if it has one."""
    wide = np.ascontiguousarray(image).astype(np.float64)
    return Facts(
        shape=(image.shape[0], image.shape[2], image.shape[3]),
        picture=picture_digest(image),
        labels="" if labels is None else labels_digest(labels),
        whole=labels is not None
        and not (ignore_value is not None and (labels == ignore_value).any())
        and not (labels == NOT_ANNOTATED).any(),
        count=image.shape[0] * image.shape[2] * image.shape[3],
        total=wide.sum((0, 2, 3)),
        squares=np.square(wide).sum((0, 2, 3)),
    )


def object_sizes_of(labels: Labels, ignore_value: int | None) -> list[float]:
    """Diameter of each object over the longer side of its picture: that of a disc of its area."""
    sizes = []
    for page in labels:
        annotated = page[page != ignore_value] if ignore_value is not None else page
        if annotated.size == 0:
            continue
        objects = page != annotated.min()
        if ignore_value is not None:
            objects &= page != ignore_value
        side = max(page.shape)
        found = regionprops(components(objects))
        sizes += [float(np.sqrt(4 / np.pi * r.area)) / side for r in found if r.area >= 4]
    return sizes
