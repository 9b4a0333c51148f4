"""Pictures of the demonstration's result, for machines without a screen.

    python scripts/demo_pictures.py demo

``weights.png``: noisy training images with the annotation (white) and the true outline (cyan), and
how far each pixel of the annotation is believed (what is doubted is orange). ``predictions.png``:
test images with the predicted (yellow) and the true outline (cyan), and the probability.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.segmentation import find_boundaries

from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.files import write_file

SCALE = 2
SHOWN = 6
WHITE, CYAN, YELLOW, ORANGE = (255, 255, 255), (0, 220, 255), (255, 225, 0), (255, 140, 0)

Picture = NDArray[np.uint8]


def picture(file: Path) -> Picture:
    """Read an RGB image, enlarged."""
    pixels = np.moveaxis(read_image(file)[0], 0, -1)
    return enlarged(pixels)


def enlarged(pixels: NDArray) -> NDArray:
    """Repeat pixels."""
    return pixels.repeat(SCALE, 0).repeat(SCALE, 1)


def outlined(pixels: Picture, mask_file: Path, colour: tuple[int, int, int]) -> Picture:
    """Draw a mask's outline."""
    drawn = pixels.copy()
    drawn[find_boundaries(enlarged(read_mask(mask_file)[0] > 0), mode="inner")] = colour
    return drawn


def doubted(pixels: Picture, weights: NDArray) -> Picture:
    """Lay orange over what is doubted."""
    doubt = (1 - enlarged(weights))[..., None] * 0.85
    return (pixels * (1 - doubt) + np.array(ORANGE) * doubt).astype(np.uint8)


def grey(values: NDArray) -> Picture:
    """Show values from 0 to 1."""
    return np.repeat((enlarged(values) * 255).astype(np.uint8)[..., None], 3, 2)


def sheet(rows: list[list[Picture]], titles: list[str]) -> bytes:
    """Put pictures side by side under their titles; PNG."""
    gap = 6
    height, width = rows[0][0].shape[:2]
    size = (len(titles) * (width + gap) + gap, 22 + len(rows) * (height + gap) + gap)
    canvas = Image.new("RGB", size, (24, 24, 28))
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        left = gap + column * (width + gap)
        draw.text((left, 6), title, fill=(235, 235, 235))
        for line, row in enumerate(rows):
            canvas.paste(Image.fromarray(row[column]), (left, 22 + gap + line * (height + gap)))
    return png_bytes(np.asarray(canvas))


def main(folder: Path) -> None:
    """Write both sheets."""
    data, run, results = folder / "data", folder / "run", folder / "results"
    rows = []
    for file in sorted((data / "noisy_img").iterdir())[:SHOWN]:
        image = picture(file)
        annotated = outlined(image, data / "noisy_gt" / file.name, WHITE)
        true = outlined(annotated, data / "noisy_truth" / file.name, CYAN)
        weights = read_image(run / "weights" / f"{file.stem}.tif", channels=1)[0, 0]
        rows.append(
            [image, true, outlined(doubted(image, weights), data / "noisy_gt" / file.name, WHITE)]
        )
    titles = ["image", "white: annotation, cyan: truth", "orange: doubted"]
    write_file(folder / "weights.png", sheet(rows, titles))
    rows = []
    for file in sorted((data / "test_img").iterdir())[:SHOWN]:
        image = picture(file)
        predicted = outlined(image, results / f"{file.stem}_mask.png", YELLOW)
        chances = read_image(results / f"{file.stem}.tif", channels=1)[0, 0]
        rows.append([image, outlined(predicted, data / "test_gt" / file.name, CYAN), grey(chances)])
    titles = ["test image", "yellow: predicted, cyan: truth", "probability"]
    write_file(folder / "predictions.png", sheet(rows, titles))
    print(f"Pictures of the result: {folder / 'weights.png'} and {folder / 'predictions.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
