"""Measures learning from clean images of which few, or only one, show an object.

    OMP_NUM_THREADS=1 python benchmarks/few_clean.py --seeds 3

Drawn discs of 32 x 32 px in noise: 16 noisy images, ten to test, 120 steps. Noisy masks are right, two
pixels too small all around, or two too large. Prints a table in Markdown: test Dice of each method.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_noisyseg import train

Pixels = NDArray[Any]
Drawn = tuple[list[Pixels], list[Pixels]]
SIDE, NOISY, TEST = 32, 16, 10
SETTINGS: dict[str, Any] = {
    "size": SIDE, "sampling": "resize", "width": 8, "epochs": 2, "shortest_epoch": 60,
    "noisy_batch": 4, "clean_batch": 4, "device": "cpu",
}  # fmt: skip
CLEAN = ((1, 0), (1, 9), (2, 0), (2, 8), (4, 4))
"""How many clean images show a disc, and how many show nothing."""
NOISES: dict[str, Callable[[Pixels], Pixels]] = {
    "right": lambda mask: mask,
    "too small": lambda mask: ndimage.binary_erosion(mask, iterations=2),
    "too large": lambda mask: ndimage.binary_dilation(mask, iterations=2),
}


def discs(rng: np.random.Generator, count: int, shown: int) -> Drawn:
    """Draw pictures and their true masks; those after the first `shown` show nothing."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, masks = [], []
    for place in range(count):
        row, column, radius = *rng.uniform(8, 24, 2), rng.uniform(4, 7)
        mask = (np.hypot(rows - row, columns - column) < radius) & (place < shown)
        images.append((mask + rng.normal(0, 0.3, mask.shape)).astype(np.float32))
        masks.append(mask.astype(np.uint8))
    return images, masks


def test_dice(method: str, noisy: Drawn, clean: Drawn, test: Drawn, seed: int) -> float:
    """Train, and give the mean Dice on the test images."""
    training = train(noisy=noisy, clean=clean, test=test, method=method, seed=seed, **SETTINGS)
    return float(training.result.metrics["test"]["dice"]["mean"])


def main() -> None:
    """Measure, and print a row for every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["clean", "joint", "trust"])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    print(f"| clean with a disc + without | noisy masks | {' | '.join(given.methods)} |")
    print("| --- | --- |" + " --- |" * len(given.methods))
    for shown, empty in CLEAN:
        for name, change in NOISES.items():
            found: dict[str, list[float]] = {method: [] for method in given.methods}
            for seed in range(given.seeds):
                rng = np.random.default_rng(seed)
                images, masks = discs(rng, NOISY, NOISY)
                noisy = images, [change(mask).astype(np.uint8) for mask in masks]
                test, clean = discs(rng, TEST, TEST), discs(rng, shown + empty, shown)
                for method, dice in found.items():
                    dice.append(test_dice(method, noisy, clean, test, seed))
            cells = [f"{np.mean(d):.3f} ({min(d):.3f})" for d in found.values()]
            print(f"| {shown} + {empty} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
