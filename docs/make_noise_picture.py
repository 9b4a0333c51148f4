"""Draws the picture of docs/noise.md: every family of noise on one lesion of the sample data.

    python docs/make_noise_picture.py docs/images/noise.png

The families that get whole objects wrong need two of them: there, a small copy of the lesion stands
beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import measure, transform

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.samples import make_samples
from napari_noisyseg.annotation.simulation.families import make_noise
from napari_noisyseg.annotation.simulation.simulate import noisy_dice, simulate_mask
from napari_noisyseg.files import write_file

LESION = 17
"""Which of the sample's clean images; it has room beside the lesion."""
SIZE, SIDE, SCALE = 256, 184, 2
"""Sides of the drawn photograph and of a panel in pixels; lines are drawn larger by the scale."""
GAP, MARGIN, TITLE, COLUMNS = 10, 14, 40, 5
PAPER, INK, PALE = (255, 255, 255), (30, 30, 30), (95, 95, 95)
TRUE = (0, 110, 255)
CLASSES = {1: (255, 176, 0), 2: (122, 40, 190)}  # told apart by the colour-blind as well
SMALL, ROW, COLUMN = 0.42, 0.62, 0.83
"""Size of the lesion's copy as a share, and where its centre is."""

Picture = NDArray[np.uint8]


class Panel(NamedTuple):
    """A family, its parameters, the words below its name, and the seed."""

    family: str
    parameters: dict[str, Any]
    words: str
    seed: int = 0
    two_objects: bool = False


PANELS = (
    Panel("", {}, "the true mask"),
    Panel("polygon", {}, "3 equidistant corners"),
    Panel("polygon", {"vertices": 7}, "7 equidistant corners"),
    Panel("polygon", {"vertices": 4, "placement": "random"}, "4 random corners", 5),
    Panel("box", {}, "margin 0"),
    Panel("threshold", {}, "otsu"),
    Panel("dilate", {"beta": 0.7}, "beta 0.7"),
    Panel("erode", {"beta": 0.7}, "beta 0.7"),
    Panel("affine", {"beta": 0.7}, "beta 0.7", 3),
    Panel("markov", {"theta1": 0.2}, "200 steps, theta1 0.2"),
    Panel("markov", {"theta1": 0.8}, "200 steps, theta1 0.8"),
    Panel("", {}, "the true mask, two classes", two_objects=True),
    Panel("flip", {"object_share": 1}, "all objects", two_objects=True),
    Panel("missing", {}, "half of the objects", 0, two_objects=True),
    Panel("merged", {"object_share": 1}, "all objects", two_objects=True),
)


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="PNG to write")
    given = parser.parse_args()
    sample = make_samples(noisy=0, clean=LESION + 1, test=0, size=SIZE)[LESION]
    one = (sample.image, sample.truth.astype(np.uint8))
    two = beside(*one)
    drawn = [panel(each, *(two if each.two_objects else one)) for each in PANELS]
    write_file(given.out, png_bytes(few_colours(sheet(drawn))))


def beside(image: Picture, mask: Picture) -> tuple[Picture, Picture]:
    """Put a small copy of the lesion beside it, as an object of the second class."""
    small = (round(SIZE * SMALL), round(SIZE * SMALL))
    copy = transform.resize(image, small, preserve_range=True, anti_aliasing=True)
    shape = transform.resize(mask.astype(bool), small, order=0, anti_aliasing=False)
    middle = np.argwhere(shape).mean(axis=0)
    shift = np.rint(np.array([ROW, COLUMN]) * SIZE - middle).astype(int)
    inside = np.argwhere(shape | True)
    places = inside + shift
    fits = ((places >= 0) & (places < SIZE)).all(axis=1)
    (y, x), (v, u) = places[fits].T, inside[fits].T
    cover = ndimage.gaussian_filter(ndimage.binary_dilation(shape, iterations=3).astype(float), 2)
    both, pixels = mask.copy(), image.astype(float)
    share = cover[v, u, None]
    pixels[y, x] = share * copy[v, u] + (1 - share) * pixels[y, x]
    both[y, x] = np.where(shape[v, u], 2, both[y, x])
    return pixels.round().astype(np.uint8), both


def panel(what: Panel, image: Picture, mask: Picture) -> tuple[Panel, str, Image.Image]:
    """Return a panel with its noisy mask as a veil and the true outline, and its Dice."""
    noisy, dice = mask, ""
    if what.family:
        noise = make_noise(what.family, what.parameters)
        rng = np.random.default_rng(what.seed)
        noisy = simulate_mask(mask, noise, rng, np.moveaxis(image, -1, 0))
        dice = f"Dice {noisy_dice(noisy, mask):.2f}"
    large = (SIDE * SCALE, SIDE * SCALE)
    pixels = transform.resize(image, large, order=1, preserve_range=True)
    for value, colour in CLASSES.items():
        veil = transform.resize(noisy == value, large, order=0, anti_aliasing=False)
        pixels[veil] = 0.45 * pixels[veil] + 0.55 * np.array(colour)
    drawn = Image.fromarray(pixels.round().astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    for line in measure.find_contours(np.pad(mask > 0, 1).astype(float), 0.5):
        points = [
            ((x - 0.5) * SIDE * SCALE / SIZE, (y - 0.5) * SIDE * SCALE / SIZE) for y, x in line
        ]
        draw.line(points, fill=TRUE, width=2 * SCALE, joint="curve")
    return what, dice, drawn.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def sheet(panels: list[tuple[Panel, str, Image.Image]]) -> Picture:
    """Put the panels under their titles, and a legend below."""
    rows = -(-len(panels) // COLUMNS)
    height = TITLE + SIDE + GAP
    width = 2 * MARGIN + COLUMNS * SIDE + (COLUMNS - 1) * GAP
    paper = Image.new("RGB", (width, rows * height + 38), PAPER)
    draw = ImageDraw.Draw(paper)
    head, words = ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    for number, (what, dice, picture) in enumerate(panels):
        left = MARGIN + number % COLUMNS * (SIDE + GAP)
        top = number // COLUMNS * height
        draw.text((left, top + 4), what.family or "truth", fill=INK, font=head)
        draw.text((left + SIDE, top + 6), dice, fill=INK, font=words, anchor="ra")
        draw.text((left, top + 22), what.words, fill=PALE, font=words)
        paper.paste(picture, (left, top + TITLE))
    left, top = MARGIN, rows * height + 8
    for colour, text in (
        (TRUE, "true outline"),
        (CLASSES[1], "mask"),
        (CLASSES[2], "mask, second class"),
    ):
        draw.rectangle([left, top + 3, left + 24, top + 15], fill=colour)
        draw.text((left + 32, top), text, fill=INK, font=head)
        left += 32 + int(draw.textlength(text, font=head)) + 30
    return np.asarray(paper)


def few_colours(pixels: Picture) -> Picture:
    """Take the lowest bits off the colours; nobody sees it, and the file is much smaller."""
    return (pixels & 0xF8) | (pixels >> 5)


if __name__ == "__main__":
    main()
