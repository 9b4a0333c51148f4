r"""Makes four more drawn sets; three are so easy that ten clean images teach nearly everything.

``nuclei`` (many, some touch, in uneven light), ``ultrasound`` (one dark lesion in speckle and shadows,
hard), ``organ`` (covers half the picture), ``glands`` (in colour, rings of nuclei around pale middles).

    python benchmarks/easy_sets.py figures/easy
    napari-noisyseg compare figures/easy/nuclei/images figures/easy/nuclei/masks --test 40 --clean 10 \
        --noise none polygon:vertices=3 mixed:beta=0.7,share=0.7 --seeds 1 --size 64 --epochs 10 \
        --methods trust clean joint tloss oracle --set shortest_epoch=30 --set sampling=resize \
        --out figures/easy_nuclei
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.files import write_file

SIDE, SEED = 128, 5
Pixels = NDArray[Any]
Random = np.random.Generator
blur = ndimage.gaussian_filter


def blob(rng: Random, row: float, column: float, radius: float, *shape: float) -> Pixels:
    """Draw a wavy ellipse; `shape` is how long and how wavy at most, (SIDE, SIDE), bool."""
    longer, wavy = shape or (0.35, 0.12)
    y, x = np.mgrid[:SIDE, :SIDE]
    angle = rng.uniform(0, np.pi)
    dy, dx = y - row, x - column
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, -np.sin(angle) * dx + np.cos(angle) * dy
    long = 1 + rng.uniform(0, longer)
    turn, wave = np.arctan2(v, u), np.ones(1)
    for k in (2, 3, 4, 5):
        wave = wave + rng.normal(0, wavy / k) * np.cos(k * turn + rng.uniform(0, 6.3))
    inside: Pixels = np.hypot(u / long, v * long) < radius * wave
    return inside


def nuclei(rng: Random) -> tuple[Pixels, Pixels]:
    """Draw six to 25 of unequal brightness, and debris, in uneven light."""
    image, mask = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), bool)
    for _ in range(rng.integers(6, 26)):
        one = blob(rng, *rng.uniform(0, SIDE, 2), rng.uniform(4, 9))
        mask |= one
        bright = one * rng.uniform(0.25, 1)
        texture = 1 + 0.3 * blur(rng.normal(size=(SIDE, SIDE)), 1.5)
        image = np.maximum(image, blur(bright * texture, 1.2))
    for _ in range(rng.integers(0, 6)):
        speck = blob(rng, *rng.uniform(0, SIDE, 2), rng.uniform(1, 2))
        image += speck * rng.uniform(0.3, 1)
    light = [np.linspace(0, rng.uniform(0, 0.3), SIDE) for _ in range(2)]
    image = image * 0.6 + np.add.outer(*light) + 0.08
    return image + rng.normal(0, rng.uniform(0.03, 0.1), (SIDE, SIDE)), mask


def ultrasound(rng: Random) -> tuple[Pixels, Pixels]:
    """Draw a dark lesion in speckle, with shadows and other dark places."""
    tissue = np.clip(0.5 + 0.2 * blur(rng.normal(size=(SIDE, SIDE)), 12) * 30, 0.15, 0.9)
    mask = blob(rng, *rng.uniform(0.3 * SIDE, 0.7 * SIDE, 2), rng.uniform(10, 32), 0.5, 0.2)
    soft = blur(mask.astype(float), rng.uniform(1, 4))
    tissue = tissue * (1 - rng.uniform(0.35, 0.75) * soft)
    for _ in range(rng.integers(0, 3)):
        start = rng.integers(0, SIDE - 12)
        shadow = slice(start, start + rng.integers(4, 12))
        tissue[:, shadow] *= rng.uniform(0.5, 0.9)
    for _ in range(rng.integers(0, 4)):
        dark = blob(rng, *rng.uniform(0, SIDE, 2), rng.uniform(3, 8))
        tissue = tissue * (1 - 0.5 * blur(dark.astype(float), 1.5))
    speckle = np.hypot(*blur(rng.normal(size=(2, SIDE, SIDE)), (0, 1.2, 1.2)))
    return tissue * (speckle / speckle.mean()) * 0.7, mask


def organ(rng: Random) -> tuple[Pixels, Pixels]:
    """Draw one that covers half the picture, beside others as bright, with vessels."""
    mask = blob(rng, *rng.uniform(0.42 * SIDE, 0.58 * SIDE, 2), rng.uniform(38, 54), 0.3, 0.25)
    image = 0.35 + 0.1 * blur(rng.normal(size=(SIDE, SIDE)), 8) * 20
    inner = 0.6 + 0.03 * blur(rng.normal(size=(SIDE, SIDE)), 6) * 15
    image = np.where(blur(mask.astype(float), 1.5) > 0.5, inner, image)
    for _ in range(3):
        place = rng.choice([0.05, 0.95], 2) * SIDE + rng.normal(0, 8, 2)
        other = blob(rng, *place, rng.uniform(10, 22))
        image = np.where(other & ~mask, rng.uniform(0.5, 0.7), image)
    for _ in range(rng.integers(1, 5)):
        vessel = blob(rng, *rng.uniform(0.2 * SIDE, 0.8 * SIDE, 2), rng.uniform(3, 7))
        image = np.where(vessel, rng.uniform(0.3, 0.8), image)
    return blur(image, 1) + rng.normal(0, 0.06, (SIDE, SIDE)), mask


def glands(rng: Random) -> tuple[Pixels, Pixels]:
    """Draw up to five in colour, each a ring around a pale middle, among scattered nuclei."""
    image, mask = (
        np.array([0.9, 0.7, 0.82]) + np.zeros((SIDE, SIDE, 3)),
        np.zeros((SIDE,) * 2, bool),
    )
    image += 0.06 * blur(rng.normal(size=(SIDE, SIDE, 1)), (3, 3, 0)) * 10
    for _ in range(rng.integers(1, 6)):
        one = blob(rng, *rng.uniform(0, SIDE, 2), rng.uniform(10, 24), 0.4, 0.18)
        one &= ~ndimage.binary_dilation(mask, iterations=3)
        mask |= one
        depth = ndimage.distance_transform_edt(one)
        image[one] = [0.88, 0.8, 0.9]
        image[(depth > 0) & (depth < rng.uniform(4, 7))] = [0.7, 0.5, 0.75]
    chance = rng.uniform(size=(SIDE, SIDE))
    depth = ndimage.distance_transform_edt(mask)
    dots = ((depth > 0) & (depth < 5) & (chance < 0.06)) | (~mask & (chance < 0.008))
    image[ndimage.binary_dilation(dots)] = [0.4, 0.25, 0.55]
    image = blur(image, (0.8, 0.8, 0)) + rng.normal(0, 0.03, (SIDE, SIDE, 3))
    return image * np.array([rng.uniform(0.8, 1), rng.uniform(0.8, 1), 1]), mask


SETS: dict[Callable[[Random], tuple[Pixels, Pixels]], int] = {
    nuclei: 120, ultrasound: 150, organ: 120, glands: 110
}  # fmt: skip
"""How many pictures each has."""


def main() -> None:
    """Write images and masks of all sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    rng = np.random.default_rng(SEED)
    for draw, count in SETS.items():
        for part in ("images", "masks"):
            (out / draw.__name__ / part).mkdir(parents=True)
        for number in range(count):
            image, mask = draw(rng)
            pixels = np.clip(image * 255, 0, 255).astype(np.uint8)
            mask = mask.astype(np.uint8) * np.uint8(255)
            for part, content in (("images", pixels), ("masks", mask)):
                write_file(out / draw.__name__ / part / f"{number:03}.png", png_bytes(content))
    print(f"{sum(SETS.values())} images and masks in {out}")


if __name__ == "__main__":
    main()
