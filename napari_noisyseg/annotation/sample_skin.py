"""Drawn photographs of skin lesions, as a dermatoscope would show them, with their exact masks.

Skin is drawn by what it absorbs: light passes through melanin (brown) and blood (red), and each
takes its share of red, green and blue (Beer and Lambert's law: reflected light is
``exp(-density)``). Lengths are shares of the image's side, so that a picture looks the same at
every size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation import sample_clutter
from napari_noisyseg.annotation.sample_textures import Field, clouds, grid

MELANIN = np.array([0.22, 0.67, 1.0])
"""Optical density of one unit of melanin in red, green and blue."""
DEEP_MELANIN = np.array([0.75, 0.7, 0.6])
"""The same for melanin that lies deep: nearly grey."""
BLOOD = np.array([0.10, 0.70, 0.60])
"""The same for blood."""


def photograph(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw one lesion on skin, with what lies about in such pictures: hairs, a ruler, freckles.

    Parameters
    ----------
    rng
        The source of chance.
    size
        Height and width in pixels, 32 or more.

    Returns
    -------
    image : ndarray
        RGB picture, (size, size, 3), uint8.
    mask : ndarray
        The lesion, (size, size), bool: one connected object without holes.
    """
    mask = _lesion_mask(rng, size)
    # Distance to the outline, positive outside; smoothed, because the mask's edge is of pixels.
    distance = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    distance = ndimage.gaussian_filter(distance / size, 0.8)
    density = _skin(rng, size) + _lesion(rng, size, mask, distance)
    density += _spots(rng, size, distance)
    image = rng.uniform(0.92, 1.06) * np.exp(-density) * (1 + rng.normal(0, 0.02, 3))
    for part in (sample_clutter.hairs, sample_clutter.ruler, sample_clutter.ink):
        image = part(rng, image)
    image = sample_clutter.sticker(rng, image, distance)
    image = sample_clutter.bubbles(rng, image)
    image = sample_clutter.light(rng, image)
    image = ndimage.gaussian_filter(image, (0.45 * size / 128, 0.45 * size / 128, 0))
    image += rng.normal(0, rng.uniform(0.003, 0.008), (size, size, 1))
    image += rng.normal(0, 0.003, (size, size, 3))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8), mask


