r"""Makes a set of three classes: hearts as annotated, and the lung fields, found by a threshold.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``). The lung fields are the dark
objects inside the body, smoothed, without the heart: right enough to be learned as a class of its own.

    python benchmarks/three_classes.py figures/chests
    napari-noisyseg compare figures/chests/images figures/chests/masks --noise polygon:vertices=3 \
        mixed:beta=0.7,share=0.7 --methods trust clean joint oracle --test 58 --clean 10 --seeds 2 \
        --size 64 --epochs 10 --set shortest_epoch=30 --set sampling=resize --out figures/three_classes
"""

from __future__ import annotations

import argparse
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters, measure, morphology

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.images import list_images, read_image, read_mask
from napari_noisyseg.files import write_file

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
HEART, LUNG = 1, 2
SMALLEST = 0.03
"""Smallest lung field, as a share of the picture."""
SHARES, RADII = (1.0, 0.95, 0.9, 0.85, 0.8), (3, 5, 7, 9, 11, 13)
"""Shares of Otsu's threshold, and radii of the discs that the dark objects are opened by; the first
that give two lungs count: darker and wider ones cut off what lies outside the body."""


def lung_fields(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Find a dark object in each half of the picture; (height, width), all False if there is none."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 2)
    height, width = image.shape
    threshold = filters.threshold_otsu(smooth[height // 8 : -height // 8, width // 8 : -width // 8])
    for share, radius in product(SHARES, RADII):
        dark = morphology.opening(smooth < share * threshold, morphology.disk(radius))
        left = _lung(dark, slice(0, width // 2))
        right = _lung(dark, slice(width // 2, width))
        if left.any() and right.any() and 0.45 < left.sum() / right.sum() < 2.2:
            return left | right
    return np.zeros(image.shape, bool)


def _lung(dark: NDArray[np.bool_], side: slice) -> NDArray[np.bool_]:
    """Give the largest object of one half, filled; nothing unless it is inside, large and compact."""
    half, lung = np.zeros_like(dark), np.zeros_like(dark)
    half[:, side] = dark[:, side]
    height, width = dark.shape
    found = [r for r in measure.regionprops(measure.label(half))
             if abs(r.centroid[0] / height - 0.45) < 0.2 and r.area > SMALLEST * dark.size]  # fmt: skip
    if found:
        region = max(found, key=lambda r: r.area)
        top, left, bottom, right = region.bbox
        if min(top, left, height - bottom, width - right) > 2 and region.solidity > 0.78:
            lung[region.slice] = region.image_filled
    return lung


def main() -> None:
    """Write image and mask of every radiograph in which two lung fields are found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write images/ and masks/ into")
    given = parser.parse_args()
    for name in ("images", "masks"):
        (given.out / name).mkdir(parents=True, exist_ok=True)
    written = 0
    for path in list_images(DATA / "chest_xray" / "images"):
        fields = lung_fields(read_image(path)[0, 0])
        if not fields.any():
            continue
        heart = read_mask(DATA / "chest_xray" / "masks" / path.name)[0] > 0
        mask = np.where(heart, HEART, np.where(fields, LUNG, 0)).astype(np.uint8)
        write_file(given.out / "masks" / path.name, png_bytes(mask))
        write_file(given.out / "images" / path.name, path.read_bytes())
        written += 1
    print(f"{written} images and masks in {given.out}")


if __name__ == "__main__":
    main()
