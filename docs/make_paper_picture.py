"""Makes the figures of docs/paper.md: Dice, and a picture of noisy masks, published weights, and trust.

Needs the development data (``../shared/data`` or ``$NOISYSEG_DATA``) and matplotlib. Trains with this
program's own settings, keeps what is shown, and then tries the published configuration.

    python docs/make_paper_picture.py train figures/paper.npz --width 16 --learning-rate 0.003
    python docs/make_paper_picture.py draw figures/paper.npz docs/images/paper.png
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from napari_noisyseg.annotation.roles import Role
from napari_noisyseg.files import write_file
from napari_noisyseg.learning.training import train
from napari_noisyseg.model.configuration import PRESETS
from napari_noisyseg.study.noises import clean_example, noisy_examples, parse_noise
from napari_noisyseg.study.subjects import draw_sets, find_subjects

DATA = Path(os.environ.get("NOISYSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
TEST, CLEAN, KEPT = 30, 20, 12
TRUE, NOISY = "#0072b2", "#e69f00"
OURS: dict[str, Any] = {"size": 96, "sampling": "resize"}
PUBLISHED = ("paper", "plain")
SHOWN = ("paper", "evidence", "trust")
TITLES = {
    "image": "image, true outline,\nnoisy mask (dashed)",
    "paper": "paper: weight,\nover the largest",
    "evidence": "evidence:\ntrust",
    "trust": "trust, the default:\ntrust",
}


def settings_of(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings of every training, by its name."""
    changed = {"width": given.width, "learning_rate": given.learning_rate}
    published = PRESETS["paper"] | {k: v for k, v in changed.items() if v is not None}
    runs = {name: OURS | {"method": name} for name in SHOWN}
    return runs | {f"published {name}": published | {"method": name} for name in PUBLISHED}


def trained(given: argparse.Namespace) -> Iterator[dict[str, np.ndarray]]:
    """Train with every method; yield images, masks and maps of the first noisy images each time."""
    subjects = find_subjects(DATA / "dermoscopy" / "images", DATA / "dermoscopy" / "masks")
    sets = draw_sets(subjects, 0, test=TEST, validation=0, clean=CLEAN)
    noise = parse_noise("polygon:vertices=3")
    noisy = [e for subject in sets.noisy for e in noisy_examples(subject, noise, "given", 0)]
    known = [clean_example(subject, Role.CLEAN) for subject in sets.clean]
    tested = [clean_example(subject, Role.TEST) for subject in sets.test]
    kept: dict[str, np.ndarray] = {}
    for example, subject in zip(noisy[:KEPT], sets.noisy, strict=False):
        truth = clean_example(subject, Role.CLEAN)
        assert example.read_label is not None
        assert truth.read_label is not None
        kept[f"image {example.name}"] = np.moveaxis(example.read_image()[0], 0, -1)
        kept[f"given {example.name}"] = example.read_label()[0] > 0
        kept[f"true {example.name}"] = truth.read_label()[0] > 0
    for name, settings in settings_of(given).items():
        run = train(
            [*known, *noisy, *tested], seed=0, validation_share=0.0, device=given.device, **settings
        ).result
        print(f"{name}: test Dice {run.metrics['test']['dice']['mean']:.3f}", flush=True)
        for index, (image, _) in enumerate(run.maps.names if run.maps else ()):
            if name in SHOWN and run.maps and f"image {image}" in kept:
                kept[f"{name} {image}"] = run.maps.read(index)[0]
        yield kept


def drawn(kept: dict[str, np.ndarray], images: list[int]) -> bytes:
    """Draw a row for each image; returns a PNG file's content."""
    names = [key.removeprefix("image ") for key in kept if key.startswith("image ")]
    chosen = [names[index] for index in images]
    figure = Figure(figsize=(8.4, 0.6 + 1.4 * len(chosen)), layout="constrained")
    axes = figure.subplots(len(chosen), len(TITLES), squeeze=False)
    for row, name in zip(axes, chosen, strict=True):
        row[0].imshow(kept[f"image {name}"])
        for place, run in zip(row[1:], SHOWN, strict=True):
            # The published weights have no scale of their own, trust is a probability.
            most = max(kept[f"{run} {n}"].max() for n in chosen) if run == "paper" else 1
            shown = place.imshow(kept[f"{run} {name}"], cmap="cividis", vmin=0, vmax=most)
        for place in row:
            place.contour(kept[f"given {name}"], [0.5], colors=NOISY, linewidths=1.4,
                          linestyles="--")  # fmt: skip
            place.contour(kept[f"true {name}"], [0.5], colors=TRUE, linewidths=1.4)
            place.set_xticks([])
            place.set_yticks([])
    for place, title in zip(axes[0], TITLES.values(), strict=True):
        place.set_title(title, fontsize=9)
    figure.colorbar(shown, ax=axes, shrink=0.6, pad=0.01, aspect=30).ax.tick_params(labelsize=8)
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    fewer = Image.open(buffer).convert("RGB").quantize(200)
    small = BytesIO()
    fewer.save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    """Train and keep what is shown, or draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "draw"))
    parser.add_argument("kept", type=Path, help="NPZ file between the two")
    parser.add_argument("out", type=Path, nargs="?", help="PNG to write")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--width", type=int, help="of the published network; default: 64")
    parser.add_argument("--learning-rate", type=float, help="with it; default: the published one")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 3, 4, 9], help="rows")
    given = parser.parse_args()
    if given.what == "train":
        for kept in trained(given):
            np.savez_compressed(given.kept, **kept)  # type: ignore[arg-type]
        return
    if given.out is None:
        parser.error("say which PNG to write")
    with np.load(given.kept, allow_pickle=False) as file:
        write_file(given.out, drawn(dict(file), given.images))


if __name__ == "__main__":
    main()
