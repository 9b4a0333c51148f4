r"""Makes sets of other kinds than those by which the default was made.

``volumes`` are those of the hippocampus (need the development data, ``../shared/data`` or
``$NOISYSEG_DATA``), both parts as one object, and ``slices`` four slices of each, whose first
four letters are the volume.
``objects`` are drawn: up to six wavy ellipses of unequal brightness beside bright lines, in noise;
``vessels``: branching bright tubes beside bright spots; ``lesions``: a dark wavy ellipse beside dark
spots, in two pictures of three, the others show none; ``kinds``: up to three blobs of two classes,
smooth or striped.

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

``vessels`` with ``--test 40 --noise none mixed:beta=0.5,share=0.7 markov``, ``lesions`` with ``--test 50
--noise none polygon:vertices=3 missing:object_share=0.4 --seeds 3``, ``kinds`` with ``--test 40 --noise
flip:object_share=0.3 --seeds 3 --epochs 30``, and the rest as with ``objects``. ``volumes``, on a GPU,
with ``--test 10 --clean 6 --noise none polygon:vertices=3 box mixed markov --seeds 3 --size 32
--set dimensions=3 --set noisy_batch=4 --set clean_batch=4 --jobs 6`` and the rest as with ``slices``.
"""

from __future__ import annotations

import argparse
import gzip
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg.annotation.encoding import png_bytes, tiff_bytes
from napari_noisyseg.files import write_file

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
PLACES = (0.25, 0.4, 0.55, 0.7)
"""Where the slices lie along the second axis, as shares of its length."""
FEWEST_PIXELS = 20
SIDE, DRAWN = 96, 110
Pixels = NDArray[Any]
Drawn = Iterator[tuple[str, Pixels, Pixels]]
blur = ndimage.gaussian_filter
KINDS = {2: np.uint8, 4: np.int16, 8: np.int32, 16: np.float32}


def read_volume(path: Path) -> Pixels:
    """Read a little-endian ``.nii.gz`` of one volume (NIfTI-1)."""
    content = gzip.decompress(path.read_bytes())
    dimensions = struct.unpack("<8h", content[40:56])
    kind, start = struct.unpack("<h", content[70:72])[0], struct.unpack("<f", content[108:112])[0]
    shape = dimensions[1:4]
    values = np.frombuffer(content, KINDS[kind], count=int(np.prod(shape)), offset=int(start))
    return values.reshape(shape, order="F")


def volumes() -> Drawn:
    """Yield name, image and mask of the volumes."""
    for path in sorted((DATA / "hippocampus_3d" / "images").glob("*.nii.gz")):
        volume = read_volume(path).astype(float)
        mask = read_volume(DATA / "hippocampus_3d" / "masks" / path.name) > 0
        yield path.name.split(".")[0], grey_levels(volume, volume.min()), mask


def slices() -> Drawn:
    """Yield name, image and mask of the slices that hold enough of the object."""
    for name, grey, mask in volumes():
        for place in PLACES:
            index = int(place * mask.shape[1])
            if np.count_nonzero(mask[:, index]) >= FEWEST_PIXELS:
                number = name.split("_")[1]
                yield f"h{number}_{index:02}", grey[:, index], mask[:, index]


def ellipse(rng: np.random.Generator, centre: Pixels, axes: Pixels, *waves: float) -> Pixels:
    """Draw a turned ellipse with as many waves along its outline; each strength from three waves up."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    turn = rng.uniform(0, 3.14)
    y = (rows - centre[0]) * np.cos(turn) + (columns - centre[1]) * np.sin(turn)
    x = -(rows - centre[0]) * np.sin(turn) + (columns - centre[1]) * np.cos(turn)
    angle = np.arctan2(y / axes[0], x / axes[1])
    edge = 1.0
    for place, strength in enumerate(waves):
        edge = edge + strength * np.sin((3 + 2 * place) * angle + rng.uniform(0, 6))
    inside: Pixels = np.hypot(y / axes[0], x / axes[1]) < edge
    return inside


def texture(rng: np.random.Generator, coarse: float = 6) -> Pixels:
    """Draw a background: coarse clouds of unequal strength, and fine grain."""
    grown = blur(rng.normal(size=(SIDE, SIDE)), 6) * coarse * rng.uniform(0.3, 1)
    return grown + blur(rng.normal(size=(SIDE, SIDE)), 1.5)


def finished(rng: np.random.Generator, image: Pixels, sigma: float) -> Pixels:
    """Blur a picture, add the camera's noise, and bring it to 8 bits."""
    image = blur(image, sigma) + rng.normal(size=image.shape) * 0.15
    return grey_levels(image, np.percentile(image, 0.5))


