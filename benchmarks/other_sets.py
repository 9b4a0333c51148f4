r"""Makes sets that nobody looked at while the default was made.

``slices`` are four slices of each hippocampus volume (needs the development data, ``../shared/data`` or
``$NOISYSEG_DATA``), both parts as one object; the first four letters of a name are the volume.
``objects`` are drawn: up to six wavy ellipses of unequal brightness beside bright lines, in noise.

    python benchmarks/other_sets.py slices figures/slices
    napari-noisyseg compare figures/slices/images figures/slices/masks --groups 4 --test 50 --clean 10 \
        --noise polygon:vertices=3 polygon:vertices=4,placement=random mixed:beta=0.7,share=0.7 \
        --methods trust clean joint finetune meanteacher oracle --seeds 1 --size 64 --epochs 10 \
        --set shortest_epoch=30 --set sampling=resize --out figures/hippocampus
    python benchmarks/other_sets.py objects figures/objects
    napari-noisyseg compare figures/objects/images figures/objects/masks --test 40 --clean 10 \
        --noise polygon:vertices=3 polygon:vertices=4,placement=random mixed:beta=0.7,share=0.7 \
        --methods trust clean joint oracle --seeds 1 --size 64 --epochs 10 \
        --set shortest_epoch=30 --set sampling=resize --out figures/many_objects
"""

from __future__ import annotations

import argparse
import gzip
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.files import write_file

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
PLACES = (0.25, 0.4, 0.55, 0.7)
"""Where the slices lie along the second axis, as shares of its length."""
FEWEST_PIXELS = 20
SIDE, DRAWN = 96, 110
Pixels = NDArray[Any]
KINDS = {2: np.uint8, 4: np.int16, 8: np.int32, 16: np.float32}


def read_volume(path: Path) -> Pixels:
    """Read a little-endian ``.nii.gz`` of one volume (NIfTI-1)."""
    content = gzip.decompress(path.read_bytes())
    dimensions = struct.unpack("<8h", content[40:56])
    kind, start = struct.unpack("<h", content[70:72])[0], struct.unpack("<f", content[108:112])[0]
    shape = dimensions[1:4]
    values = np.frombuffer(content, KINDS[kind], count=int(np.prod(shape)), offset=int(start))
    return values.reshape(shape, order="F")


def slices() -> Iterator[tuple[str, Pixels, Pixels]]:
    """Yield name, image and mask of the slices that hold enough of the object."""
    for path in sorted((DATA / "hippocampus_3d" / "images").glob("*.nii.gz")):
        volume = read_volume(path).astype(float)
        mask = read_volume(DATA / "hippocampus_3d" / "masks" / path.name) > 0
        grey = grey_levels(volume, volume.min())
        number = path.name.split("_")[1][:3]
        for place in PLACES:
            index = int(place * volume.shape[1])
            if np.count_nonzero(mask[:, index]) >= FEWEST_PIXELS:
                yield f"h{number}_{index:02}", grey[:, index], mask[:, index]


def objects() -> Iterator[tuple[str, Pixels, Pixels]]:
    """Draw the pictures of several objects."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    blur = ndimage.gaussian_filter
    for number in range(DRAWN):
        mask = np.zeros((SIDE, SIDE), bool)
        image = blur(rng.normal(size=mask.shape), 6) * 6 * rng.uniform(0.3, 1)
        image = image + blur(rng.normal(size=mask.shape), 1.5)
        for _ in range(rng.integers(2, 7)):
            (row, column), (a, b) = rng.uniform(12, 84, 2), rng.uniform(6, 15, 2)
            turn = rng.uniform(0, 3.14)
            y = (rows - row) * np.cos(turn) + (columns - column) * np.sin(turn)
            x = -(rows - row) * np.sin(turn) + (columns - column) * np.cos(turn)
            wave = 1 + 0.15 * np.sin(3 * np.arctan2(y / a, x / b) + rng.uniform(0, 6))
            one = np.hypot(y / a, x / b) < wave
            if (ndimage.binary_dilation(one, iterations=3) & mask).any():
                continue
            mask |= one
            image += rng.uniform(0.6, 1.6) * blur(one.astype(float), 1.2)
        for _ in range(3):
            (row, column), turn = rng.uniform(0, 96, 2), rng.uniform(0, 3.14)
            away = np.abs((rows - row) * np.cos(turn) + (columns - column) * np.sin(turn))
            image += 0.8 * np.exp(-((away / 2) ** 2))
        image = blur(image, 0.7) + rng.normal(size=image.shape) * 0.15
        yield f"m{number:03}", grey_levels(image, np.percentile(image, 0.5)), mask


def grey_levels(values: Pixels, darkest: float) -> Pixels:
    """Stretch values to 8 bits, the brightest 0.2 % cut off."""
    stretched = (values - darkest) / (np.percentile(values, 99.8) - darkest)
    return (np.clip(stretched, 0, 1) * 255).astype(np.uint8)


def main() -> None:
    """Write a set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("slices", "objects"))
    parser.add_argument("out", type=Path, help="folder to write images/ and masks/ into")
    given = parser.parse_args()
    for name in ("images", "masks"):
        (given.out / name).mkdir(parents=True, exist_ok=True)
    written = 0
    for name, image, mask in slices() if given.which == "slices" else objects():
        write_file(given.out / "images" / f"{name}.png", png_bytes(image))
        write_file(given.out / "masks" / f"{name}.png", png_bytes((mask * 255).astype(np.uint8)))
        written += 1
    print(f"{written} images and masks in {given.out}")


if __name__ == "__main__":
    main()
