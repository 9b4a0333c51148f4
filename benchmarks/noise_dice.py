"""Dice of simulated noisy masks against the true ones, for every family, on real masks.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``): the expert masks of 2,000 skin
lesions and of 247 hearts; the threshold needs images and has 98 lesions only. Prints the table of
docs/noise.md: mean and standard deviation over masks, milliseconds per mask.

    python benchmarks/noise_dice.py
    python benchmarks/noise_dice.py --every 20      # every 20th mask
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_noisyseg.annotation.images import read_image, read_mask
from napari_noisyseg.annotation.simulation.families import NoiseSpec, Threshold, make_noise
from napari_noisyseg.annotation.simulation.simulate import mask_rng, noisy_dice, simulate_mask

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
LESIONS, LESIONS_WITH_IMAGES, HEARTS = "dermoscopy_masks", "dermoscopy/masks", "chest_xray/masks"
SEED = 0

NOISES = (
    ("polygon", {"vertices": 3}),
    ("polygon", {"vertices": 4}),
    ("polygon", {"vertices": 7}),
    ("polygon", {"vertices": 3, "placement": "random"}),
    ("polygon", {"vertices": 4, "placement": "random"}),
    ("polygon", {"vertices": 7, "placement": "random"}),
    ("box", {}),
    ("box", {"margin": 0.1}),
    ("threshold", {}),
    ("dilate", {"beta": 0.5}),
    ("dilate", {"beta": 0.7}),
    ("erode", {"beta": 0.5}),
    ("erode", {"beta": 0.7}),
    ("affine", {"beta": 0.5}),
    ("affine", {"beta": 0.7}),
    ("mixed", {"beta": 0.5}),
    ("mixed", {"beta": 0.7}),
    ("markov", {"steps": 200, "theta1": 0.2}),
    ("markov", {"steps": 200, "theta1": 0.8}),
    ("markov", {"steps": 250, "theta1": 0.8}),
)


def main() -> None:
    """Print a row per noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th mask")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="these only")
    given = parser.parse_args()
    print("| noise | lesions | hearts | ms per mask, lesion and heart |")
    print("| --- | --- | --- | --- |")
    for family, parameters in NOISES:
        if given.families and family not in given.families:
            continue
        noise = make_noise(family, parameters)
        lesions = LESIONS_WITH_IMAGES if family == "threshold" else LESIONS
        cells, times = [], []
        for place in (lesions, HEARTS):
            dice, milliseconds = measured(noise, DATA / place, given.every)
            cells.append(f"{dice.mean():.3f} ({dice.std(ddof=1):.3f})")
            times.append(f"{milliseconds:.0f}")
        print(f"| {family} {noise.text} | {' | '.join(cells)} | {', '.join(times)} |", flush=True)


def measured(noise: NoiseSpec, folder: Path, every: int) -> tuple[np.ndarray, float]:
    """Return the Dice of every mask, and the milliseconds that the noise of one took."""
    dice, seconds = [], 0.0
    for name, mask, image in masks(folder, every, with_images=isinstance(noise, Threshold)):
        began = time.perf_counter()
        noisy = simulate_mask(mask, noise, mask_rng(SEED, name), image)
        seconds += time.perf_counter() - began
        dice.append(noisy_dice(noisy, mask))
    return np.array(dice), 1000 * seconds / len(dice)


def masks(
    folder: Path, every: int, *, with_images: bool
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Yield name, true mask and, if wanted, image."""
    for path in sorted(folder.glob("*.png"))[::every]:
        image = None
        if with_images:
            (image_path,) = (folder.parent / "images").glob(f"{path.stem}.*")
            image = read_image(image_path)
        yield path.stem, read_mask(path), image


if __name__ == "__main__":
    main()