def spots(rng: np.random.Generator, count: int, radii: tuple[float, float]) -> Pixels:
    """Draw round spots that are no objects."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    for _ in range(count):
        row, column = rng.uniform(0, SIDE, 2)
        away = np.hypot(rows - row, columns - column)
        image += np.exp(-((away / rng.uniform(*radii)) ** 2))
    return image


def touches(one: Pixels, others: Pixels) -> bool:
    """Whether an object comes within three pixels of the others."""
    return bool((ndimage.binary_dilation(one, iterations=3) & (others > 0)).any())


def objects() -> Drawn:
    """Draw the pictures of several objects."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(DRAWN):
        mask = np.zeros((SIDE, SIDE), bool)
        image = texture(rng)
        for _ in range(rng.integers(2, 7)):
            one = ellipse(rng, rng.uniform(12, 84, 2), rng.uniform(6, 15, 2), 0.15)
            if touches(one, mask):
                continue
            mask |= one
            image += rng.uniform(0.6, 1.6) * blur(one.astype(float), 1.2)
        for _ in range(3):
            (row, column), turn = rng.uniform(0, 96, 2), rng.uniform(0, 3.14)
            away = np.abs((rows - row) * np.cos(turn) + (columns - column) * np.sin(turn))
            image += 0.8 * np.exp(-((away / 2) ** 2))
        yield f"m{number:03}", finished(rng, image, 0.7), mask


def vessels() -> Drawn:
    """Draw the pictures of branching tubes."""
    rng = np.random.default_rng(11)
    rows, columns = np.mgrid[:SIDE, :SIDE]

    def grow(
        mask: Pixels, row: float, column: float, angle: float, width: float, depth: int
    ) -> None:
        for step in range(110):
            row, column = row + np.sin(angle), column + np.cos(angle)
            angle += rng.normal() * 0.12
            if not (-3 < row < SIDE + 3 and -3 < column < SIDE + 3):
                return
            mask[np.hypot(rows - row, columns - column) < width] = True
            if depth < 2 and step > 8 and rng.random() < 0.04:
                turned = angle + rng.choice([-1, 1]) * rng.uniform(0.5, 1)
                grow(mask, row, column, turned, 0.75 * width, depth + 1)

    for number in range(DRAWN):
        mask = np.zeros((SIDE, SIDE), bool)
        image = 0.8 * texture(rng)
        for _ in range(rng.integers(1, 4)):
            side, along = rng.integers(4), rng.uniform(10, 86)
            row, column, angle = [
                (0, along, 1.57), (SIDE, along, -1.57), (along, 0, 0), (along, SIDE, 3.14)
            ][side]  # fmt: skip
            grow(mask, row, column, angle + rng.normal() * 0.3, rng.uniform(2, 4.5), 0)
        image += rng.uniform(0.6, 1.3) * blur(mask.astype(float), 1)
        image += spots(rng, 4, (3, 6))
        yield f"v{number:03}", finished(rng, image, 0.6), mask


def lesions() -> Drawn:
    """Draw pictures of which one in three shows no object."""
    rng = np.random.default_rng(12)
    for number in range(130):
        mask = np.zeros((SIDE, SIDE), bool)
        image = texture(rng)
        if rng.random() < 0.65:
            mask = ellipse(rng, rng.uniform(20, 76, 2), rng.uniform(8, 26, 2), 0.15, 0.1)
            image -= rng.uniform(0.7, 1.6) * blur(mask.astype(float), 1.5)
        image -= spots(rng, 2, (3, 8))
        yield f"e{number:03}", finished(rng, image, 0.7), mask


def kinds() -> Drawn:
    """Draw the pictures of two classes, smooth and striped."""
    rng = np.random.default_rng(33)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(120):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        image = texture(rng, 4)
        for _ in range(rng.integers(1, 4)):
            one = ellipse(rng, rng.uniform(14, 82, 2), rng.uniform(9, 17, 2), 0.12)
            if touches(one, mask):
                continue
            mask[one] = kind = int(rng.integers(1, 3))
            image += rng.uniform(0.6, 1.2) * blur(one.astype(float), 1.2)
            if kind == 2:
                angle = rng.uniform(0, 3.14)
                stripes = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) * 1.1)
                image += 0.7 * blur(one.astype(float), 1) * stripes
        yield f"k{number:03}", finished(rng, image, 0.6), mask * np.uint8(127)


def grey_levels(values: Pixels, darkest: float) -> Pixels:
    """Stretch values to 8 bits, the brightest 0.2 % cut off."""
    stretched = (values - darkest) / (np.percentile(values, 99.8) - darkest)
    return (np.clip(stretched, 0, 1) * 255).astype(np.uint8)


SETS: dict[str, Callable[[], Drawn]] = {
    "volumes": volumes, "slices": slices, "objects": objects, "vessels": vessels,
    "lesions": lesions, "kinds": kinds,
}  # fmt: skip


def main() -> None:
    """Write a set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=tuple(SETS))
    parser.add_argument("out", type=Path, help="folder to write images/ and masks/ into")
    given = parser.parse_args()
    for name in ("images", "masks"):
        (given.out / name).mkdir(parents=True, exist_ok=True)
    written = 0
    for name, image, mask in SETS[given.which]():
        kind, encoded = ("png", png_bytes) if image.ndim == 2 else ("tif", tiff_bytes)
        write_file(given.out / "images" / f"{name}.{kind}", encoded(image))
        grey = mask.astype(np.uint8) * 255 if mask.dtype == bool else mask
        write_file(given.out / "masks" / f"{name}.{kind}", encoded(grey))
        written += 1
    print(f"{written} images and masks in {given.out}")


if __name__ == "__main__":
    main()
