"""Test Dice of the methods on real images whose noisy masks are triangles.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``). Makes the folders that
``napari-noisyseg train`` reads, trains every method with every seed on them, and adds a row per
finished run to a CSV; started again, it goes on where it was.

    python benchmarks/real_data.py chest_xray dermoscopy --methods trust plain --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_noisyseg import train
from napari_noisyseg.annotation.encoding import png_bytes
from napari_noisyseg.annotation.images import read_mask
from napari_noisyseg.annotation.noise import polygon
from napari_noisyseg.files import csv_text, write_file

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
TESTED = {"chest_xray": 60, "dermoscopy": 30}
COLUMNS = (
    "data", "method", "seed", "size", "epochs", "clean", "settings", "dice", "jaccard", "seconds",
)  # fmt: skip


def make_folder(source: Path, out: Path, seed: int, clean: int, tested: int) -> None:
    """Draw test, clean and noisy images by seed; every noisy mask becomes a triangle."""
    rng = np.random.default_rng(seed)
    images = sorted((source / "images").iterdir())
    for place, index in enumerate(rng.permutation(len(images))):
        image = images[index]
        role = "test" if place < tested else "clean" if place < tested + clean else "noisy"
        mask = read_mask(source / "masks" / f"{image.stem}.png")[0] > 127
        if role == "noisy":
            mask = polygon(mask, vertices=3, rng=rng)
        for kind in ("img", "gt"):
            (out / f"{role}_{kind}").mkdir(parents=True, exist_ok=True)
        shutil.copy(image, out / f"{role}_img")
        target = out / f"{role}_gt" / f"{image.stem}.png"
        write_file(target, png_bytes(np.where(mask, 255, 0).astype(np.uint8)))


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", choices=sorted(TESTED))
    parser.add_argument("--methods", nargs="+", default=["trust", "plain"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--clean", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("real_data.csv"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings")
    given = parser.parse_args()
    rows = list(csv.DictReader(given.out.open())) if given.out.exists() else []
    for seed in given.seeds:
        for name in given.data:
            for method in given.methods:
                key = (
                    name,
                    method,
                    str(seed),
                    str(given.size),
                    str(given.epochs),
                    str(given.clean),
                    " ".join(given.settings),
                )
                if not any(tuple(row[c] for c in COLUMNS[:7]) == key for row in rows):
                    measures, seconds = run(name, method, seed, given)
                    found = (measures["dice"]["mean"], measures["jaccard"]["mean"], seconds)
                    values = (*key, *(f"{value:.4f}" for value in found))
                    rows.append(dict(zip(COLUMNS, values, strict=True)))
                    write_file(given.out, csv_text(COLUMNS, [tuple(row.values()) for row in rows]))
                    print(*values, flush=True)
    for name in given.data:
        for method in given.methods:
            dice = [
                float(row["dice"])
                for row in rows
                if (row["data"], row["method"]) == (name, method)
                and (row["size"], row["epochs"]) == (str(given.size), str(given.epochs))
                and row["settings"] == " ".join(given.settings)
            ]
            shown = " ".join(f"{value:.3f}" for value in dice)
            print(f"{name:12} {method:9} mean {statistics.mean(dice):.3f}  seeds {shown}")


def run(name: str, method: str, seed: int, given: argparse.Namespace) -> tuple[dict, float]:
    """Train once; give the test measures and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        make_folder(DATA / name, Path(folder), seed, given.clean, TESTED[name])
        settings = (setting.split("=", 1) for setting in given.settings)
        began = time.monotonic()
        training = train(
            folder,
            method=method,
            seed=seed,
            size=given.size,
            epochs=given.epochs,
            **{key: json.loads(value) for key, value in settings},
        )
        return training.result.metrics["test"], time.monotonic() - began


if __name__ == "__main__":
    main()
