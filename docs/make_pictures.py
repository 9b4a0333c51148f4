"""Draws the picture of the README from the sample data and a run that was trained on them.

    python docs/make_pictures.py data runs/first docs/images/overview.png

Training images: the image, its noisy outline and the true one, the learned weight of every
pixel, and the probability by the trained network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import measure, transform

from napari_noisyseg import predict
from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.files import write_file

SIDE = 224
"""Side of a panel in pixels."""
SCALE = 2
"""Lines are drawn this much larger and scaled down, so that they are smooth."""
GAP, MARGIN, HEAD = 10, 14, 34
PAPER, INK = (255, 255, 255), (30, 30, 30)
NOISY, TRUE = (230, 97, 0), (0, 140, 255)  # told apart by the colour-blind as well
COLUMNS = ("image", "annotation and truth", "learned weight", "probability")

Picture = NDArray[np.uint8]


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by napari-noisyseg sample")
    parser.add_argument("run", type=Path, help="run folder of a training on it")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument(
        "--images", nargs="+", default=["noisy_001", "noisy_006", "noisy_003"], metavar="NAME"
    )
    given = parser.parse_args()
    rows = [panels(given.data, given.run, name) for name in given.images]
    write_file(given.out, png_bytes(few_colours(sheet(rows))))


def panels(data: Path, run: Path, name: str) -> list[Image.Image]:
    """Return the four panels of one noisy image."""
    pixels = np.moveaxis(read_image(data / "noisy_img" / f"{name}.png")[0], 0, -1)
    noisy = read_mask(data / "noisy_gt" / f"{name}.png")[0] > 0
    true = read_mask(data / "noisy_truth" / f"{name}.png")[0] > 0
    weights = read_image(run / "weights" / f"{name}.tif", channels=1)[0, 0]
    chances = predict(run, pixels)
    return [
        enlarged(pixels),
        outlined(outlined(enlarged(pixels), true, TRUE), noisy, NOISY),
        outlined(enlarged(grey(weights)), noisy, NOISY),
        outlined(enlarged(grey(np.asarray(chances))), true, TRUE),
    ]


def grey(values: NDArray[np.floating]) -> Picture:
    """Show values from 0 (black) to 1 (white)."""
    return np.repeat((values * 255).round().astype(np.uint8)[..., None], 3, 2)


def enlarged(pixels: Picture) -> Image.Image:
    """Return a panel at drawing size."""
    size = (SIDE * SCALE, SIDE * SCALE)
    large = transform.resize(pixels, size, order=1, preserve_range=True)
    return Image.fromarray(large.round().astype(np.uint8))


def outlined(panel: Image.Image, mask: NDArray[np.bool_], colour: tuple[int, ...]) -> Image.Image:
    """Draw a mask's outline."""
    drawn = panel.copy()
    draw = ImageDraw.Draw(drawn)
    factor = SIDE * SCALE / mask.shape[0]
    for line in measure.find_contours(np.pad(mask, 1).astype(float), 0.5):
        points = [((x - 0.5) * factor, (y - 0.5) * factor) for y, x in line]
        draw.line(points, fill=colour, width=3 * SCALE, joint="curve")
    return drawn


def sheet(rows: list[list[Image.Image]]) -> Picture:
    """Put the panels side by side under their titles, and a legend below."""
    width = 2 * MARGIN + len(COLUMNS) * SIDE + (len(COLUMNS) - 1) * GAP
    bottom = HEAD + len(rows) * (SIDE + GAP)
    paper = Image.new("RGB", (width, bottom + 30), PAPER)
    draw = ImageDraw.Draw(paper)
    font = ImageFont.load_default(size=16)
    for column, title in enumerate(COLUMNS):
        left = MARGIN + column * (SIDE + GAP)
        draw.text((left, 8), title, fill=INK, font=font)
        for row, row_panels in enumerate(rows):
            panel = row_panels[column].resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            paper.paste(panel, (left, HEAD + row * (SIDE + GAP)))
    left, top = MARGIN, bottom + 6
    for colour, words in (
        (NOISY, "given annotation, a polygon of 3 or 4 corners"),
        (TRUE, "true outline, not used in training"),
    ):
        draw.line([(left, top + 9), (left + 26, top + 9)], fill=colour, width=4)
        draw.text((left + 34, top), words, fill=INK, font=font)
        left += 34 + int(draw.textlength(words, font=font)) + 26
    draw.text((left, top), "grey: 0 black, 1 white", fill=INK, font=font)
    return np.asarray(paper)


def few_colours(pixels: Picture) -> Picture:
    """Take the two lowest bits off the colours; nobody sees it, and the file is half as large."""
    return (pixels & 0xFC) | (pixels >> 6)


if __name__ == "__main__":
    main()
