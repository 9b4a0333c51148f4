"""The second sample: coins cut out of a real photograph, with careful and with careless masks.

The photograph is the one of Greek coins from Pompeii that comes with scikit-image (``coins.png``, by
courtesy of the Brooklyn Museum, no known restrictions); nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation, transform

from napari_noisyseg.annotation.images import read_image
from napari_noisyseg.annotation.noise import polygon

COINS = 24
"""Coins in the photograph, one for each picture of the set."""
WINDOW = 72
"""Side of a picture at the photograph's own resolution, in pixels; the largest coin fits in."""

_DARK, _BRIGHT = 30, 150  # grey values that are certainly table, and certainly coin
_SMALLEST = 200  # pixels; smaller patches are scratches of the table
_MARGIN = 3 * WINDOW // 4

Tile = tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]
"""Picture, careful mask and careless mask, each (side, side)."""


def coin_tiles(rng: np.random.Generator, side: int = WINDOW) -> list[Tile]:
    """Cut every coin out of the photograph.

    The careful mask is found by a watershed of the outlines from pixels that are certainly coin or
    certainly table, and rounded off. The careless one is of two kinds, as two people in a hurry
    would have made it: one threshold for the whole photograph, which leaves holes in dark coins
    and takes in the bright corner of the table, or a polygon of three or four corners a coin.

    Parameters
    ----------
    rng
        The source of chance: the order of the coins, the kind of each careless mask, its corners.
    side
        Height and width of the pictures; other sides than `WINDOW` are scaled.

    Returns
    -------
    list of (picture, careful mask, careless mask)
        `COINS` of them in random order: uint8 grey, bool, bool. A picture is centred on its coin
        and may show the rims of its neighbours, which are annotated as well.
    """
    photograph = _photograph()
    coins = _careful(photograph)
    threshold = np.asarray(photograph > filters.threshold_otsu(photograph), bool)
    polygons = np.zeros_like(threshold)
    for number in range(1, COINS + 1):
        polygons |= polygon(coins == number, int(rng.integers(3, 5)), rng=rng)
    centres = [region.centroid for region in measure.regionprops(coins)]
    layers = [
        np.pad(layer, _MARGIN, mode="edge")
        for layer in (photograph, coins > 0, threshold, polygons)
    ]
    # Every other one of the shuffled coins is a polygon, so that both kinds are in every part.
    return [
        _tile(layers, centres[index], 3 - position % 2, side)
        for position, index in enumerate(rng.permutation(COINS))
    ]


def _photograph() -> NDArray[np.uint8]:
    # Not by skimage.data.coins(), which would look for a damaged file on the internet.
    path = Path(str(skimage.data.__file__)).with_name("coins.png")
    pixels: NDArray[np.uint8] = read_image(path)[0, 0].astype(np.uint8)
    return pixels


def _careful(photograph: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the coins, numbered from 1."""
    seeds = np.where(photograph < _DARK, 1, np.where(photograph > _BRIGHT, 2, 0))
    found = segmentation.watershed(filters.sobel(photograph), seeds) == 2
    found = ndimage.binary_opening(ndimage.binary_fill_holes(found), iterations=2)
    numbered, count = ndimage.label(found)
    sizes = ndimage.sum_labels(found, numbered, range(1, count + 1))
    coins = np.zeros(photograph.shape, np.int32)
    for number, index in enumerate(np.flatnonzero(np.asarray(sizes) >= _SMALLEST), start=1):
        # No coin has a bay: the one that the watershed finds is a dark spot at the rim.
        coins[morphology.convex_hull_image(numbered == index + 1)] = number
    return coins


def _tile(layers: list[NDArray[Any]], centre: tuple[float, float], kind: int, side: int) -> Tile:
    corner = [round(middle) + _MARGIN - WINDOW // 2 for middle in centre]
    window = tuple(slice(start, start + WINDOW) for start in corner)
    image, truth, cheap = (layers[index][window] for index in (0, 1, kind))
    if side != WINDOW:
        image = transform.resize(image, (side, side), anti_aliasing=True, preserve_range=True)
        image = image.round().astype(np.uint8)
        truth, cheap = (
            transform.resize(mask, (side, side), order=0, anti_aliasing=False)
            for mask in (truth, cheap)
        )
    return image.copy(), truth.astype(bool), cheap.astype(bool)
