"""Drawn objects, masks that are wrong about them, and teachers who err from image to image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_noisyseg.learning.correction import Teachers
from napari_noisyseg.learning.noise_model import SURE, ambiguous, rater_of

SIDE = 48


def disc(radius: float, centre: tuple[float, float], side: int = SIDE) -> np.ndarray:
    row, column = np.mgrid[:side, :side]
    return np.hypot(row - centre[0], column - centre[1]) <= radius


def truths(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [disc(rng.uniform(8, 12), tuple(rng.uniform(18, 30, 2))) for _ in range(count)]


def triangle(mask: np.ndarray, angle: float) -> np.ndarray:
    """A triangle with its corners on the outline of a disc."""
    rows, columns = np.nonzero(mask)
    middle, radius = (rows.mean(), columns.mean()), math.sqrt(mask.sum() / math.pi)
    row, column = np.mgrid[: mask.shape[0], : mask.shape[1]]
    inside = np.ones(mask.shape, bool)
    for k in range(3):
        turn = angle + 2 * math.pi * k / 3
        away = (row - middle[0]) * math.sin(turn) + (column - middle[1]) * math.cos(turn)
        inside &= away <= radius / 2
    return inside


def triangles(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [triangle(mask, 2.0 * i) for i, mask in enumerate(masks)]


def eroded(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [ndimage.binary_erosion(mask, iterations=3) for mask in masks]


def dilated(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [ndimage.binary_dilation(mask, iterations=4) for mask in masks]


def blurred(masks: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """A teacher that knows about where the object is, and errs from image to image."""
    rng = np.random.default_rng([seed, 1])
    found = []
    for mask in masks:
        shift = rng.normal(0, 2, 2)
        soft = ndimage.gaussian_filter(mask.astype(np.float32), 3)
        wavy = ndimage.gaussian_filter(rng.normal(0, 1, mask.shape), 3) * 1.5
        moved = ndimage.shift(soft, shift, order=1) + wavy
        found.append(np.clip(moved, SURE, 1 - SURE).astype(np.float32))
    return found


def teachers_of(masks: Sequence[np.ndarray], seeds: Sequence[int] = (0, 1, 2)) -> Teachers:
    chances = [blurred(masks, seed) for seed in seeds]
    unseen = truths(6, 99)
    judged = blurred(unseen, 99)
    return Teachers(
        chances,
        rater_of(judged, unseen, ambiguous),
        rater_of(judged, unseen),
        [(p, m, np.ones(m.shape, bool)) for p, m in zip(judged, unseen, strict=True)],
    )