def _lesion_mask(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Draw an irregular shape: an ellipse with waves around it and a frayed outline."""
    rows, columns = grid(size)
    radius = rng.uniform(0.11, 0.27)
    reach = max(0.02, 0.36 - radius)
    rows = rows - rng.uniform(-reach, reach) * 0.8 + 0.12 * radius * clouds(rng, size, 0.2)
    columns = columns - rng.uniform(-reach, reach) * 0.8 + 0.12 * radius * clouds(rng, size, 0.2)
    angle, long = rng.uniform(0, np.pi), rng.uniform(1.0, 1.35)
    along = (rows * np.cos(angle) + columns * np.sin(angle)) / long
    across = (columns * np.cos(angle) - rows * np.sin(angle)) * long
    around = np.arctan2(along, across)
    limit = np.ones_like(rows)
    for wave in range(2, 6):
        limit += rng.normal(0, 0.13 / wave) * np.cos(wave * around + rng.uniform(0, 2 * np.pi))
    frayed = rng.uniform(0.02, 0.08) * clouds(rng, size, 0.3 * radius, octaves=2)
    inside = np.hypot(along, across) < radius * (limit + frayed)
    labels, _ = ndimage.label(inside)
    largest = np.bincount(labels.ravel())[1:].argmax() + 1
    return np.asarray(ndimage.binary_fill_holes(labels == largest), bool)


def _skin(rng: np.random.Generator, size: int) -> Field:
    """Optical density of bare skin: its tone, flushes, pores and creases."""
    # Most pictures of this kind show light skin; some show dark.
    tone = rng.uniform(0.10, 0.42) if rng.random() < 0.85 else rng.uniform(0.45, 0.85)
    flush = rng.uniform(0.03, 0.27)
    mottle = rng.uniform(0.03, 0.13)
    melanin = tone * (1 + mottle * clouds(rng, size, 0.22, octaves=3))
    melanin += 0.012 * clouds(rng, size, 0.02, octaves=2)
    blood = flush * (1 + 2 * mottle * clouds(rng, size, 0.3, octaves=3))
    blood += rng.uniform(0.005, 0.03) * clouds(rng, size, 0.035, octaves=2)
    creases = clouds(rng, size, (0.03, 0.1)) * clouds(rng, size, (0.1, 0.03))
    melanin += rng.uniform(0.0, 0.02) * np.exp(-np.abs(creases) * 6)
    grey = rng.uniform(0.0, 0.22)
    density = np.maximum(melanin, 0)[..., None] * MELANIN + np.maximum(blood, 0)[..., None] * BLOOD
    return np.asarray(density + grey * DEEP_MELANIN)


def _lesion(rng: np.random.Generator, size: int, mask: NDArray[np.bool_], distance: Field) -> Field:
    """Optical density that the lesion adds: pigment, blood and what makes it uneven."""
    kind = rng.choice(["brown", "dark", "pink", "faint"], p=[0.56, 0.18, 0.13, 0.13])
    melanin, deep, blood = {
        "brown": (rng.uniform(0.38, 0.90), rng.uniform(0.0, 0.25), rng.uniform(0.0, 0.16)),
        "dark": (rng.uniform(0.8, 1.3), rng.uniform(0.3, 0.8), rng.uniform(0.0, 0.2)),
        "pink": (rng.uniform(0.06, 0.22), rng.uniform(0.0, 0.12), rng.uniform(0.18, 0.40)),
        "faint": (rng.uniform(0.18, 0.33), rng.uniform(0.0, 0.06), rng.uniform(0.0, 0.12)),
    }[str(kind)]
    depth = max(float(-distance.min()), 1 / size)
    # The edge is sharp on one side and fades out on another.
    soft = rng.uniform(0.004, 0.022) * np.exp(0.5 * clouds(rng, size, 0.3))
    cover = 1 / (1 + np.exp(np.clip(distance / soft, -40, 40)))
    inner = np.clip(-distance / depth, 0, 1)
    shade = 1 + rng.uniform(-0.45, 0.6) * (inner - 0.4)
    shade += rng.uniform(0.08, 0.24) * clouds(rng, size, 0.45 * depth + 0.03, octaves=3)
    # Pigment network: fine dark meshes; globules: dark dots.
    mesh = np.exp(-np.abs(clouds(rng, size, 0.022)) * 3)
    shade += rng.uniform(0, 0.35) * (mesh - 0.4)
    dots = np.clip(clouds(rng, size, 0.025) - 1.1, 0, 1)
    shade += rng.uniform(0, 0.8) * dots
    # Regression: pale patches that belong to the lesion all the same.
    if rng.random() < 0.3:
        patch = np.clip(clouds(rng, size, 0.7 * depth + 0.03) - 0.2, 0, 1)
        shade *= 1 - rng.uniform(0.4, 0.75) * patch
    shade = np.clip(shade, 0.05, 2.2)
    drift = 1 + 0.5 * clouds(rng, size, 0.8 * depth + 0.05)
    density = (cover * shade)[..., None] * (
        melanin * MELANIN
        + np.clip(deep * drift, 0, 2)[..., None] * DEEP_MELANIN
        + np.clip(blood * (2 - drift), 0, 2)[..., None] * BLOOD
    )
    # Flushed skin around the lesion, which is not part of it.
    flush = rng.uniform(0.04, 0.16) if rng.random() < 0.35 else 0.0
    ring = np.exp(-np.maximum(distance, 0) / rng.uniform(0.03, 0.10)) * ~mask
    flushed = flush * ring * np.clip(1 + 0.6 * clouds(rng, size, 0.12, octaves=2), 0, 2)
    return np.asarray(density + flushed[..., None] * BLOOD)


def _spots(rng: np.random.Generator, size: int, distance: Field) -> Field:
    """Optical density of freckles, and of a small second mole, away from the lesion."""
    rows, columns = grid(size)
    density = np.zeros((size, size, 3))
    spots = []
    if rng.random() < 0.45:
        count = int(rng.integers(3, 28))
        spots += [(rng.uniform(0.008, 0.03), rng.uniform(0.06, 0.25), 0.0) for _ in range(count)]
    if rng.random() < 0.35:
        spots += [
            (rng.uniform(0.018, 0.045), rng.uniform(0.4, 1.0), rng.uniform(0, 0.6))
            for _ in range(int(rng.integers(1, 4)))
        ]
    for radius, melanin, deep in spots:
        row, column = rng.uniform(-0.5, 0.5, 2)
        long, angle = rng.uniform(1.0, 1.5), rng.uniform(0, np.pi)
        at = distance[int((row + 0.5) * size), int((column + 0.5) * size)]
        if at < 2 * radius + 0.03:
            continue
        # Farther away a spot absorbs nothing that eight bits could show.
        near = tuple(
            slice(*np.searchsorted(line, [middle - 5 * radius, middle + 5 * radius]))
            for line, middle in ((rows[:, 0], row), (columns[0], column))
        )
        y, x = rows[near] - row, columns[near] - column
        along = (y * np.cos(angle) + x * np.sin(angle)) / long
        across = (x * np.cos(angle) - y * np.sin(angle)) * long
        edge = (np.hypot(along, across) - radius) / (0.25 * radius)
        cover = 1 / (1 + np.exp(np.clip(edge, -40, 40)))
        density[near] += cover[..., None] * (melanin * MELANIN + deep * DEEP_MELANIN)
    return density
